"""The command line of map: forms, exit codes, and processes that may not be seen."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import children
import memoryrows as rows
import needs
import schemas
from documents import read, table
from memoryrows import PAGE, listing
from strongroom import SystemCallError, UnsupportedError, cli, vm
from strongroom.cli import mapping, processes
from strongroom.report import memory

COMMAND = [sys.executable, "-P", "-c", "import sys; from strongroom.cli import main; sys.exit(main())", "map"]


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run map to its end."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False, **options)


@needs.linux
def test_the_picture_of_itself() -> None:
    """`map self`: totals, letters, kinds; the exit code is 0 and nothing is complained of."""
    process = run("self")
    assert (process.returncode, process.stderr) == (0, "")
    head = process.stdout.split("\n")
    assert "(this command itself)" in head[0]
    assert head[1].startswith("mapped ")
    for words in ("program, library", "heap", "stack", "CAPITALS", "Nothing is "):
        assert words in process.stdout, words
    assert "\x1b" not in process.stdout


@pytest.mark.skipif(not needs.WINDOWS, reason="needs Windows: its listing")
def test_itself_on_windows() -> None:
    """The picture, the lines and the JSON of what VirtualQueryEx tells; what nobody told there is no 0 and no no."""
    process = run("self")
    assert process.returncode in (0, 3), process.stderr
    head = process.stdout.split("\n")
    assert head[0].startswith("process ")
    for words in ("program, library", "private memory", "inaccessible", "mapped "):
        assert words in process.stdout, words
    lines = run("self", "--regions").stdout.lower().split("\n")
    assert any(line.endswith("ntdll.dll") for line in lines)
    content = json.loads(run("self", "--json").stdout)
    assert schemas.breaches("map", content) == []
    assert content["totals"]["mapped"] > 0
    assert content["totals"]["swapped"] is None  # no document tells
    assert {"reserved", "committed"} <= {one["state"] for one in content["regions"]}


@needs.linux
def test_json_follows_its_schema() -> None:
    """One object on standard output, `schema` first, all ASCII, its totals those of its regions."""
    process = run("self", "--json")
    content = json.loads(process.stdout)
    assert schemas.breaches("map", content) == []
    assert next(iter(content)) == "schema"
    assert content["exit_code"] == process.returncode == 0
    assert process.stdout.isascii()
    assert content["process"]["is_self"]
    counted = [one for one in content["regions"] if one["address"] < 1 << 63]
    assert content["totals"]["mapped"] == sum(one["size"] for one in counted)
    assert content["totals"]["resident"] == sum(one["resident_size"] for one in counted) > 0


def test_the_schema_check_can_fail() -> None:
    """A wrong kind, a missing member and an unknown one are noticed."""
    head, regions = mapping.as_object(rows.account(rows.service()), 0, has_addresses=True)
    content = {"schema": 1, **head, "regions": list(regions)}
    assert schemas.breaches("map", content) == []
    content["regions"][0] |= {"kind": "cake", "surprise": 1}
    del content["regions"][1]["flags"]
    told = "\n".join(schemas.breaches("map", content))
    for words in ("'cake' is not one of", "unknown surprise", "lacks flags"):
        assert words in told


def test_schema_program_and_page_use_the_same_words() -> None:
    """Kinds, marks, fields, options, exit codes: docs/vm/map.md and the schema have those of the program."""
    schema = json.loads(read("docs/schema/map.schema.json"))
    region = schema["$defs"]["region"]["properties"]
    assert region["kind"]["enum"] == [kind.title for kind in memory.KINDS.values()]
    assert schema["$defs"]["mark"]["enum"] == [kind.title for kind in memory.MARKS.values()]
    assert set(region) == {*vm.PageInfo._fields, "kind", "marks", "unknown"} - {"share_count"}
    assert set(schema["$defs"]["region"]["required"]) == set(region)
    assert schema["properties"]["totals"]["required"] == list(rows.account([]).totals)
    page = read("docs/vm/map.md")
    letters = {letter.strip("`"): cells[0] for letter, cells in list(table(page, "## Letters").items())[2:]}
    assert letters == {letter: kind.title for letter, kind in (memory.KINDS | memory.MARKS).items()}
    for option in ("--regions", "--json", "--html", "--no-addresses"):
        assert f"`{option}" in page, option
    assert list(table(page, "## Exit codes"))[2:] == ["0", "2", "3", "4"]
    for name in memory.EVERYBODY:
        assert name in page, name


@pytest.mark.parametrize(
    "words", ["", "nobody", "-1", "0", "1.5", "0x10", "\uff11\uff12", "2147483648", "9" * 5000, "self2"]
)
def test_nonsense_is_2(words: str) -> None:
    """What is no process's number is a usage error that repeats it."""
    process = run("--", words)
    assert process.returncode == 2
    assert "is no process: give its number, or self" in process.stderr
    assert process.stdout == ""


def test_no_process_and_two_forms_are_2() -> None:
    """Neither a missing process nor two forms at once are guessed at."""
    for arguments in ([], ["self", "--json", "--regions"], ["self", "self"]):
        process = run(*arguments)
        assert process.returncode == 2
        assert "usage: " in process.stderr


@needs.linux
def test_a_process_that_is_gone_is_2() -> None:
    """One line that says so, and nothing on standard output."""
    gone = Path("/proc/sys/kernel/pid_max").read_text().strip()  # the number of one that ended may be another's soon
    for form in ([], ["--json"], ["--regions"]):
        process = run(gone, *form)
        assert (process.returncode, process.stdout) == (2, "")
        assert process.stderr.count("\n") == 1
        assert "there is no process" in process.stderr


