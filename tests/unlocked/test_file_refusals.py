"""Each call on the way to a private file, and to its end, is made to fail: the right error, nothing is left behind."""

import errno
import json
import os
from pathlib import Path

import pytest

import faultinject
import loopmounted
from children import succeed

pytestmark = pytest.mark.skipif(
    not faultinject.is_supported(), reason="fault injection needs Linux on x86_64 or aarch64"
)
PROT_NONE, PROT_READ_WRITE, MAP_SHARED = 0, 3, 1
DONTFORK, DONTDUMP, REMOVE, POPULATE_WRITE = 10, 16, 9, 23
ATTEMPTS = 10
NAMELESS = os.O_TMPFILE | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC if hasattr(os, "O_TMPFILE") else 0

#: One attempt is made before the count: the path of an error imports modules and grows the heap once.
SCENE = """
from faultinject import deny
directory = {directory!r}
kept = FileBuffer(32, directory)
kept.copy_from(b"k" * 32)
if {limited}:
    children.limit_locks(0)
def make():
    if not {limited}:
        return FileBuffer(9000, directory)
    return LockedBuffer(9000, policy=Policy(fallback=("volatile", "file"), directory=directory))
def count():
    gc.collect()
    listing = observed.mappings()
    ours = sum(directory in m.path for m in listing)
    return [ours, observed.descriptors(), len(os.listdir(directory)), stats().file_size], len(listing)
def outcome():
    try:
        make()
    except StrongroomError as error:
        return [type(error).__name__, error.call, error.errno, str(error)]
    return ["made", None, None, ""]
for call, code, condition in {denied!r}:
    deny(call, code, arg_equals=condition)
outcome()
before, mappings = count()
results = [outcome()[:3] for _ in range({attempts})]
{extra}
now, mappings_now = count()
print(json.dumps([outcome(), all(one == results[0] for one in results), before, now, mappings_now - mappings]))
"""

Denied = tuple[str, int, "tuple[int, int] | None"]


def attempt(directory: Path, *denied: Denied, limited: bool = False, extra: str = "") -> list[object]:
    """Return [error, call, errno, words] of equal attempts, which must leave nothing."""
    words = {"directory": str(directory), "limited": limited, "attempts": ATTEMPTS, "extra": extra}
    result, are_equal, before, now, grown = json.loads(succeed(SCENE.format(denied=denied, **words)))
    assert are_equal
    assert now == before, "pages, descriptors, files or what stats() counts were left behind"
    assert grown < ATTEMPTS // 2, "mappings were left behind"
    found: list[object] = result
    return found


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An empty one on a disk."""
    return loopmounted.on_disk(tmp_path)


MAKING: list[tuple[Denied, str]] = [
    (("openat", errno.EMFILE, (2, NAMELESS)), "open(O_TMPFILE)"),
    (("pwrite64", errno.EIO, None), "pwrite(private file)"),
    (("pwrite64", errno.EDQUOT, None), "pwrite(private file)"),
    (("mmap", errno.ENOMEM, (3, MAP_SHARED)), "mmap(private file)"),
    (("mremap", errno.ENOMEM, None), "mremap(private file)"),
    (("madvise", errno.EINVAL, (2, DONTDUMP)), "madvise(MADV_DONTDUMP)"),
    (("madvise", errno.EINVAL, (2, DONTFORK)), "madvise(MADV_DONTFORK)"),
    (("madvise", errno.EFAULT, (2, POPULATE_WRITE)), "madvise(MADV_POPULATE_WRITE)"),
    (("mprotect", errno.ENOMEM, (2, PROT_NONE)), "mprotect"),
    (("madvise", errno.EAGAIN, (2, POPULATE_WRITE)), "madvise(MADV_POPULATE_WRITE)"),
]


@pytest.mark.parametrize(("denied", "named"), MAKING, ids=[f"{named} {denied[1]}" for denied, named in MAKING])
def test_making_one(directory: Path, denied: Denied, named: str) -> None:
    """SystemCallError with the call's name and errno, and which directory it was for, or what ran out.

    What the kernel is short of for a moment is tried again, and not for ever.
    """
    kind, call, code, words = attempt(directory, denied)
    assert (kind, call, code) == ("SystemCallError", named, denied[1])
    if denied[1] != errno.EMFILE and not named.startswith(("mmap", "mremap", "mprotect")):
        assert repr(str(directory)) in str(words)


def test_making_one_that_has_a_name_first(directory: Path) -> None:
    """The same where no nameless file is to be had: opening, and drawing the name."""
    nameless = ("openat", errno.EOPNOTSUPP, (2, NAMELESS))
    named = ("openat", errno.EACCES, (2, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC))
    assert attempt(directory, nameless, named)[:3] == ["SystemCallError", "open(private file)", errno.EACCES]
    random = ("getrandom", errno.ENOSYS, None)
    assert attempt(directory, nameless, random)[:3] == ["SystemCallError", "getrandom", errno.ENOSYS]


@pytest.mark.parametrize(
    "denied", [MAKING[1][0], MAKING[4][0], MAKING[6][0]], ids=["pwrite", "mremap", "madvise(MADV_DONTFORK)"]
)
def test_making_a_stand_in(directory: Path, denied: Denied) -> None:
    """LockLimitError says what each way was refused, and leaves nothing either."""
    kind, call, _code, words = attempt(directory, denied, limited=True)
    assert kind == "LockLimitError"
    assert call in ("mlock", "mmap(secretmem)")
    assert "The fallback did not serve either: " in str(words)
    assert f"file in {str(directory)!r}: {denied[0][:6]}" in str(words)


def test_control_what_is_left_is_counted(directory: Path) -> None:
    """One that stays shows in the pages and in stats(), a file in the listing."""
    with pytest.raises(AssertionError, match="left behind"):
        attempt(directory, ("mseal", errno.EPERM, None), extra="stays = make()")
    with pytest.raises(AssertionError, match="left behind"):
        attempt(directory, ("mseal", errno.EPERM, None), extra="open(directory + '/stays', 'w').close()")


#: A buffer is destroyed twice while a call is refused. Told: errors, whether it is gone, what is left of it.
BURNING = """
from faultinject import deny
directory = {directory!r}
before = observed.descriptors()
buffer = FileBuffer(9000, directory)
with buffer.open("rw") as view:
    view[:] = b"b" * 9000
    address = address_of(view)
