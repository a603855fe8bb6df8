"""vm.regions, vm.pages and vm.query where something is unusual: overlapping books, no /proc, terabytes."""

import mmap
import os
import time
from pathlib import Path

import pytest

import observed
import pages
from children import DEADLINE_SECONDS, Live, succeed
from pages import PAGE, needs_proc
from refusing import needs_injection
from strongroom import _native, vm

pytestmark = needs_proc

as_root = pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0, reason="a root directory or a /proc of one's own needs root"
)
TERABYTE = 1 << 40


def test_a_region_in_a_hole_of_another() -> None:
    """Other code unmaps a part of a region, another takes its place: rows and query() agree on whose it is."""
    with vm.reserve(8 * PAGE) as outer:
        outer.commit()
        at = outer.address
        assert pages.others_unmap(at + 2 * PAGE, 4 * PAGE) == 0
        with vm.reserve(4 * PAGE, address=at + 2 * PAGE) as inner:
            inner.commit(0, PAGE, vm.READ_ONLY)
            rows = [row for row in vm.regions() if at <= row.address < at + 6 * PAGE]
            said = [
                ((row.address - at) // PAGE, row.size // PAGE, row.state, row.secured, (row.allocation - at) // PAGE)
                for row in rows
            ]
            asked = [vm.query(row.address) for row in rows]
    assert said == [
        (0, 2, "committed", 0, 0),
        (2, 1, "committed", 0, 2),
        (3, 3, "reserved", 0, 2),
    ]
    assert [(row.address, row.size, row.allocation) for row in asked] == [
        (row.address, row.size, row.allocation) for row in rows
    ]


def test_who_knows_pages_that_can_only_be_executed() -> None:
    """What is no region of strongroom's is the system's answer, whatever word that has for it."""
    with mmap.mmap(-1, PAGE, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_EXEC) as made:
        info = vm.query(observed.address_of(made))
    assert (info.protection, info.known_by("protection"), info.known_by("state")) == (vm.EXECUTE, "system", "system")
    assert info.path == ""


@as_root
def test_no_proc_is_no_missing_process() -> None:
    """In a root directory without /proc each question is a SystemCallError that says so, other processes' included."""
    succeed(f"""
        import encodings.idna, tempfile
        from strongroom import vm
        os.chroot(tempfile.mkdtemp())
        for ask in (vm.regions, lambda: vm.regions({os.getpid()}), lambda: vm.pages(0, 1, pid=1), lambda: vm.query(1)):
            try:
                ask()
            except SystemCallError as error:
                assert error.errno == errno.ENOENT and "/proc, which is not here" in str(error), error
            else:
                raise AssertionError("there is an answer")
    """)


@as_root
def test_hidden_processes() -> None:
    """Where /proc is mounted with hidepid=1 nobody is told that there is something that everybody may read."""
    succeed(f"""
        from strongroom import vm
        NEWNS, PRIVATE = 0x20000, 0x4000 | 1 << 18  # linux/sched.h; MS_REC, MS_PRIVATE of linux/mount.h
        if libc.unshare(NEWNS) or libc.mount(None, b"/", None, ctypes.c_ulong(PRIVATE), None):
            children.skip("needs a mount name space of its own: CAP_SYS_ADMIN, which root in a container may lack")
        assert libc.mount(b"proc", b"/proc", b"proc", ctypes.c_ulong(0), b"hidepid=1") == 0
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        try:
            vm.regions({os.getpid()})
        except PermissionError as error:
            assert "hidepid" in str(error) and "everybody" not in str(error), error
            try:
                open("/proc/{os.getpid()}/status")
            except PermissionError:
                raise SystemExit
        raise AssertionError("it was not hidden")
    """)


@needs_injection
def test_terabytes_can_be_interrupted() -> None:
    """Where a sandbox refuses PAGEMAP_SCAN each entry is read; a signal's handler runs, and may end it."""
    succeed(f"""
        import errno, signal
        from strongroom import vm
        from faultinject import deny
        deny("ioctl", errno.EPERM)
        region = vm.reserve({8 * TERABYTE})
        def ring(*_):
            raise TimeoutError
        signal.signal(signal.SIGALRM, ring)
        begun = time.process_time()  # a machine that does other things takes no more of this
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            vm.pages(region.address, region.size)
        except TimeoutError:
            pass
        else:
            raise AssertionError("it was read before the signal came")
        assert time.process_time() - begun < 3, time.process_time() - begun
        region.commit({5 << 33}, 4096)
        region.write({5 << 33}, b"1337")  # and all that is in 80 GiB is found, a part at a time
        (before, found, after) = vm.pages(region.address, {10 << 33})
        assert (found.address - region.address, found.resident_size, found.size) == ({5 << 33}, 4096, 4096)
        assert before.size + found.size + after.size == {10 << 33}
    """)


def test_a_process_that_begins_another_program_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its listing and its page tables it maps other things: torn, for the pages are not those of the rows."""
    runs = _native.page_runs
    with Live("import mmap\nprint(1, flush=True)\ninput()\nprint(2, flush=True)\nos.execvp('cat', ['cat'])") as live:
        live.line()
        live.wait_asleep()
        assert not vm.regions(live.pid, "pages").torn  # the control

        def late(pid: int, start: int, end: int) -> object:
            if not told:
                told.append(pid)
                live.go()
                live.line()
                while "python" in Path(f"/proc/{live.pid}/maps").read_text():
                    time.sleep(0.001)
            return runs(pid, start, end)

        told: list[int] = []
        monkeypatch.setattr(_native, "page_runs", late)
        assert vm.regions(live.pid, "pages").torn
        monkeypatch.undo()
        deadline = time.monotonic() + DEADLINE_SECONDS  # until cat has loaded what it takes
        while vm.pages(0, 1 << 47, pid=live.pid).torn:
            assert time.monotonic() < deadline
            time.sleep(0.01)
