"""strongroom prove as a whole, on this machine: real swap, real cores, real readers."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fcntl", reason="needs a Unix")

_spec = importlib.util.spec_from_file_location("proving", Path(__file__).with_name("proving.py"))
assert _spec is not None
assert _spec.loader is not None
proving = importlib.util.module_from_spec(_spec)
sys.modules["proving"] = proving
_spec.loader.exec_module(proving)

pytestmark = pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="needs Linux")

STRONGROOM = ("secret-open", "secret-at-rest", "locked", "secretmem")
CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")


@functools.cache
def as_we_are() -> Any:
    """One --json run for several tests."""
    return proving.prove("--json")


@functools.cache
def as_nobody() -> Any:
    """The same without privilege."""
    return proving.prove("--json", unprivileged=True)


def assert_nothing_leaked(row: dict[str, Any]) -> None:
    """The control was found; strongroom's kinds were not, but for what their backing cannot hold."""
    cells = row["cells"]
    assert cells["ordinary"]["word"] == "LEAKED"
    assert cells["ordinary"]["copies"] + cells["ordinary"]["half_copies"] > 0
    is_reader = row["id"].startswith("reader-")
    for kind in list(cells)[1:]:
        cell = cells[kind]
        may_be_read = is_reader and (cell["backing"] == "anonymous" or kind == "secret-at-rest")
        allowed = {"held", "exposed"} if may_be_read else {"own file"} if row["id"] == "mapped-file" else {"held"}
        if cell["word"] == "not tried":
            assert re.search("lock limit|kernel", cell["needs"]), (row["id"], kind, cell)
        else:
            assert cell["word"] in allowed, (row["id"], kind, cell)
        if cell["word"] == "held":
            assert cell["copies"] == cell["half_copies"] == 0


def test_root_sees_all_eleven_attacks() -> None:
    """As root every attack runs, finds the ordinary copy, and does not find strongroom's."""
    proving.swap_or_skip()
    run = as_we_are()
    assert run.code == 0, run.out + run.err
    assert list(run.rows) == [
        "swapped", "core", "reader-user", "reader-root", "fork-child", "fork-swap", "freed", "mapped-file",
        "mapped-file-deleted", "partial-page", "droppable",
    ]  # fmt: skip
    lacking = "ptrace_scope|CAP_SYS_PTRACE|core limit|mkfs.ext4|/dev/loop|disk image, which failed: .*permitted|6.11"
    for row in run.rows.values():
        if row["needs"] is None or not re.search(lacking, row["needs"]):
            assert_nothing_leaked(row)
            assert row["attack"]["is_complete"] is True


def test_a_locked_buffer_is_really_read_by_another_process() -> None:
    """The reader is no strawman: memory that is only locked is found by it, and shown as exposed."""
    row = as_we_are().rows["reader-user"]
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
    run = as_we_are()
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
    run = as_nobody()
    assert run.code == 0, run.out + run.err
    assert run.content["system"]["is_root"] is False
    assert run.content["changes"] == []
    tried = [row for row in run.rows.values() if row["needs"] is None]
    for row in tried:
        assert_nothing_leaked(row)
    if run.content["system"]["ptrace_scope"] < 2:
        assert {"reader-user", "fork-child", "freed"} <= {row["id"] for row in tried}
    assert run.rows["reader-root"]["needs"] == "needs root"
    for row_id in ("fork-swap", "mapped-file", "mapped-file-deleted", "partial-page", "droppable"):
        assert run.rows[row_id]["needs"] == "needs root"


@pytest.fixture
def machine_with_swap() -> Iterator[None]:
    """A swap area that is not prove's."""
    proving.swap_or_skip()
    from strongroom.prove import changes, undo

    folder = changes.Directory(f"/var/tmp/strongroom-prove-test-{os.getpid()}")
    swap = changes.SwapFile(folder.path + "/swap")
    try:
        folder.apply()
        swap.apply()
        yield
    finally:
        assert undo.undo(swap.record()) is None
        assert undo.undo(folder.record()) is None


