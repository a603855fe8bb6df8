"""strongroom prove as a whole, on this machine: real swap, real cores, real readers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="needs a Unix")

import proving

pytestmark = pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="needs Linux")


def test_root_sees_all_thirteen_attacks() -> None:
    """As root every attack runs, finds the ordinary copy, and does not find strongroom's."""
    proving.swap_or_skip()
    run = proving.as_we_are()
    assert run.code == 0, run.out + run.err
    assert list(run.rows) == [
        "swapped", "core", "reader-user", "reader-root", "fork-child", "fork-swap", "freed", "mapped-file",
        "mapped-file-deleted", "partial-page", "droppable", "physical-secretmem", "physical-locked",
    ]  # fmt: skip
    lacking = (
        "a kernel that offers it|6.11|ptrace_scope|CAP_SYS_PTRACE|core limit|"
        "mkfs.ext4|/dev/loop|disk image, which failed: .*permitted"
    )
    for row in run.rows.values():
        if row["needs"] is None or not re.search(lacking, row["needs"]):
            proving.assert_nothing_leaked(row)
            assert row["attack"]["is_complete"] is True


def test_a_locked_buffer_is_really_read_by_another_process() -> None:
    """The reader is no strawman: memory that is only locked is found by it, and shown as exposed."""
    row = proving.as_we_are().rows["reader-user"]
    if row["needs"]:
        pytest.skip(row["needs"])
    if row["cells"]["locked"]["needs"]:
        pytest.skip(row["cells"]["locked"]["needs"])
    assert row["cells"]["locked"]["word"] == "exposed"
    assert row["cells"]["locked"]["copies"] == 1


def test_own_files_and_losses_are_told_in_json() -> None:
    """strongroom's own kinds: what they are made of by the kernel's word, where copies lay, and what became of them."""
    proving.swap_or_skip()
    proving.disk_or_skip()
    run = proving.as_we_are()
    rows = run.rows
    if rows["mapped-file"]["needs"]:
        pytest.skip(rows["mapped-file"]["needs"])
    assert rows["mapped-file"]["cells"]["file"]["where"] == {"its own file": 1}
    assert [rows[name]["cells"][kind]["backing"] for name, kind in (
        ("mapped-file", "file"), ("partial-page", "partial"),
    )] == ["file", "file"]  # fmt: skip
    assert rows["partial-page"]["attack"]["loss"] == "lost, and noticed"
    for name in ("mapped-file", "mapped-file-deleted", "partial-page"):
        ordinary = rows[name]["cells"]["ordinary"]["where"]
        assert ordinary["the mapped file"] == ordinary["the file of 512 bytes"] == 1
        assert rows[name]["attack"]["swap_was_searched"] is True
        assert rows[name]["attack"]["scanned_size"] == (32 + 48) << 20
    if rows["droppable"]["needs"] is None:
        assert rows["droppable"]["cells"]["droppable"]["backing"] == "droppable"
        assert rows["droppable"]["attack"]["loss"] == "lost, and noticed"
    assert {change["what"] for change in run.content["changes"]} >= {"disk image", "swap file"}


def test_without_root_what_can_run_runs() -> None:
    """Unprivileged, the reader, the child and the heap are still searched; the rest says what it needs."""
    proving.unprivileged_or_skip()
    run = proving.as_nobody()
    assert run.code == 0, run.out + run.err
    assert run.content["system"]["is_root"] is False
    assert run.content["changes"] == []
    tried = [row for row in run.rows.values() if row["needs"] is None]
    for row in tried:
        proving.assert_nothing_leaked(row)
    if run.content["system"]["ptrace_scope"] < 2:
        assert {"reader-user", "fork-child", "freed"} <= {row["id"] for row in tried}
    assert run.rows["reader-root"]["needs"] == "needs root"
    in_swap = ("fork-swap", "mapped-file", "mapped-file-deleted", "partial-page", "droppable")
    for row_id in (*in_swap, "physical-secretmem", "physical-locked"):
        assert run.rows[row_id]["needs"] == "needs root"


def test_no_changes_makes_none() -> None:
    """--no-changes plans nothing that other programs could notice, and says what that costs."""
    trials = [word for name in ("swapped", "fork", "freed", "mapped", "droppable") for word in ("--only", name)]
    run = proving.prove("--json", "--no-changes", *trials)
    assert run.content["changes"] == []
    assert "only makes a private folder" in run.err
    assert run.rows["fork-swap"]["needs"] in ("needs changes: a swap file", "needs root")
    assert run.rows["droppable"]["needs"] == run.rows["fork-swap"]["needs"]
    assert run.rows["mapped-file"]["needs"] in ("needs changes: a disk image", "needs root")
    assert run.code == 0


def test_held_in_freed_memory_was_looked_at() -> None:
    """strongroom's own rooms are looked at and zero; what is unmapped is said to be so."""
    row = proving.as_we_are().rows["freed"]
    looks = row["attack"]["looks"]
    assert set(looks) == {kind for kind in proving.STRONGROOM if row["cells"][kind]["word"] != "not tried"}
    assert set(looks.values()) <= {"zeros", "unmapped", "used again"}
    if row["cells"]["secret-open"]["backing"] == "secretmem":
        assert looks["secret-open"] == looks["secret-at-rest"] == "zeros"
    assert "given back to the kernel" in row["more"]


def test_the_table_fits_80_columns_and_a_pipe() -> None:
    """The narrow table is at most 80 columns wide and, not on a terminal, without colour."""
    run = proving.prove("--only", "freed", "--only", "readers")
    table = run.out[run.out.index("trial ") :]
    assert max(len(line) for line in table.splitlines()) <= 80
    assert "\x1b" not in run.out
    for word in ("ordinary", "strongroom", "evidence", "LEAKED", "held"):
        assert word in table


def test_results_never_show_tracers_or_addresses() -> None:
    """Counts and places are told, contents and addresses are not."""
    content = proving.as_we_are().content
    told = str(content["trials"])
    assert proving.looks_like_a_tracer(told) == []
    assert re.search(r"0x[0-9a-f]{6,}|\b[0-9a-f]{9,}-[0-9a-f]{9,}\b", told) is None
    assert proving.looks_like_a_tracer("x YmFzZTY0aXNub3RlbmNyeXB0aW9u0 x")  # the check can fail


def test_it_is_fast() -> None:
    """All attacks together take seconds: nobody has to be patient to be convinced.

    Of a processor: how long they take besides is a matter of who else wants it, and of the disk.
    """
    assert proving.as_we_are().cpu_seconds < 15
