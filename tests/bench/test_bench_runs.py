"""The bench runs and its figures agree with each other. How large they are is not a matter for tests."""

import importlib
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

GROUPS = {
    "isolated-locked": "bare strongroom libsodium",
    "isolated-secretmem": "bare strongroom",
    "slots": "bytearray strongroom",
    "slots-live": "bytearray strongroom",
    "slots-open": "memoryview strongroom",
    "pool": "one all",
    "sealed": "bare strongroom nacl aesgcm aesgcm-fresh",
    "sealed-page": "bare strongroom",
    "shielded": "bare strongroom",
    "sealing": "bare strongroom strongroom-copy nacl",
    "second-open": "bare strongroom",
    "second-seal": "bare strongroom",
    "allocate": "libsodium bare-locked strongroom-locked bare-secretmem strongroom-secretmem",
    "volatile": "mmap strongroom-droppable strongroom-partial",
    "volatile-open": "memoryview droppable locked",
    "file": "mmap file",
    "regions": "bare strongroom mmap",
    "listing-maps": "raw strongroom",
    "listing-smaps": "raw strongroom pages psutil",
    "listing-query": "query regions",
    "window-map": "mmap secretmem locked",
    "physical-make": "mmap secretmem locked",
    "second-thread": "bare strongroom strongroom-slot strongroom-sealed",
    "startup": "bare strongroom first-secret",
    "footprint": "bytes strongroom buffer locked",
}