@pytest.mark.usefixtures("machine_with_swap")
def test_without_root_own_pages_are_swapped_where_there_is_swap() -> None:
    """Unprivileged on a machine with swap: the victim pages itself out, and the page table is the witness."""
    proving.unprivileged_or_skip()
    run = proving.prove("--json", "--only", "swapped", unprivileged=True)
    assert run.code == 0, run.out + run.err
    assert_nothing_leaked(run.rows["swapped"])


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


@pytest.fixture
def piped_cores() -> Iterator[str]:
    """A core_pattern that pipes cores to a program, as most distributions ship it."""
    if not proving.IS_ROOT or not os.access(CORE_PATTERN, os.W_OK):
        pytest.skip("needs root and a writable /proc/sys: run the tests with sudo, outside a container")
    before = CORE_PATTERN.read_text()
    piped = "|/bin/true %p"
    try:
        CORE_PATTERN.write_text(piped)
        yield piped
    finally:
        CORE_PATTERN.write_text(before)


def test_piped_cores_are_redirected_and_put_back(piped_cores: str) -> None:
    """As root a piped core_pattern is announced, changed for the trial, and the machine's own again afterwards."""
    run = proving.prove("--json", "--only", "core")
    assert run.code == 0, run.out + run.err
    assert_nothing_leaked(run.rows["core"])
    assert any(piped_cores in change["details"] for change in run.content["changes"])
    assert piped_cores in run.err
    assert CORE_PATTERN.read_text().strip() == piped_cores


@pytest.mark.usefixtures("piped_cores")
def test_piped_cores_need_root() -> None:
    """Unprivileged, a piped core_pattern is a reason, not a failure; nothing at all was shown, so not 0."""
    proving.unprivileged_or_skip()
    run = proving.prove("--json", "--only", "core", unprivileged=True)
    assert run.rows["core"]["needs"] == "needs root: cores are piped to a program"
    assert run.code == 3


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
    """Put a careless library in strongroom's place: every attack finds it, and the exit code says so."""
    (tmp_path / "sitecustomize.py").write_text(SLOPPY)
    tmp_path.chmod(0o755)
    run = proving.prove("--json", environment={"PYTHONPATH": str(tmp_path)})
    assert run.code == 1, run.out + run.err
    for row in run.rows.values():
        if row["needs"] is None:
            assert list(row["cells"].values())[1]["word"] == "LEAKED", row["id"]
            assert row["strongroom"] == "LEAKED"
    tried = {row["id"] for row in run.rows.values() if row["needs"] is None}
    changes = {change["what"] for change in as_we_are().content["changes"]}
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
    if not flags["IS_SHOWN"] and as_we_are().rows["freed"]["cells"]["secretmem"]["word"] == "not tried":
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
    assert {kind: row["cells"][kind]["word"] for kind in STRONGROOM} == dict.fromkeys(STRONGROOM, "LEAKED")


@pytest.mark.parametrize("is_closed", [False, True], ids=["open", "closed"])
def test_the_same_library_with_wiping_holds(tmp_path: Path, is_closed: bool) -> None:
    """What the test above finds is the missing wipe and nothing else."""
    code, row = freed_row_of(tmp_path, IS_SHOWN=False, WIPES=b"\0", CLOSES=is_closed)
    assert code == 0
    assert {row["cells"][kind]["word"] for kind in STRONGROOM} == {"held"}
    assert set(row["attack"]["looks"].values()) == {"zeros"}


def test_secret_memory_that_is_not_zero_is_not_held(tmp_path: Path) -> None:
    """Other bytes in memory that no reader sees may be anything: nothing is claimed."""
    code, row = freed_row_of(tmp_path, IS_SHOWN=False, WIPES=b"x", CLOSES=False)
    assert code == 3
    assert {row["cells"][kind]["needs"] for kind in STRONGROOM} == {"needs empty pages, not other bytes"}


