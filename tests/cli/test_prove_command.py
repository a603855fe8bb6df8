"""The command line of prove: words, exit codes, JSON, and systems whose trials are not written yet."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import children
import schemas
from strongroom import cli
from strongroom.prove import model, present
from strongroom.report import json as report_json
from strongroom.report.table import Column, Text, painter, render

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "docs" / "schema" / "prove.schema.json"
HAS_TRIALS = sys.platform.startswith("linux") and Path("/proc/self/pagemap").exists()
COMMAND = [sys.executable, "-P", "-c", "import sys; from strongroom.cli import main; sys.exit(main())", "prove"]


def breaches(content: Any) -> list[str]:
    """Every breach of prove's schema."""
    return schemas.breaches("prove", content)


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run prove to its end."""
    # All trials take some seconds, and many where others want the processor as well.
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=300, check=False, **options)


@pytest.mark.skipif(not HAS_TRIALS, reason="needs Linux")
def test_json_is_one_object_and_follows_its_schema() -> None:
    """--json puts one object on standard output; everything else goes to standard error."""
    process = run("--json", "--no-changes")
    content = json.loads(process.stdout)
    assert breaches(content) == []
    assert content["exit_code"] == process.returncode
    assert "private folder" in process.stderr
    assert next(iter(content)) == "schema"


def test_the_schema_check_can_fail() -> None:
    """A wrong word, a missing member and an unknown one are noticed."""
    content = {"schema": 2, "trials": [{"id": "swap"}], "surprise": 1}
    told = "\n".join(breaches(content))
    assert "$.schema: not 1" in told
    assert "unknown surprise" in told
    assert "lacks cells" in told
    assert "'swap' is not one of" in told


def test_schema_and_program_use_the_same_words() -> None:
    """Words, rows and kinds are listed in the schema as the program has them."""
    schema = json.loads(SCHEMA.read_text())
    assert set(schema["$defs"]["word"]["enum"]) == set(model._SEVERITY)
    assert schema["$defs"]["trial"]["properties"]["id"]["enum"] == list(model.ROW_TITLES)
    cells = schema["$defs"]["trial"]["properties"]["cells"]
    assert list(cells["properties"]) == [*model.KINDS, *(row[1] for row in dict.fromkeys(model.ROW_KINDS.values()))]
    assert cells["required"] == [model.ORDINARY]
    assert schema["properties"]["schema"]["const"] == report_json.SCHEMA


def test_the_manual_explains_every_word_row_and_exit_code() -> None:
    """docs/prove.md names what the table can show."""
    text = (ROOT / "docs" / "prove.md").read_text()
    for word in model._SEVERITY:
        assert f"`{word}" in text, word
    for title in model.ROW_TITLES.values():
        assert title in text, title
    for option in ("--json", "--wide", "--no-changes", "--only", "--folder", "--restore"):
        assert option in text, option


def test_the_numbers_of_trials_and_attacks_in_prose() -> None:
    """README and changelog count trials and attacks as the program does, and the manual's table has every row."""
    trials, attacks = {9: "nine"}[len(model.TRIALS)], {13: "thirteen"}[len(model.ROW_TITLES)]
    for name in ("README.md", "CHANGELOG.md"):
        assert f"{trials} trials with {attacks} attacks" in (ROOT / name).read_text(encoding="utf-8"), name
    rows = [model.not_tried(row_id, "needs Linux") for row_id in model.ROW_TITLES]
    assert f" under {len(model.ROW_TITLES)} attacks: " in present.verdict(rows, 3)
    sample = (ROOT / "docs" / "prove.md").read_text(encoding="utf-8").split("```")[1]
    assert [title for title in model.ROW_TITLES.values() if f"\n{title}  " not in sample] == []
    assert max(len(line) for line in sample.splitlines()) <= 80


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--only", "nothing"], ["surplus"]])
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    """Wrong arguments end with 2 and a usage line."""
    process = run(*arguments)
    assert process.returncode == 2
    assert "usage: " in process.stderr


def test_no_command_is_2() -> None:
    """The bare command says what there is."""
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == 2


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """--help is enough to use it in a script."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["prove", "--help"])
    assert ended.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Exit codes: 0 fine, 1 something leaked or was lost without a word, 2 usage, 3 incomplete" in told


ELSEWHERE = """
import sys
for name in ("fcntl", "resource", "mmap"):
    sys.modules[name] = None  # Windows has no such modules
