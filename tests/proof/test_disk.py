"""The disk of prove's own: made, searched below its file system, put back; and the trials on it with bad libraries."""

from __future__ import annotations

import errno
import importlib.util
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

fcntl = pytest.importorskip("fcntl", reason="needs a Unix")

_spec = importlib.util.spec_from_file_location("proving", Path(__file__).with_name("proving.py"))
assert _spec is not None
assert _spec.loader is not None
proving = importlib.util.module_from_spec(_spec)
sys.modules["proving"] = proving
_spec.loader.exec_module(proving)

pytestmark = pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="needs Linux")

from strongroom.prove import changes, disk, machine, mounts, restore, spawn, undo  # noqa: E402
from strongroom.prove.attackers import disk as attack  # noqa: E402

SIZE = 48
TRIALS = ("--only", "mapped", "--only", "partial", "--only", "droppable")


def mark(seed: int) -> bytes:
    """A tracer."""
    return random.Random(seed).randbytes(SIZE)


@pytest.fixture
def folder() -> Iterator[str]:
    """A work folder of ours on a real disk; where no disk can be made the test is skipped with the reason."""
    proving.disk_or_skip()
    made = changes.Directory(f"/var/tmp/strongroom-prove-disk-test-{os.getpid()}")
    try:
        made.apply()
        yield made.path
    finally:
        assert undo.undo(made.record()) is None


@pytest.fixture
def own_disk(folder: str) -> Iterator[disk.Disk]:
    """A mounted disk."""
    made = disk.Disk(folder, "test")
    try:
        made.apply()
        yield made
    finally:
        assert undo.undo(made.record()) is None


def mounted() -> str:
    """What is mounted now."""
    return Path("/proc/self/mountinfo").read_text()


def test_a_disk_is_made_and_put_back(folder: str) -> None:
    """It is ext4 in a private folder with pages for blocks; afterwards mount, loop device and image are gone."""
    made = disk.Disk(folder, "test")
    try:
        made.apply()
        assert made.point in mounted()
        assert mounts.kind_of(made.point, mounts.listed()) == "ext4"
        assert os.statvfs(made.point).f_bsize == 4096
        assert len(undo.loops_of(made.path)) == 1
        assert undo.loops_of(made.path + "x") == []
    finally:
        assert undo.undo(made.record()) is None
    assert made.point not in mounted()
    assert undo.loops_of(made.path) == []
    assert os.listdir(folder) == []
    assert undo.undo(made.record()) is None


