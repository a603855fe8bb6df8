"""Bad libraries in strongroom's place, each in a way of its own: prove finds them out, and says what it cannot tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fcntl", reason="needs a Unix")

import proving

pytestmark = pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="needs Linux")


# A strongroom whose memory is a bytearray: not locked, not hidden, not wiped.
SLOPPY = """
import strongroom

class Access:
    def __init__(self, data): self.data = data
    def __enter__(self): return memoryview(self.data)
    def __exit__(self, *_): pass

class LockedBuffer:
    def __init__(self, size, *, backing="auto"):
        self.backing = "secretmem" if backing == "auto" else backing
        self.data = bytearray(max(size, 600))[:size]
    def open(self, mode="r"): return Access(self.data)
    def destroy(self): del self.data
    def __enter__(self): return self
    def __exit__(self, *_): self.destroy()

class Secret(LockedBuffer):
    @classmethod
    def build(cls, size, fill):
        made = cls(size)
        fill(memoryview(made.data))
        return made
    @classmethod
    def random(cls, size): return cls(size)

class FileBuffer(LockedBuffer):
    intact = True
    def __init__(self, size, directory): super().__init__(size)

class VolatileBuffer(FileBuffer):
    def __init__(self, size, *, backing="auto", directory=None): super().__init__(size, directory)

strongroom.LockedBuffer, strongroom.Secret = LockedBuffer, Secret
strongroom.FileBuffer, strongroom.VolatileBuffer = FileBuffer, VolatileBuffer
"""


def test_a_library_that_does_not_hold_is_found_out(tmp_path: Path) -> None:
    """Put a careless library in strongroom's place: every attack finds it, and the exit code says so.

    Physical pages, which are not buffers, have careless libraries of their own: test_physical_pages.py.
    """
    (tmp_path / "sitecustomize.py").write_text(SLOPPY)
    tmp_path.chmod(0o755)
    run = proving.prove("--json", environment={"PYTHONPATH": str(tmp_path)})
    assert run.code == 1, run.out + run.err
    for row in run.rows.values():
        if row["needs"] is None and not row["id"].startswith("physical-"):
            assert list(row["cells"].values())[1]["word"] == "LEAKED", row["id"]
            assert row["strongroom"] == "LEAKED"
    tried = {row["id"] for row in run.rows.values() if row["needs"] is None}
    changes = {change["what"] for change in proving.as_we_are().content["changes"]}
    assert tried >= {"freed", *(("fork-child", "swapped") if "swap file" in changes else ())}
    assert tried >= ({"mapped-file", "partial-page"} if {"swap file", "disk image"} <= changes else set())


# A strongroom that hides its pages from readers and does everything else right, but wipes nothing: neither after a
# block nor when it is destroyed. Its pages stay mapped, open or closed.
UNWIPED = """
import ctypes, mmap, os, strongroom

libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

def page(is_hidden):
    if not is_hidden:
        return mmap.mmap(-1, 4096)
    descriptor = libc.syscall(447, 0)  # memfd_secret(2)
    os.ftruncate(descriptor, 4096)
    return mmap.mmap(descriptor, 4096, flags=mmap.MAP_SHARED)

class Access:
    def __init__(self, memory, size): self.memory, self.size = memory, size
    def __enter__(self): return memoryview(self.memory)[: self.size]
    def __exit__(self, *_): pass

class LockedBuffer:
    kept = []
    def __init__(self, size, *, backing="auto"):
        self.backing = "locked" if IS_SHOWN else "secretmem"
        self.size, self.memory = size, page(not IS_SHOWN)
        self.kept.append(self.memory)
    def open(self, mode="r"): return Access(self.memory, self.size)
    def destroy(self):
        if WIPES: self.memory[: self.size] = WIPES * self.size
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        if CLOSES: libc.mprotect(address, 4096, 0)
    def __enter__(self): return self
    def __exit__(self, *_): self.destroy()

class Secret(LockedBuffer):
    @classmethod
    def build(cls, size, fill):
        made = cls(size)
        fill(memoryview(made.memory)[:size])
        return made
    @classmethod
    def random(cls, size): return cls(size)

