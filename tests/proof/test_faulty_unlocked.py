"""A strongroom in Python whose files and vanishing pages can be made to do it wrong: each fault shows in its row."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="needs a Unix")

import proving
from strongroom.prove import machine

pytestmark = pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="needs Linux")
TRIALS = ("--only", "mapped", "--only", "partial", "--only", "droppable")


# A strongroom that does the same in Python, and can be made to do it wrong.
SECOND = """
import ctypes, mmap, os, strongroom
libc = ctypes.CDLL(None)
libc.mlock.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
MARK = b"s" * 16

class Access:
    def __init__(self, buffer): self.buffer = buffer
    def __enter__(self):
        self.buffer.check()
        return memoryview(self.buffer.page)[self.buffer.at :][: self.buffer.size]
    def __exit__(self, *_): self.buffer.check()

class Buffer:
    def hold(self, size, backing, at, page):
        self.size, self.backing, self.at, self.page = size, backing, at, page
        page[at - 16 : at] = MARK
    def check(self):
        if not self.intact: raise strongroom.ContentsLostError("lost")
    def open(self, mode="r"): return Access(self)
    def destroy(self): self.page.close()
    @property
    def intact(self): return "silent" in FAULTS or self.page[self.at - 16 : self.at] == MARK

def mapped(directory, size, flags=mmap.MAP_SHARED):
    file = os.open(directory, os.O_TMPFILE | os.O_RDWR, 0o600)
    os.ftruncate(file, 4096)
    page = mmap.mmap(file, 4096, flags=flags)
    os.ftruncate(file, size)
    os.close(file)
    return page

class VolatileBuffer(Buffer):
    def __init__(self, size, *, backing="auto", directory=None):
        if "locked" in FAULTS:
            page = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE)
            libc.mlock(ctypes.addressof(ctypes.c_char.from_buffer(page)), 4096)
        elif backing == "droppable":
            page = mmap.mmap(-1, 4096, flags=8 | mmap.MAP_ANONYMOUS)
        else:
            page = mapped(directory, 512)
        self.hold(size, backing, 16 if "head" in FAULTS else 2048, page)

class FileBuffer(Buffer):
    def __init__(self, size, directory):
        flags = mmap.MAP_PRIVATE if "private" in FAULTS else mmap.MAP_SHARED
        self.hold(size, "file", 16, mapped(directory, 4096, flags))
    def destroy(self):
        if "unburned" not in FAULTS:
            self.page[:] = bytes(4096)
            self.page.flush()
        super().destroy()

strongroom.VolatileBuffer, strongroom.FileBuffer = VolatileBuffer, FileBuffer
"""


@pytest.mark.parametrize(
    ("faults", "code", "expected"),
    [
        ("", 0, ("own file", "held", "held", "held")),
        # Head: in the part of the page that is the file's. Silent: no look at what lies beside the contents.
        ("head silent unburned", 1, ("own file", "LEAKED", "LEAKED", "UNNOTICED")),
        # A private mapping of a file is a copy of it, and that goes to the swap. Locked pages do not vanish.
        ("private locked", 1, ("LEAKED", "LEAKED", "not tried", "not tried")),
    ],
)
def test_a_library_with_faults_is_found_out(tmp_path: Path, faults: str, code: int, expected: tuple[str, ...]) -> None:
    """Each fault shows in its row; without one the same library holds, so it is the fault that was found."""
    proving.swap_or_skip()
    proving.disk_or_skip()
    if not machine.Machine().has_droppable:
        pytest.skip("needs Linux 6.11: memory that the kernel may drop")
    (tmp_path / "sitecustomize.py").write_text(f"FAULTS = {faults.split()!r}\n" + SECOND)
    run = proving.prove("--json", *TRIALS, environment={"PYTHONPATH": str(tmp_path)})
    words = tuple(row["strongroom"] for row in run.rows.values())
    assert (run.code, words) == (code, expected), run.out + run.err
    assert {row["cells"]["ordinary"]["word"] for row in run.rows.values()} == {"LEAKED"}
    if "locked" in faults:
        assert {row["cells"][row_id.split("-")[0]]["needs"] for row_id, row in list(run.rows.items())[2:]} == {
            "needs a system that drops the page"
        }