deny({call!r}, {code}, arg_equals={condition})
told = []
for _ in range(2):
    try:
        buffer.destroy()
        told.append("quiet")
    except SystemCallError as error:
        told.append(error.call)
pages = [m for m in observed.mappings() if directory in m.path]
wiped = not pages or observed.Memory(os.getpid()).read(address, 9000) == bytes(9000)
print(json.dumps([told, buffer.is_destroyed, len(pages), wiped, observed.descriptors() == before]))
sys.stdout.flush()
os._exit(0)
"""

ENDING: list[tuple[Denied, list[object]]] = [
    (("msync", errno.EIO, None), [["msync", "quiet"], True, 0, True, True]),
    (("madvise", errno.EOPNOTSUPP, (2, REMOVE)), [["quiet"] * 2, True, 0, True, True]),
    (("madvise", errno.EIO, (2, REMOVE)), [["quiet"] * 2, True, 0, True, True]),
    (("madvise", errno.EFAULT, (2, POPULATE_WRITE)), [["madvise(MADV_POPULATE_WRITE)", "quiet"], True, 0, True, True]),
    (("madvise", errno.EAGAIN, (2, POPULATE_WRITE)), [["madvise(MADV_POPULATE_WRITE)", "quiet"], True, 0, True, True]),
    (("munmap", errno.ENOMEM, (1, 5 * 4096)), [["munmap"] * 2, False, 1, True, False]),
    (("mprotect", errno.ENOMEM, (2, PROT_READ_WRITE)), [["mprotect"] * 2, False, 1, False, False]),
]


@pytest.mark.parametrize(("denied", "expected"), ENDING, ids=[f"{one[0][0]} {one[0][2]} {one[0][1]}" for one in ENDING])
def test_burning_one(directory: Path, denied: Denied, expected: list[object]) -> None:
    """What keeps the file from being overwritten is told once, and the memory goes; what keeps the memory, each time.

    That its space is not given back early is no failure.
    """
    call, code, condition = denied
    told = json.loads(succeed(BURNING.format(directory=str(directory), call=call, code=code, condition=condition)))
    assert told[:4] == expected[:4]
    assert list(directory.iterdir()) == []


SOAK = """
from observed_linux import no_huge_pages, own_size
place = {directory!r}
def live():
    with FileBuffer(5000, place, allow_memory=True) as buffer:
        with buffer.open("rw") as view:
            view[0] = 1
    buffer = FileBuffer(32, place, allow_memory=True)
    del buffer
    try:
        FileBuffer(32, place + "/none")
    except SystemCallError:
        pass
def figures():
    gc.collect()
    return [len(observed.mappings()), observed.descriptors(), len(os.listdir(place)), stats().file_size,
            own_size()]
no_huge_pages()
for _ in range({rounds} // 5):
    live()
before = figures()
for _ in range({rounds}):
    live()
print(json.dumps([before, figures()]))
"""


@pytest.mark.parametrize(("where", "rounds"), [("memory", 5000), ("disk", 50)])
def test_a_long_life_stays_flat(directory: Path, where: str, rounds: int) -> None:
    """Mappings, descriptors, files in the directory and memory after thousands of them are what they were."""
    if where == "memory" and not os.access("/dev/shm", os.W_OK):
        pytest.skip("needs a tmpfs at /dev/shm: a disk takes long")
    place = directory if where == "disk" else Path("/dev/shm")
    if where == "memory":
        place = place / f"strongroom-soak-{os.getpid()}"
        place.mkdir()
    try:
        before, after = json.loads(succeed(SOAK.format(directory=str(place), rounds=rounds), deadline_seconds=300))
        assert after[:4] == before[:4]
        assert after[4] - before[4] <= 1 << 20
    finally:
        if where == "memory":
            place.rmdir()
