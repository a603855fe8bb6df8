"""Policy(fallback=, directory=): what serves where nothing can be locked, in children without a byte of lock limit."""

from pathlib import Path

import pytest

import needs
from children import succeed
from strongroom.buffers import unlocked
from without_locks import limited

pytestmark = needs.linux


@pytest.fixture(scope="module")
def volatile_kind() -> str:
    """What ``"volatile"`` stands for on this kernel."""
    return succeed("print(VolatileBuffer(1).backing)").strip()


def test_what_needs_no_lock_is_made(tmp_path: Path) -> None:
    """Both buffers work as ever; a LockedBuffer raises and names them; nothing is locked."""
    told = limited(
        """
for buffer in (VolatileBuffer(32), FileBuffer(32, directory)):
    buffer.copy_from(b"n" * 32)
    told[type(buffer).__name__] = [buffer == b"n" * 32, buffer.guarantees()["LOCKED"].state]
for backing in ("auto", "locked"):
    try:
        LockedBuffer(32, backing=backing)
    except LockLimitError as error:
        told[backing] = str(error)
told["VmLck"] = observed.status_size("VmLck")
""",
        tmp_path,
    )
    assert told["VolatileBuffer"] == told["FileBuffer"] == [True, "unavailable"]
    for backing in ("auto", "locked"):
        for word in ("VolatileBuffer", "FileBuffer", "fallback", "limit is 0 bytes"):
            assert word in str(told[backing])
        remedy, _, other = str(told[backing]).partition("VolatileBuffer and FileBuffer")
        assert "ulimit -l" in remedy
        assert "ulimit" not in other
    assert told["VmLck"] == 0


def test_a_stand_in_serves_and_says_what_it_is(tmp_path: Path, volatile_kind: str) -> None:
    """A LockedBuffer as to its type and use; the backing, the repr, guarantees() and one warning each tell.

    That it is not locked, and under LOCKED which call was refused with which error, what serves, and the remedy.
    """
    told = limited(
        """
kept = []
for word in ("volatile", "file"):
    made = warned(lambda: LockedBuffer(32, policy=policy(word)))
    made = warned(lambda: LockedBuffer(32, policy=policy(word)))  # each is told, not only the first
    buffer = made[0]
    kept.append(buffer)
    buffer.copy_from(b"s" * 32)
    found = buffer.guarantees()
    told[word] = [type(buffer).__name__, buffer.backing, repr(buffer), made[1], buffer == b"s" * 32, len(buffer),
                  [found[name].state for name in ("LOCKED", "NO_DUMP", "NOT_IN_CHILD", "GUARDED")],
                  found["LOCKED"].source]
held = stats()
told["stats"] = [held.volatile_size > 0, held.file_size, held.locked_size, held.secretmem_size]
del buffer, made, kept
told["after"] = [stats().volatile_size, stats().file_size]
told["files"] = os.listdir(directory)
""",
        tmp_path,
    )
    for word, kind in (("volatile", volatile_kind), ("file", "file")):
        name, backing, shown, warnings, is_equal, size, states, source = told[word]
        assert (name, backing, is_equal, size) == ("LockedBuffer", kind, True, 32)
        assert shown == f"<LockedBuffer 32 bytes, {kind}, closed, NOT LOCKED (the fallback of its policy serves)>"
        assert states == ["refused", "verified", "verified", "verified"]
        assert source.startswith(("mlock: ", "mmap(secretmem): "))
        assert f". The fallback of the policy serves instead: {unlocked.SERVES[kind]}. " in source
        assert "raise the lock limit" in source
        assert "ulimit" in source
        (warning,) = warnings
        reason = source.partition(". ")[0]
        assert f"a LockedBuffer of 32 bytes could not be locked ({reason})" in warning
        assert "the fallback of its policy serves" in warning
    assert told["stats"] == [True, 4096, 0, 0]
    assert told["after"] == [0, 0]
    assert told["files"] == []


def test_the_warning_names_the_line_that_made_it(tmp_path: Path) -> None:
    """And as an error it leaves nothing behind."""
    told = limited(
        """
def make():
    return LockedBuffer(32, policy=policy("file"))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    make().destroy()
told["where"] = [caught[0].filename, caught[0].lineno == make.__code__.co_firstlineno + 1]
warnings.simplefilter("error")
try:
    make()
except StrongroomWarning:
    told["error"] = True
told["left"] = stats().file_size
""",
        tmp_path,
    )
    assert told == {"where": ["<string>", True], "error": True, "left": 0}


def test_the_order_is_kept_and_what_does_not_fit_is_left_out(tmp_path: Path, volatile_kind: str) -> None:
    """The first that works: volatile holds a page, aligned to 16 at most; of the errors each way says why not."""
    told = limited(
        """
def made(size, *words, **more):
    return backing(warned(lambda: LockedBuffer(size, policy=policy(*words), **more)))
told["both"] = [made(32, "volatile", "file"), made(32, "file", "volatile")]
told["large"] = [made(5000, "volatile", "file"), made(5000, "volatile")]
told["aligned"] = [made(32, "volatile", align=16), made(32, "volatile", "file", align=32)]
told["aligned"].append(made(32, "volatile", align=64))
told["isolated"] = [made(32, "volatile", isolated=flag) for flag in (True, False, None)]
buffer = warned(lambda: LockedBuffer(100, policy=policy("file"), align=4096))[0]
with buffer.open("rw") as view:
    told["address"] = address_of(view) % 4096
    view[:] = b"a" * 100
told["kept"] = buffer == b"a" * 100
buffer = warned(lambda: LockedBuffer(33, policy=policy("volatile"), align=16))[0]
with buffer.open() as view:
    told["sixteen"] = address_of(view) % 16
def words(*fallback, directory):
    return str(warned(lambda: LockedBuffer(5000, policy=Policy(fallback=fallback, directory=directory)))[0])
told["words"] = words("volatile", "file", directory="/dev/shm")
told["nowhere"] = words("file", directory="/no/where")
""",
        tmp_path,
    )
    assert told["both"] == [volatile_kind, "file"]
    assert told["large"] == ["file", "LockLimitError"]
    assert told["aligned"] == [volatile_kind, "file", "LockLimitError"]
    assert told["isolated"] == [volatile_kind] * 3
    assert (told["address"], told["sixteen"], told["kept"]) == (0, 0, True)
    for word in (
        "The fallback did not serve either: ",
        "droppable: one page, for up to",
        "partial: one page",
        "file: '/dev/shm'",
    ):
        assert word in str(told["words"])
    assert "file in '/no/where': open(directory): No such file or directory" in str(told["nowhere"])