def test_a_system_that_cannot_be_asked_is_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One clear sentence, and the exit code of something that could not be read."""

    def regions(pid: int | None = None, detail: str = "maps") -> vm.Listing:
        raise UnsupportedError("what is mapped cannot be asked on this system in this version")

    monkeypatch.setattr(vm, "regions", regions)
    assert cli.main(["map", "self"]) == 3
    told = capsys.readouterr()
    assert told.err == "strongroom map: what is mapped cannot be asked on this system in this version\n"
    assert told.out == ""


def test_an_error_of_the_system_is_4(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A listing that nobody can parse is one line and 4, not a traceback."""

    def regions(pid: int | None = None, detail: str = "maps") -> vm.Listing:
        raise SystemCallError("read /proc/PID/smaps", 84)

    monkeypatch.setattr(vm, "regions", regions)
    assert cli.main(["map", "self"]) == 4
    told = capsys.readouterr().err
    assert told.startswith("strongroom map: ")
    assert told.count("\n") == 1


@pytest.mark.parametrize("form", [[], ["--regions"], ["--json"], ["--html", "-"]])
def test_where_little_is_told(
    form: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A system that tells addresses and protections only: every form shows these, and calls nothing else no or 0."""
    names = {
        "path",
        "is_shared",
        "resident_size",
        "swapped_size",
        "is_locked",
        "is_droppable",
        "is_undumpable",
        "flags",
    }
    blank = dict.fromkeys([*names, "in_child", "inode"])
    monkeypatch.setattr(vm, "regions", listing([rows.row(16 * PAGE, 4 * PAGE, **blank)]))
    assert cli.main(["map", "self", *form]) == 0
    told = capsys.readouterr().out
    if form == ["--json"]:
        content = json.loads(told)
        assert schemas.breaches("map", content) == []
        assert content["totals"] == {"mapped": 4 * PAGE, **dict.fromkeys(("resident", "swapped", "locked", "secret"))}
        assert content["regions"][0]["unknown"] == ["secret", "locked", "droppable", "swapped", "undumpable"]
    else:
        assert told.count("unknown") >= 4
        assert "rw-?" in told or not form


def test_a_part_that_could_not_be_read_is_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rest is shown, what is missing is said, and a script sees it by the exit code; torn alone is 0."""
    monkeypatch.setattr(vm, "regions", listing(rows.service(), unread=("read /proc/self/pagemap: no",)))
    assert cli.main(["map", "self"]) == 3
    told = " ".join(capsys.readouterr().out.split())
    assert "What could not be read: read /proc/self/pagemap: no So where in a region" in told
    monkeypatch.setattr(vm, "regions", listing(rows.service(), torn=True))
    assert cli.main(["map", "self"]) == 0
    assert "of no single moment" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["map", "self", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["torn"] is True


@pytest.mark.usefixtures("made_up")
def test_json_without_addresses_and_with_hostile_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--no-addresses leaves out every address; a name comes back as it is, and no byte of it reaches a terminal."""
    name = "/x\x1b[31m\x9b\u202eä"
    monkeypatch.setattr(vm, "regions", listing([*rows.service(), rows.row(1 << 40, PAGE, type="mapped", path=name)]))
    assert cli.main(["map", "self", "--json", "--no-addresses"]) == 0
    told = capsys.readouterr().out
    assert all(char.isprintable() or char == "\n" for char in told)
    content = json.loads(told)
    assert schemas.breaches("map", content) == []
    assert content["regions"][-1]["path"] == name
    for one in rows.service():
        assert str(one.address) not in told


@needs.linux
def test_a_reader_that_leaves_is_no_crash() -> None:
    """`strongroom map self --json | head -1` ends without a traceback."""
    assert children.left_by_its_reader([*COMMAND, "self", "--json"]) == cli.OWN_ERROR


@needs.linux
@pytest.mark.parametrize("form", [[], ["--regions"], ["--json"], ["--html", "-"]])
def test_closed_outputs(form: list[str], tmp_path: Path) -> None:
    """`map self >&-` is an error of its own in a sentence; without standard error as well, in the exit code."""
    shell = ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, "self"]
    process = subprocess.run([*shell, *form], stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (process.returncode, process.stderr) == (cli.OWN_ERROR, "strongroom map: standard output is closed\n")
    shell[2] = 'exec "$@" >&- 2>&-'
    assert subprocess.run([*shell, *form], timeout=60, check=False).returncode == cli.OWN_ERROR
    page = tmp_path / "page.html"
    assert subprocess.run([*shell, "--html", str(page)], timeout=60, check=False).returncode == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.usefixtures("made_up")
def test_an_ascii_terminal_is_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal without our dots there are others."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr("sys.stdout", stream)
    assert cli.main(["map", "self"]) == 0
    told = stream.buffer.getvalue().decode()
    assert "?" not in told
    assert "IIIIIiiii.HHHHHH" in told


def test_a_status_of_anybody() -> None:
    """Name, user and sizes; of a line that is not as expected, or not there, nothing."""
    told = processes.parse("Name:\tx\\n(y) z\nUid:\t1\t2\t3\t4\nVmSize:\t  12 kB\nVmRSS:\t-3 kB\nVmLck:\t1 MB\nVmSwap:")
    assert told == processes.Process("x\\n(y) z", "2", {"VmSize": 12288})
    assert processes.parse("") == processes.Process()
    assert processes.parse("Uid:\t\nName:\nVmSize: ² kB\nName:\tlate") == processes.Process()
    assert processes.read(1 << 30) == processes.Process()


def test_other_commands_start_without_vm() -> None:
    """The parser of map costs the others nothing: vm and the pictures are imported when a map is asked for."""
    code = "import sys, strongroom.cli; print('strongroom.cli' in sys.modules, 'strongroom.vm' in sys.modules)"
    process = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["True", "False"]
