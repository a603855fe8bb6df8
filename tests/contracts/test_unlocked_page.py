"""docs/unlocked.md, and the tables about what nothing locks: what they say is what the code has."""

import mmap
import re

import pytest

import needs
import strongroom
from documents import ROOT, read, table
from strongroom import Policy, VolatileBuffer, _native, guarantees
from strongroom.buffers import planning

PAGE = read("docs/unlocked.md")


@pytest.mark.skipif(mmap.PAGESIZE != 4096, reason="needs pages of 4 KiB: the page speaks of these")
def test_the_sizes_are_the_code() -> None:
    """The most bytes of each kind, and the error that names both."""
    sizes = table(PAGE, "## The three kinds")["most bytes (pages of 4 KiB)"]
    assert sizes[:2] == [f"{_native.VOLATILE_MAX_SIZES[kind]:,}" for kind in ("droppable", "partial")]
    with pytest.raises(ValueError, match="there is one page") as refusal:
        VolatileBuffer(5000)
    assert f"`ValueError: {str(refusal.value).partition(', not')[0]}`" in table(PAGE, "## At three in the morning")


@pytest.mark.parametrize(("kind", "backings"), [("Volatile", ("droppable", "partial")), ("File", ("file",))])
def test_what_they_require_by_default_is_the_code(
    kind: str, backings: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/policy.md has it for each system."""
    cells = table(read("docs/policy.md"), "require by default what is left")
    for platform, cell in zip(("linux", "darwin", "windows"), cells[f"`{kind}Buffer`"], strict=True):
        monkeypatch.setattr(planning, "_DEFAULT", planning.DEFAULT_REQUIRE[platform])
        for backing in backings:
            assert set(re.findall("[A-Z_]{2,}", cell)) == planning.unlocked_requires(Policy(), backing), platform


@pytest.mark.parametrize("verb", ["open", "build", "copy_from", "move_from", "read_into", "intact"])
def test_what_they_raise_is_in_their_words(verb: str) -> None:
    """A loss and a device that fails, below Raises, of each verb that meets them; asking for a loss is none."""
    raises = (getattr(VolatileBuffer, verb).__doc__ or "").partition("Raises:")[2]
    assert "SystemCallError" in raises
    assert ("ContentsLostError" in raises) == (verb != "intact")


def test_requested_is_enough_and_is_said_to_be() -> None:
    """``require`` takes it for an answer, by name as by default; said where policies are and where it matters."""
    try:
        with VolatileBuffer(8, backing="partial", policy=Policy(require={"NEVER_WRITTEN"}, verify="each")) as buffer:
            assert buffer.guarantees()["NEVER_WRITTEN"].state == "requested"
    except strongroom.UnsupportedError as error:
        pytest.skip(f"needs a directory on a disk: {error}")
    fields = read("docs/policy.md").partition("**`require`.**")[2]
    require = fields.partition("**`on_shortfall`.**")[0]
    partial = PAGE.partition("A partial page: **the moment")[2].partition("A private file:")[0]
    for words in (require, partial, Policy.__doc__ or "", guarantees.__doc__ or ""):
        assert "requested" in words
        assert "exception" in words
    for words in (require, partial):
        assert 'backing="droppable"' in words


def test_the_three_kinds_are_all_that_nothing_locks() -> None:
    """Each backing that there is has a row in docs/buffers.md, each that nothing locks a column here."""
    rows = table(read("docs/buffers.md"), "and in `stats()`.")
    assert {row.strip('`"') for row in list(rows)[2:]} == set(_native.BACKINGS)
    (heading,) = [line for line in PAGE.split("\n") if line.startswith("| | `droppable` | `partial` | `file` |")][:1]
    assert re.findall("`([a-z]+)`", heading) == list(_native.BACKINGS)[2:]


def test_what_is_not_built_on_windows_is_said() -> None:
    """No buffer's pages are offered or reset, only a region's: table, changelog and docstring say so, and why."""
    native = ROOT / "src" / "strongroom" / "native"
    calls = [path.name for path in native.glob("os_windows*.c") if re.search("OfferV|MEM_RESET", path.read_text())]
    assert calls == ["os_windows_paging.c"]
    asking = [path.name for path in native.glob("*.c") if "sr_os_reset(" in path.read_text()]
    assert [name for name in asking if not name.startswith("os_")] == ["region_paging.c"]
    cell = table(PAGE, "## Systems")["Windows"][0]
    assert cell.startswith("not built: ")
    changes = read("CHANGELOG.md")
    for words in (PAGE, changes, VolatileBuffer.__doc__ or ""):
        assert "OfferVirtualMemory" in words
        assert "paging file" in words.partition("OfferVirtualMemory")[2][:500].replace("\n    ", " ").replace("\n", " ")


@needs.unix
def test_a_directory_that_is_not_there_is_in_the_table() -> None:
    """By the name of the call that failed."""
    rows = " ".join(table(PAGE, "## At three in the morning"))
    with pytest.raises(strongroom.SystemCallError) as nowhere:
        strongroom.FileBuffer(1, "/nowhere/at/all")
    assert f"`{nowhere.value.call}: ...`" in rows.replace("SystemCallError: ", "")


def test_the_error_of_whoever_opens_what_it_fills_is_quoted() -> None:
    """The page has the message up to its colon."""
    try:
        VolatileBuffer(8).destroy()
    except strongroom.UnsupportedError as error:
        pytest.skip(f"needs memory that may vanish: {error}")
    buffer = VolatileBuffer(8, rebuild=lambda _view: buffer.read_into(bytearray(8)))
    with pytest.raises(strongroom.AccessError) as own:
        buffer.read_into(bytearray(8))
    assert f"`AccessError: {str(own.value).partition(':')[0]}`" in table(PAGE, "## At three in the morning")