def test_what_is_never_replaced(tmp_path: Path) -> None:
    """A backing by name, a Secret, its key and its rooms: LockLimitError, whatever the policy of the program says."""
    told = limited(
        """
strongroom.configure(policy=policy("volatile", "file"))
told["auto"] = backing(warned(lambda: LockedBuffer(32)))
for name in ("locked", "secretmem"):
    told[name] = backing(warned(lambda: LockedBuffer(32, backing=name)))
def told_of(make):
    made, warnings = warned(make)
    return [type(made).__name__, warnings, "fallback" in str(made) and "did not serve" in str(made)]
told["secret"] = told_of(lambda: Secret.random(32))
told["large"] = told_of(lambda: Secret.build(100_000, lambda view: None))
told["sizes"] = [stats().volatile_size, stats().file_size]
""",
        tmp_path,
    )
    assert told["auto"] in ("droppable", "partial")
    assert told["locked"] == "LockLimitError"
    assert told["secretmem"] in ("LockLimitError", "UnsupportedError")
    assert told["secret"] == told["large"] == ["LockLimitError", [], False]
    assert told["sizes"] == [0, 0]


def test_a_room_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    """There is room for the key, and for no secret of two pages: opening it raises, the small one still opens."""
    told = limited(
        """
strongroom.configure(policy=policy("volatile", "file"))
small = Secret.random(32)
small.reveal()
made, warnings = warned(lambda: Secret.build(40_000, lambda view: None))
told["large"] = [type(made).__name__, warnings]
told["small"] = len(small.reveal())
told["sizes"] = [stats().volatile_size, stats().file_size]
""",
        tmp_path,
        limit=16384,
    )
    assert told == {"large": ["LockLimitError", []], "small": 32, "sizes": [0, 0]}


def test_waiting_comes_first(tmp_path: Path) -> None:
    """For so long the lock is waited for: given in time there is no stand-in, else there is one, after that time."""
    told = limited(
        """
keep = LockedBuffer(32, isolated=True)
patient = policy("file", wait_seconds=0.3)
begun = time.monotonic()
told["late"] = backing(warned(lambda: LockedBuffer(32, isolated=True, policy=patient)))
told["waited"] = time.monotonic() - begun
def give_back():
    time.sleep(0.1)
    keep.destroy()
thread = threading.Thread(target=give_back)
thread.start()
patient = policy("file", wait_seconds=50)
made = warned(lambda: LockedBuffer(32, isolated=True, policy=patient))
thread.join()
told["in time"] = [backing(made), made[1]]
""",
        tmp_path,
        limit=4096,
    )
    assert told["late"] == "file"
    assert float(str(told["waited"])) >= 0.3
    assert told["in time"] in (["locked", []], ["secretmem", []])


@pytest.mark.parametrize("shortfall", ["warn", "allow"])
def test_a_shortfall_that_is_allowed_comes_last(tmp_path: Path, shortfall: str) -> None:
    """The fallback first, also for shared pages; only where none serves is it an unlocked buffer, and each is told."""
    told = limited(
        f"""
def made(size, *words, **more):
    made = warned(lambda: LockedBuffer(size, policy=policy(*words, on_shortfall={shortfall!r}), **more))
    return [backing(made), len(made[1]), "NOT LOCKED" in repr(made[0])]
told["served"] = made(32, "file")
told["own pages"] = made(32, "file", isolated=True)
told["large"] = made(5000, "volatile")
told["none"] = made(32)
told["unlocked"] = [made(32, isolated=flag)[0] for flag in (True, False)]
""",
        tmp_path,
    )
    assert told["served"] == told["own pages"] == ["file", 1, True]
    assert told["large"] == told["none"] == ["locked", int(shortfall == "warn"), True]
    assert told["unlocked"] == ["locked", "locked"]


def test_contents_that_vanish(tmp_path: Path) -> None:
    """ContentsLostError at the next use; storing all the bytes brings it back, and nothing else does."""
    told = limited(
        """
import vanishing
buffer = warned(lambda: LockedBuffer(32, policy=policy("volatile")))[0]
buffer.copy_from(b"v" * 32)
def use():
    try:
        with buffer.open() as view:
            return bytes(view).decode()
    except ContentsLostError as error:
        return "lost"
vanishing.drop_page(buffer._layout()[0], buffer.backing)
told["uses"] = [buffer.intact, use()]
def partly():
    try:
        buffer.copy_from(b"w" * 31)
    except ContentsLostError:
        return "lost"
told["part"] = [partly(), buffer.intact]
buffer.copy_from(b"x" * 32)
told["again"] = [buffer.intact, use()]
told["has no build"] = not hasattr(buffer, "build")
""",
        tmp_path,
    )
    assert told["uses"] == [False, "lost"]
    assert told["part"] == ["lost", False]
    assert told["again"] == [True, "x" * 32]
    assert told["has no build"] is True