#: What an ordinary machine may lack: a C compiler, secret memory, a second CPU, a peer, room in the lock limit,
#: droppable pages, a directory for temporary files that is not in memory.
MAY_BE_MISSING = (
    *("libsodium", "bare", "aesgcm", "secretmem", "second-", "pool", "slots-live"),
    *("droppable", "partial", "file/", "raw", "psutil", "-map/locked", "-make/locked"),
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the bench needs Linux")


def run_bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m bench`` in the repository."""
    command = [sys.executable, "-m", "bench", *arguments]
    # It measures for a quarter of a minute, and for as often as long where others want the processor.
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """One quick run's JSON."""
    done = run_bench("--quick", "--json")
    assert done.returncode == 0, done.stderr
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What imports a module of the bench, which is not installed."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"bench.{name}")


def rows_of(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return all rows by their keys."""
    return {row["key"]: row for group in report["groups"] for row in group["rows"]}


def test_every_row_is_there(report: dict[str, Any]) -> None:
    """Nobody drops out silently: a row without figures says why."""
    expected = [f"{group}/{row}" for group, rows in GROUPS.items() for row in rows.split()]
    assert expected == [row["key"] for group in report["groups"] for row in group["rows"]]
    for key, row in rows_of(report).items():
        assert (row["minimum"] is None) == (row["skipped"] is not None), key
        assert row["skipped"] is None or any(word in key for word in MAY_BE_MISSING), row


def test_figures_agree_with_each_other(report: dict[str, Any]) -> None:
    """A minimum is not above its median, and each ratio is that of the two figures it names."""
    for group in report["groups"]:
        rows = {row["key"]: row for row in group["rows"]}
        base = rows[group["base"]]
        for key, row in rows.items():
            if row["skipped"] is not None:
                continue
            assert 0 < row["minimum"] <= row["median"], key
            assert row["samples"] >= 1, key
            for measure, ratio in (("minimum", "ratio_of_minima"), ("median", "ratio_of_medians")):
                if base["skipped"] is None:
                    assert math.isclose(row[ratio], row[measure] / base[measure]), key
                else:
                    assert row[ratio] is None, key


def test_startup_is_compared_by_difference(report: dict[str, Any]) -> None:
    """The cost of an import is what it adds to bare Python."""
    rows = rows_of(report)
    bare, ours = rows["startup/bare"], rows["startup/strongroom"]
    assert math.isclose(ours["difference_of_minima"], ours["minimum"] - bare["minimum"])
    assert bare["difference_of_minima"] == bare["median_of_differences"] == 0


def test_targets_are_judged_by_their_rows(report: dict[str, Any]) -> None:
    """A target is met when its row's figure does not exceed the limit, and open when there is none."""
    rows = rows_of(report)
    assert [target["limit"] for target in report["targets"]] == [
        1.8,
        2.0,
        0.2,
        0.3,
        0.35,
        1 / 0.7,
        0.6,
        2.0,
        25.0,
        0.8,
        2.5,
        2.5,
        1.0,
        1.5,
        1000.0,
        1.5,
        10.0,
        120,
        200,
        56,
    ]
    for target in report["targets"]:
        measured = rows[target["row"]][target["measure"]]
        assert target["measured"] == measured
        assert target["met"] == (None if measured is None else measured <= target["limit"])


def test_the_bench_runs_in_one_thread(report: dict[str, Any]) -> None:
    """A second thread would make every change of protection dearer."""
    assert report["machine"]["threads"] == "1"


@pytest.mark.parametrize(
    ("measured", "is_required", "expected"),
    [((1.0,), True, 0), ((3.0,), True, 1), ((None,), True, 3), ((None,), False, 0), ((None, 3.0), True, 1)],
)
def test_the_exit_code_says_how_the_check_ended(
    bench: Any, measured: tuple[float | None, ...], is_required: bool, expected: int
) -> None:
    """0: all met; 1: one missed, whatever else; 3: one that is required could not be measured."""
    targets = bench("targets")
    target = targets.Target("row", "minimum", 2.0, "words", is_required)
    assert expected == targets.exit_code([targets.Verdict(target, value) for value in measured])


def test_an_interruption_does_not_shorten_the_blocks(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that another program made slow once is still run until its own work fills a block."""
    timing = bench("timing")
    taken: list[int] = []

    def seconds(_loop: object, count: int) -> float:
        taken.append(count)
        return 1.0 if len(taken) == 1 else count * 1e-6

    monkeypatch.setattr(timing, "_seconds", seconds)
    assert timing._calibrate(lambda count: None) * 1e-6 >= timing.BLOCK_SECONDS


def test_quick_figures_are_never_checked_or_saved() -> None:
    """Too few samples to hold anybody to."""
    for option in ("--check", "--save"):
        assert run_bench("--quick", option).returncode == 2


def test_the_pages_of_results_and_terminal_name_every_row(bench: Any) -> None:
    """A skipped row stays in the table with its reason."""
    rows, table, timing = bench("rows"), bench("table"), bench("timing")
    group = rows.Group(
        "key", "work", "us", [
            rows.Row("key/base", "the base", timing.Figures(2.0, 4.0, 3)),
            rows.Row("key/ours", "ours", timing.Figures(3.0, 5.0, 3)),
            rows.Row("key/peer", "a peer", skipped="needs something"),
        ],
    )  # fmt: skip
    group.compare()
    for text in (table.as_text({}, [group], []), table.as_markdown({"date": "today"}, [group], [])):
        assert re.search(r"ours\W+3\.000 us\W+5\.000 us\W+1\.50\W+1\.25", text)
        assert "a peer" in text
        assert "needs something" in text


def vm_flags(address: int) -> set[str]:
    """What the kernel says of the mapping at ``address`` (proc_pid_smaps(5))."""
    for part in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text()):
        bounds = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", part)
        if bounds and int(bounds[1], 16) <= address < int(bounds[2], 16):
            return {bounds[3], *part.partition("VmFlags:")[2].split()}
    raise LookupError("no mapping there")


@pytest.mark.parametrize("backing", ["locked", "secretmem"])
def test_the_bare_pair_works_on_the_same_kind_of_page(bench: Any, backing: str) -> None:
    """Protection and flags at rest are those of a LockedBuffer, or the ratio would compare two different things."""
    import strongroom

    helper, rows = bench("helper"), bench("rows")
    try:
        library = helper.build()
        page = library.page(backing)
    except rows.SkipError as reason:
        pytest.skip(str(reason))
    with strongroom.LockedBuffer(32, backing=backing, isolated=True) as buffer:
        start, _end, _steps = buffer._layout()
        assert vm_flags(start) == vm_flags(page.address)