def test_a_disk_that_was_never_mounted_is_put_back(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between loop device and mount: also a device that does not clear itself is let go of."""
    monkeypatch.setattr(disk, "_LO_FLAGS_AUTOCLEAR", 0)

    def stop(*_: object) -> None:
        raise OSError(errno.EPERM, "mount")

    monkeypatch.setattr(disk, "_mount", stop)
    made = disk.Disk(folder, "test")
    try:
        with pytest.raises(OSError, match="mount"):
            made.apply()
        assert len(undo.loops_of(made.path)) == 1
    finally:
        assert undo.undo(made.record()) is None
    assert undo.loops_of(made.path) == []
    assert os.listdir(folder) == []


def test_a_signal_leaves_no_device_open(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that comes when the device has just been attached waits until it can be let go of."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    real = fcntl.ioctl

    def interrupted(descriptor: int, request: int, argument: Any = 0) -> Any:
        try:
            return real(descriptor, request, argument)
        finally:
            if request == disk._LOOP_SET_STATUS64:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(disk, "fcntl", SimpleNamespace(ioctl=interrupted))
    made = disk.Disk(folder, "test")
    try:
        with pytest.raises(KeyboardInterrupt):
            made.apply()
        assert made.point in mounted()  # it came afterwards
    finally:
        signal.signal(signal.SIGINT, before)
        assert undo.undo(made.record()) is None
    assert undo.loops_of(made.path) == []


def test_a_busy_disk_is_told_and_can_be_put_back_later(own_disk: disk.Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody has a file open there it stays mounted, and the sentence says so."""
    monkeypatch.setattr(undo, "_PATIENCE_SECONDS", 0.0)
    with open(os.path.join(own_disk.point, "busy"), "w", encoding="ascii"):
        assert "still mounted" in str(undo.undo(own_disk.record()))
        assert own_disk.point in mounted()
    monkeypatch.undo()
    assert undo.undo(own_disk.record()) is None


def test_only_our_images_are_touched(tmp_path: Path) -> None:
    """A record without our prefix undoes nothing."""
    image = tmp_path / "image"
    image.touch()
    record = {"do": "disk", "path": str(image), "point": str(tmp_path)}
    assert "left alone" in str(undo.undo(record))
    assert image.exists()


def test_a_failing_mkfs_is_told(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What mkfs.ext4 says is in the reason, and nothing stays attached."""
    monkeypatch.setattr(disk, "_MKFS_OPTIONS", ("-b", "1"))
    made = disk.Disk(folder, "test")
    try:
        with pytest.raises(OSError, match=r"mkfs\.ext4 ended with 1"):
            made.apply()
    finally:
        assert undo.undo(made.record()) is None
    assert os.listdir(folder) == []


def test_a_disk_without_a_journal_is_an_orphan(own_disk: disk.Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the journal lost, too, `--restore` finds the folder, and unmounts before it removes."""
    folder = os.path.dirname(own_disk.path)
    monkeypatch.setattr(restore, "orphans", lambda _: [folder])
    settled, problems = restore.stale()
    assert (folder in settled, problems) == (True, [])
    assert own_disk.point not in mounted()
    assert not os.path.exists(folder)
    os.mkdir(folder, 0o700)  # for the fixture


@pytest.mark.parametrize(
    ("facts", "changed", "expected"),
    [
        ({"is_root": False}, False, "needs root"),
        ({}, True, "needs changes: a disk image"),
        ({"has": lambda _: False}, False, "needs CAP_SYS_ADMIN"),
        ({"mkfs": None}, False, "needs mkfs.ext4"),
        ({"control": "/no/such/file"}, False, "needs /no/such/file"),
        ({"folder": "/dev/shm"}, False, "needs --folder on a disk"),
        ({}, False, ""),
    ],
)
def test_what_a_disk_needs(
    facts: dict[str, Any], changed: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing is named."""
    monkeypatch.setattr(disk, "mkfs_path", lambda: facts.get("mkfs", "/sbin/mkfs.ext4"))
    monkeypatch.setattr(disk, "_LOOP_CONTROL", facts.get("control", "/dev/null"))
    this: Any = SimpleNamespace(is_root=facts.get("is_root", True), has=facts.get("has", lambda _: True))
    monkeypatch.setattr(mounts, "kind_of", lambda path, _: "tmpfs" if path == "/dev/shm" else "ext4")
    assert disk.needs(this, facts.get("folder", "/var/tmp"), no_changes=changed) == expected


MAPPER = """
import mmap, os, sys
folder = sys.argv[1]
token, tail, gone = (os.read(0, 48) for _ in range(3))
def mapped(name, size, at, what):
    file = os.open(folder + name, os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(file, size)
    page = mmap.mmap(file, 4096) if size == 4096 else mmap.mmap(file, size)
    page[at : at + 48] = what
    print(os.fstat(file).st_ino, flush=True)
    return page
kept = [mapped("/whole", 4096, 100, token), mapped("/deleted", 4096, 200, gone)]
import ctypes
file = os.open(folder + "/short", os.O_RDWR | os.O_CREAT, 0o600)
os.ftruncate(file, 512)
print(os.fstat(file).st_ino, flush=True)
page = mmap.mmap(file, 512)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
ctypes.memmove(address + 512, tail, 48)  # behind the end of the file, in its page
os.unlink(folder + "/deleted")
print("ready", flush=True)
os.read(0, 1)
"""


def attacked(own_disk: disk.Disk, pid: int, tracers: tuple[bytes, ...], **parameters: Any) -> dict[str, Any]:
    """Run the attack in its own process."""
    reading, writing = os.pipe()
    os.write(writing, b"".join(tracers))
    os.close(writing)
    try:
        return spawn.attack(
            "disk", "test", reading, path=own_disk.path, point=own_disk.point, pid=pid, count=len(tracers), size=SIZE,
            **parameters,
        )  # fmt: skip
    finally:
        os.close(reading)


def test_the_disk_is_read_below_its_file_system(own_disk: disk.Disk) -> None:
    """Copies are found, and in whose blocks, nameless files too; what lies behind a short file's end is nowhere."""
    tracers = tuple(mark(random.SystemRandom().randrange(1 << 60)) for _ in range(3))
    process = subprocess.Popen(
        [sys.executable, "-c", MAPPER, own_disk.point], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        process.stdin.write(b"".join(tracers))
        process.stdin.flush()
        inodes = [int(process.stdout.readline()) for _ in range(3)]
        files = dict(zip(("whole", "nameless", "short"), inodes, strict=True))
        assert process.stdout.readline() == b"ready\n"
        told = attacked(own_disk, process.pid, tracers, files=files)
        unknown = attacked(own_disk, process.pid, tracers, files={**files, "no such file": 1 << 30})
        process.kill()
    assert told["is_complete"] is True
    assert told["scanned_size"] == disk.DISK_SIZE
    whole, tail, nameless = told["needles"]
    assert whole == {"whole": 1, "half": 0, "where": {"whole": 1}}
    assert nameless == {"whole": 1, "half": 0, "where": {"nameless": 1}}
    assert tail == {"whole": 0, "half": 0, "where": {}}
    assert unknown["is_complete"] is False
    after = attacked(own_disk, os.getpid(), tracers, files=files, blocks=told["blocks"])
    assert [found["whole"] for found in after["needles"]] == [1, 0, 1]  # its process is gone, its file too
    lost = attacked(own_disk, os.getpid(), tracers, files=files, blocks={"short": told["blocks"]["short"]})
    assert lost["needles"][0]["where"] == {attack.ELSEWHERE: 1}
    assert lost["is_complete"] is False


FRESH = """
import ctypes, mmap, os
from strongroom.prove.attackers import pageout

processors = sorted(os.sched_getaffinity(0))
dropped = 0
for number in range(60):
    (here, there), (seen, told) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.sched_setaffinity(0, {processors[number % len(processors)]})
        page = mmap.mmap(-1, 4096, flags=8 | mmap.MAP_ANONYMOUS)
        page[0] = 1
        os.write(told, b"x")
        os.read(here, 1)
        os.write(told, page[:1])
        os._exit(0)
    os.read(seen, 1)
    pageout.run({"pids": [child]})
    os.write(there, b"x")
    dropped += os.read(seen, 1) == b"\\0"
    os.waitpid(child, 0)
    for descriptor in (here, there, seen, told):
        os.close(descriptor)
print(dropped)
"""


def test_a_page_that_was_touched_just_now_is_pushed_out() -> None:
    """Also on another processor, in whose batch it waits: what the kernel may drop it drops, every time."""
    if os.geteuid() != 0:
        pytest.skip("needs root: run the tests with sudo")
    if not machine.Machine().has_droppable:
        pytest.skip("needs Linux 6.11: memory that the kernel may drop")
    told = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout == "60\n"


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


def test_a_disk_that_is_refused_is_a_reason_and_no_fault(tmp_path: Path) -> None:
    """Where mounting is forbidden (most containers) the rows say so, and the exit code does not blame the machine."""
    proving.disk_or_skip()
    (tmp_path / "sitecustomize.py").write_text(
        "import strongroom.prove.disk as disk\n"
        "def refused(*_): raise PermissionError(1, 'mount: Operation not permitted')\n"
        "disk._mount = refused\n"
    )
    environment = {"PYTHONPATH": str(tmp_path)}
    run = proving.prove("--json", "--only", "mapped", "--only", "freed", environment=environment)
    row = run.rows["mapped-file"]
    assert row["needs"] == "needs a disk image, which failed: mount: Operation not permitted"
    assert (row["is_incomplete"], run.code) == (False, 0)