import strongroom.cli.prove
strongroom.cli.prove._PAGE_TABLE = "/no/such/file"
sys.exit(strongroom.cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("arguments", [["prove"], ["prove", "--wide"], ["prove", "--json"], ["prove", "--no-changes"]])
def test_elsewhere_every_trial_says_that_it_needs_linux(arguments: list[str]) -> None:
    """Where the trials cannot run nothing crashes, nothing is claimed, and the exit code is 3."""
    process = subprocess.run(
        [sys.executable, "-P", "-c", ELSEWHERE, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert process.returncode == 3, process.stderr
    assert process.stderr == ""
    if "--json" in arguments:
        content = json.loads(process.stdout)
        assert breaches(content) == []
        assert {trial["needs"] for trial in content["trials"]} == {"needs Linux"}
    else:
        assert process.stdout.count("not tried (needs Linux)") == len(model.ROW_TITLES)


@pytest.mark.skipif(not HAS_TRIALS, reason="needs Linux")
def test_a_reader_that_leaves_is_no_crash() -> None:
    """`strongroom prove | head -1` ends without a traceback and leaves nothing undone."""
    assert children.left_by_its_reader([*COMMAND, "--no-changes"]) == cli.OWN_ERROR


@pytest.mark.parametrize("error", [RuntimeError, AttributeError, OSError, KeyError])
def test_an_error_of_our_own_is_4(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python's exit code for a traceback is 1, which here would mean that something leaked."""

    def fail(_: object) -> int:
        raise error("unforeseen")

    monkeypatch.setattr("strongroom.cli.prove.run", fail)
    assert cli.main(["prove"]) == 4
    told = capsys.readouterr()
    assert "Traceback" in told.err
    assert "unforeseen" in told.err


@pytest.mark.skipif(not HAS_TRIALS or not Path("/dev/full").exists(), reason="needs Linux and /dev/full")
def test_a_full_disk_is_4() -> None:
    """Output that cannot be written is our own error too, also in Python's last flush."""
    code = "import sys; from strongroom.cli import main; sys.exit(main(['prove', '--restore']))"
    with open("/dev/full", "w", encoding="ascii") as full:
        process = subprocess.run(
            [sys.executable, "-P", "-c", code], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert process.returncode == 4
    assert b"No space left" in process.stderr


@pytest.mark.skipif(not HAS_TRIALS, reason="needs Linux")
def test_an_ascii_terminal_is_no_crash() -> None:
    """Where the terminal cannot show a line it shows question marks."""
    import os

    process = run("--no-changes", "--only", "freed", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert process.returncode == 0, process.stderr
    assert "held" in process.stdout


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "is_coloured"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colour_only_where_it_is_wanted(stream: io.StringIO, environment: dict[str, str], is_coloured: bool) -> None:
    """Colour on a terminal, unless NO_COLOR or a dumb one says otherwise."""
    assert (painter(stream, environment)("held", "good") != "held") is is_coloured


def test_tables_wrap_span_and_align() -> None:
    """Long words wrap in their own column, a cell may cover several, colour takes no width."""
    columns = [Column("a", 4), Column("b", 6), Column("c", 5)]
    rows = [[Text("one"), Text("two three", "good"), Text("x")], [Text("y"), Text("over two of them", "", 2)]]
    plain = render(columns, rows, painter(io.StringIO(), {}))
    assert plain.splitlines() == [
        "a     b       c",
        "────  ──────  ─────",
        "one   two     x",
        "      three",
        "y     over two of",
        "      them",
    ]
    coloured = render(columns, rows, painter(Terminal(), {}))
    assert "\x1b[32mtwo\x1b[0m     x" in coloured


@pytest.mark.parametrize("path", ["/etc/passwd", "/no/such/folder"])
def test_a_folder_that_is_none_is_a_usage_error(path: str) -> None:
    """Said before anything is announced or journaled, with the name."""
    ended = subprocess.run([*COMMAND, "--folder", path], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert path in ended.stderr


@pytest.mark.skipif(not HAS_TRIALS, reason="needs Linux")
def test_a_folder_that_takes_no_other_is_a_usage_error(tmp_path: Path) -> None:
    """Also where the system says no only when something is made there; and what was tried is gone: a control."""
    process = run("--folder", "/proc", "--no-changes", "--only", "freed")
    assert (process.returncode, process.stdout) == (2, "")
    assert "usage: " in process.stderr
    assert "'/proc' takes no folder of ours (mkdir: No such file or directory): name one" in process.stderr
    process = run("--folder", str(tmp_path), "--no-changes", "--only", "freed")
    assert process.returncode in (0, 3), process.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("needs", [model.NEEDS_LOCKS, "needs root"])
def test_where_nothing_can_be_locked_the_rest_is_pointed_at(needs: str) -> None:
    """A lock limit of 0 says what works under it, once, by its page; other needs do not."""
    rows = [model.not_tried(row_id, needs) for row_id in model.ROW_TITLES]
    told = " ".join(present.what_needs_no_lock(rows).split())
    if needs != model.NEEDS_LOCKS:
        assert told == ""
        return
    for words in ("ulimit -l", "VolatileBuffer", "FileBuffer", "docs/unlocked.md"):
        assert told.count(words) == 1, words
    assert (ROOT / "docs" / "unlocked.md").exists()


@pytest.mark.skipif(not HAS_TRIALS, reason="needs Linux")
def test_a_lock_limit_of_nothing_names_the_page() -> None:
    """For real: one trial without a byte to lock. Control: as much as we may have, and not a word of that."""
    import proving

    words = ("--no-changes", "--only", "freed")
    starved = proving.prove(*words, lock_limit=0)
    assert starved.code == 3
    assert model.NEEDS_LOCKS in " ".join(starved.out.split())
    assert starved.out.count("docs/unlocked.md") == 1
    assert "docs/unlocked.md" not in proving.prove(*words).out
