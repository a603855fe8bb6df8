"""File systems of a test's own: an image in a file, mounted through a loop device, and searched raw. Linux, as root.

What lies in the image is what a disk would hold: the loop driver writes there what the file system sends to its device.
Sources: loop(4), losetup(8), mount(8).
"""

import contextlib
import ctypes
import mmap
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import needs
import vanishing
from strongroom import FileBuffer, UnsupportedError, VolatileBuffer

#: The least that each makes a file system in, in MiB; the image has holes and takes less.
_LEAST_MIB = {"ext4": 8, "ext2": 2, "btrfs": 128, "xfs": 320}
_OPTIONS = {"ext4": ["-q", "-F"], "ext2": ["-q", "-F"], "btrfs": ["-q", "-f"], "xfs": ["-q", "-f"]}
#: Long enough for a loaded machine.
_DEADLINE_SECONDS = 60

as_root = pytest.mark.skipif(
    not needs.LINUX or os.geteuid() != 0, reason="needs Linux and root: mounts a file system of its own"
)


def _run(*command: object) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_DEADLINE_SECONDS)
    if done.returncode != 0:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def on_disk(path: Path) -> Path:
    """Return this directory if its files lie on a disk."""
    try:
        FileBuffer(1, path).destroy()
    except UnsupportedError as error:
        pytest.skip(f"needs a directory on a disk: set TMPDIR or use --basetemp ({error})")
    return path


_MADV_PAGEOUT = 21  # linux/mman.h; Linux 5.4


def pages_of(buffer: FileBuffer | VolatileBuffer) -> tuple[int, int]:
    """Return where the pages of a buffer begin, and their size in bytes."""
    start, end, _steps = buffer._layout()
    return start, end - start


def resident(buffer: FileBuffer | VolatileBuffer) -> int:
    """Return how many pages of a buffer are in memory."""
    start, size = pages_of(buffer)
    told = (ctypes.c_ubyte * (size // mmap.PAGESIZE))()
    assert ctypes.CDLL(None).mincore(ctypes.c_void_p(start), ctypes.c_size_t(size), told) == 0
    return sum(flags & 1 for flags in told)


def write_out(buffer: FileBuffer | VolatileBuffer) -> None:
    """Have the system write a buffer's pages to their file, as it does by itself after half a minute."""
    start, size = pages_of(buffer)
    assert ctypes.CDLL(None).msync(ctypes.c_void_p(start), ctypes.c_size_t(size), 4) == 0  # MS_SYNC


def evict(buffer: FileBuffer | VolatileBuffer) -> None:
    """The same, and have it take them out of memory, as it does when memory is short."""
    write_out(buffer)
    start, size = pages_of(buffer)
    for _ in vanishing.cpus_in_turn():  # a page that was just touched waits in a list of one CPU
        if ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), _MADV_PAGEOUT):
            pytest.skip("needs Linux 5.4, which takes pages out of memory when it is asked to (MADV_PAGEOUT)")
        if resident(buffer) == 0:
            return
    raise AssertionError("the system keeps pages in memory that it was asked to take out")


def require(*tools: str) -> None:
    """Skip by name where one of these programs is missing."""
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")


class Mounted:
    """A mounted file system; ``image`` is the file that its device writes to, ``None`` if there is no such file."""

    def __init__(self, at: Path, image: Path | None = None, device: str = "") -> None:
        self.at = at
        self.image = image
        self.device = device
        self.kept = b""

    def count(self, needle: bytes) -> int:
        """Return how often the bytes lie in the raw image."""
        assert self.image is not None
        return self.image.read_bytes().count(needle)

    def cut_off(self) -> None:
        """Shorten the device: beyond its first quarter everything fails with EIO, as after a stick was pulled."""
        assert self.image is not None
        self.kept = self.image.read_bytes()
        os.truncate(self.image, len(self.kept) // 4)
        _run("losetup", "--set-capacity", self.device)

    def come_back(self) -> None:
        """Undo that."""
        assert self.image is not None
        self.image.write_bytes(self.kept)
        _run("losetup", "--set-capacity", self.device)

    def is_empty(self) -> bool:
        """Whether no file has a name here."""
        return set(os.listdir(self.at)) <= {"lost+found"}

    def fill(self, name: str = "ballast") -> None:
        """Write until there is no room left, down to the last bytes."""
        with open(self.at / name, "ab", buffering=0) as file:
            before = -1
            while before != (before := file.tell()):  # what was kept back for the file's own blocks is there again then
                for step in (1 << 20, 1 << 12, 512):
                    with contextlib.suppress(OSError):
                        while file.write(bytes(step)):
                            pass
                with contextlib.suppress(OSError):
                    os.fsync(file.fileno())


def unmount(point: Path) -> None:
    """Let nobody see what is mounted there; who is still in it keeps it."""
    _run("umount", "--lazy", point)


def _is_mounted(point: Path) -> bool:
    """Whether mountinfo has it, which asks no device, as stat(2) may; spaces are the only escapes in our names."""
    word = str(point).replace(" ", "\\040")
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as listing:
        return any(line.split(" ")[4] == word for line in listing)


@contextlib.contextmanager
def _at(point: Path, *words: object) -> Iterator[Path]:
    """Mount there while the block lasts; who is still in it keeps it, nobody else sees it."""
    point.mkdir(exist_ok=True)
    try:
        _run("mount", *words, point)
    except OSError as error:
        pytest.skip(f"needs to be let mount: {error}")
    try:
        yield point
    finally:
        if _is_mounted(point):  # else the test has done it
            unmount(point)


@contextlib.contextmanager
def image(
    where: Path,
    kind: str = "ext4",
    *,
    mib: int = 0,
    options: str = "",
    before: "Callable[[Path], None] | None" = None,
) -> Iterator[Mounted]:
    """Make a file system in a new image below ``where`` and mount it; ``before`` is given the image before that."""
    require(f"mkfs.{kind}", "losetup")
    file = where / f"{kind}.image"
    with open(file, "wb") as new:
        new.truncate((mib or _LEAST_MIB[kind]) << 20)
    _run(f"mkfs.{kind}", *_OPTIONS[kind], file)
    if before is not None:
        before(file)
    try:
        device = _run("losetup", "--find", "--show", file)
    except OSError as error:
        pytest.skip(f"needs a loop device: {error}")
    try:
        with _at(where / f"{kind} here", *(["-o", options] if options else []), device) as point:
            yield Mounted(point, file, device)
    finally:
        with contextlib.suppress(OSError):
            _run("losetup", "--detach", device)
        file.unlink()


@contextlib.contextmanager
def memory(where: Path, size: str = "16m") -> Iterator[Mounted]:
    """Mount a tmpfs below ``where``."""
    with _at(where / "memory", "-t", "tmpfs", "-o", f"size={size}", "none") as point:
        yield Mounted(point)


@contextlib.contextmanager
def overlay(where: Path, layers: Path) -> Iterator[Mounted]:
    """Mount an overlay whose files lie in ``layers``."""
    for name in ("lower", "upper", "work"):
        (layers / name).mkdir()
    words = ",".join(f"{option}={layers / name}" for option, name in
                     (("lowerdir", "lower"), ("upperdir", "upper"), ("workdir", "work")))  # fmt: skip
    with _at(where / "overlay", "-t", "overlay", "-o", words, "none") as point:
        yield Mounted(point)