def test_held_in_freed_memory_was_looked_at() -> None:
    """strongroom's own rooms are looked at and zero; what is unmapped is said to be so."""
    row = as_we_are().rows["freed"]
    looks = row["attack"]["looks"]
    assert set(looks) == {kind for kind in STRONGROOM if row["cells"][kind]["word"] != "not tried"}
    assert set(looks.values()) <= {"zeros", "unmapped", "used again"}
    if row["cells"]["secret-open"]["backing"] == "secretmem":
        assert looks["secret-open"] == looks["secret-at-rest"] == "zeros"
    assert "given back to the kernel" in row["more"]


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


def test_an_interpreter_that_wipes_is_no_control() -> None:
    """Where freed memory is wiped the control cannot leak: the trial proves nothing and says so."""
    run = proving.prove("--json", "--only", "freed", environment={"PYTHONMALLOC": "debug"})
    assert run.code == 3
    assert {cell["word"] for cell in run.rows["freed"]["cells"].values()} == {"no control"}


def test_a_machine_that_hibernates_shows_exposed(tmp_path: Path) -> None:
    """Where Secret uses `locked` memory its cells follow that backing, with a footnote, and nothing is a leak."""
    (tmp_path / "sitecustomize.py").write_text(
        "import strongroom.buffers.planning as planning\nplanning.power.can_hibernate = lambda: True\n"
    )
    environment = {"PYTHONPATH": str(tmp_path)}
    run = proving.prove("--json", "--only", "readers", environment=environment)
    row = run.rows["reader-user"]
    if row["needs"]:
        pytest.skip(row["needs"])
    assert run.code == 0, run.out + run.err
    assert row["cells"]["secret-open"]["word"] == "exposed"
    assert row["cells"]["secret-at-rest"]["word"] == "exposed"
    assert row["cells"]["secret-at-rest"]["copies"] == 0
    shown = proving.prove("--only", "readers", environment=environment)
    assert "exposed [1]" in shown.out
    assert "[1] memory with backing `locked`" in shown.out
    assert "[2]" not in shown.out  # no footnote that nothing points to


WITHOUT_SECRETMEM = """
import errno, importlib.util, sys
spec = importlib.util.spec_from_file_location("faultinject", sys.argv.pop(1))
faultinject = importlib.util.module_from_spec(spec)
spec.loader.exec_module(faultinject)
if not faultinject.is_supported():
    sys.exit(77)
faultinject.deny("memfd_secret", errno.ENOSYS)
from strongroom.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_kernel_without_secret_memory() -> None:
    """Where memfd_secret is missing that kind says so, the others are tried, and Secret shows what it has instead."""
    injector = Path(__file__).resolve().parents[1] / "faultinject.py"
    process = subprocess.run(
        [sys.executable, "-P", "-c", WITHOUT_SECRETMEM, str(injector), "prove", "--json", "--only", "freed"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if process.returncode == 77:
        pytest.skip("needs Linux on x86_64 or aarch64 to make system calls fail")
    run = proving.Run(process)
    assert run.code == 0, run.out + run.err
    cells = run.rows["freed"]["cells"]
    assert cells["secretmem"]["word"] == "not tried"
    assert "kernel" in cells["secretmem"]["needs"]
    assert cells["secret-open"]["word"] == "held"
    assert cells["secret-open"]["backing"] == "anonymous"


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
    content = as_we_are().content
    told = str(content["trials"])
    assert proving.looks_like_a_tracer(told) == []
    assert re.search(r"0x[0-9a-f]{6,}|\b[0-9a-f]{9,}-[0-9a-f]{9,}\b", told) is None
    assert proving.looks_like_a_tracer("x YmFzZTY0aXNub3RlbmNyeXB0aW9u0 x")  # the check can fail


def test_it_is_fast() -> None:
    """All attacks together take seconds: nobody has to be patient to be convinced."""
    assert sum(row["seconds"] for row in as_we_are().content["trials"]) < 15