strongroom.LockedBuffer, strongroom.Secret = LockedBuffer, Secret
"""


def freed_row_of(tmp_path: Path, **flags: object) -> Any:
    """The freed row with that library in strongroom's place."""
    if not flags["IS_SHOWN"] and proving.as_we_are().rows["freed"]["cells"]["secretmem"]["word"] == "not tried":
        pytest.skip("needs a kernel with memfd_secret")
    head = "".join(f"{name} = {value}\n" for name, value in flags.items())
    (tmp_path / "sitecustomize.py").write_text(head + UNWIPED)
    tmp_path.chmod(0o755)
    run = proving.prove("--json", "--only", "freed", environment={"PYTHONPATH": str(tmp_path)})
    return run.code, run.rows["freed"]


@pytest.mark.parametrize("is_closed", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize("is_shown", [False, True], ids=["secretmem", "anonymous"])
def test_a_library_that_does_not_wipe_is_found_out(tmp_path: Path, is_shown: bool, is_closed: bool) -> None:
    """Pages that stay mapped with their contents are a leak, although (secret memory) no reader sees into them."""
    code, row = freed_row_of(tmp_path, IS_SHOWN=is_shown, WIPES=b"", CLOSES=is_closed)
    assert code == 1
    assert {kind: row["cells"][kind]["word"] for kind in proving.STRONGROOM} == dict.fromkeys(
        proving.STRONGROOM, "LEAKED"
    )


@pytest.mark.parametrize("is_closed", [False, True], ids=["open", "closed"])
def test_the_same_library_with_wiping_holds(tmp_path: Path, is_closed: bool) -> None:
    """What the test above finds is the missing wipe and nothing else."""
    code, row = freed_row_of(tmp_path, IS_SHOWN=False, WIPES=b"\0", CLOSES=is_closed)
    assert code == 0
    assert {row["cells"][kind]["word"] for kind in proving.STRONGROOM} == {"held"}
    assert set(row["attack"]["looks"].values()) == {"zeros"}


def test_secret_memory_that_is_not_zero_is_not_held(tmp_path: Path) -> None:
    """Other bytes in memory that no reader sees may be anything: nothing is claimed."""
    code, row = freed_row_of(tmp_path, IS_SHOWN=False, WIPES=b"x", CLOSES=False)
    assert code == 3
    assert {row["cells"][kind]["needs"] for kind in proving.STRONGROOM} == {"needs empty pages, not other bytes"}


def test_a_broken_cipher_is_not_the_kernels_fault(tmp_path: Path) -> None:
    """Only memfd_secret's refusal asks for another kernel; another lack is told in the library's own words."""
    broken = (
        "import strongroom\n"
        + "class Broken(strongroom.Secret):\n"
        + (
            "    @classmethod\n"
            "    def build(cls, *_): raise strongroom.UnsupportedError('no cipher: reinstall PyNaCl')\n"
            "strongroom.Secret = Broken\n"
        )
    )
    (tmp_path / "sitecustomize.py").write_text(broken)
    run = proving.prove("--json", "--only", "freed", environment={"PYTHONPATH": str(tmp_path)})
    cells = run.rows["freed"]["cells"]
    assert cells["secret-open"]["needs"] == cells["secret-at-rest"]["needs"] == "no cipher: reinstall PyNaCl"
    assert cells["locked"]["word"] == "held"
    assert run.code == 3


def test_a_victim_that_holds_nothing_proves_nothing(tmp_path: Path) -> None:
    """A library that throws the secret away would be "held" everywhere: prove looks first whether it is there."""
    forgetful = SLOPPY.replace("fill(memoryview(made.data))", "fill(memoryview(bytearray(size)))")
    (tmp_path / "sitecustomize.py").write_text(forgetful)
    run = proving.prove("--json", "--only", "freed", environment={"PYTHONPATH": str(tmp_path)})
    assert run.code == 3, run.out + run.err
    assert "does not hold its tracer in secret-open" in run.rows["freed"]["needs"]


def test_a_leak_outside_the_narrow_columns_is_shown(tmp_path: Path) -> None:
    """If only LockedBuffer leaks, the table shows its column although nobody asked for --wide."""
    only_buffer = SLOPPY.replace(", strongroom.Secret = LockedBuffer, Secret", " = LockedBuffer")
    (tmp_path / "sitecustomize.py").write_text(only_buffer)
    run = proving.prove("--only", "freed", environment={"PYTHONPATH": str(tmp_path)})
    assert run.code == 1, run.out + run.err
    assert "LockedBuffer, locked" in run.out
