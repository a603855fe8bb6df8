"""vm.regions of other processes: real programs beside pmap and psutil; those that change, end, or may not be seen."""

import contextlib
import importlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pages
from children import DEADLINE_SECONDS, Live, succeed, wait_for_state
from pages import PAGE, needs_proc
from strongroom import vm

pytestmark = needs_proc

#: Programs that do nothing until they are told, by what they are started with.
PROGRAMS = {
    "python": [sys.executable, "-c", "import ssl, sys; sys.stdin.read()"],
    "bash": ["bash", "-c", "read line"],
    "perl": ["perl", "-e", "<STDIN>"],
    "git": ["git", "cat-file", "--batch"],
    "node": ["node", "-e", "process.stdin.resume()"],
    "java": ["jshell", "-s"],
    "sqlite3": ["sqlite3"],
    "gdb": ["gdb", "-q", "-nx"],
    "wineserver": ["wineserver", "-f", "-p"],
    "awk": ["awk", "{ print }"],
    "cat": ["cat"],
    "ssh": ["ssh-agent", "-D"],
    "openssl": ["openssl", "sha256"],
}
#: Bytes of a path that pmap shows (procps-ng 4.0.2); psutil shows all of it.
SHOWN_BY_PMAP = 127
LETTERS = {value: letters for value, letters in pages.LETTERS.items() if value != vm.EXECUTE} | {vm.EXECUTE: "--x"}


class Programs:
    """All of them, begun at once; each is stopped before it is looked at, or figures differ for good reasons."""

    def __init__(self, directory: Path) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        wine = directory / "wine"
        wine.mkdir()
        environment = {**os.environ, "HOME": str(directory), "TMPDIR": str(directory), "WINEPREFIX": str(wine)}
        for name, command in PROGRAMS.items():
            if shutil.which(command[0]):
                self._running[name] = subprocess.Popen(
                    command,
                    cwd=Path(__file__).resolve().parents[2],
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )

    def stopped(self, name: str) -> int:
        """The process of a program, which has begun and is stopped."""
        if name not in self._running:
            pytest.skip(f"{PROGRAMS[name][0]} is not installed")
        process = self._running[name]
        deadline, last = time.monotonic() + 1, ""
        while time.monotonic() < deadline and process.poll() is None:
            try:
                now = Path(f"/proc/{process.pid}/maps").read_text(errors="replace")
            except OSError as error:
                is_hidden = isinstance(error, FileNotFoundError) and process.poll() is None  # /proc with hidepid=2
                if is_hidden or isinstance(error, PermissionError):
                    pytest.skip(f"{name} shields itself from its own user: needs CAP_SYS_PTRACE")
                break  # it has just ended
            if now and now == last:
                break
            last = now
            time.sleep(0.1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
        if process.poll() is not None:
            pytest.skip(f"{name} ended at once here (status {process.returncode})")
        process.send_signal(signal.SIGSTOP)
        wait_for_state(process.pid, "T")
        return process.pid

    def end(self) -> None:
        """End those that were begun, and only those."""
        for process in self._running.values():
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """The programs that are installed here."""
    made = Programs(tmp_path_factory.mktemp("programs"))
    yield made
    made.end()


def _letters(row: vm.PageInfo) -> str:
    return LETTERS[row.protection] + ("s" if row.is_shared else "p")


def _by_pmap(pid: int) -> dict[int, tuple[Any, ...]]:
    """What pmap shows of each mapping: sizes in kB by the names of its columns, then flags and path in one."""
    if shutil.which("pmap") is None:
        pytest.skip("no pmap: apt-get install procps")
    text = subprocess.run(["pmap", "-XX", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
    columns = text.splitlines()[1].split()
    first, last = columns.index("Size"), columns.index("VmFlags")
    found = {}
    for line in text.splitlines()[2:-2]:
        fields = line.split(None, last)
        sizes = dict(zip(columns[first:last], map(int, fields[first:last]), strict=True))
        kilobytes = tuple(sizes[name] for name in ("Size", "Rss", "Swap"))
        found[int(fields[0], 16)] = (_read_too(fields[1]), *kilobytes, " ".join(fields[last].split()))
    return found


def _by_psutil(pid: int) -> dict[int, tuple[Any, ...]]:
    found = {}
    for one in importlib.import_module("psutil").Process(pid).memory_maps(grouped=False):
        start, _, end = one.addr.partition("-")
        sizes = (one.rss, one.swap, one.pss, one.shared_clean + one.shared_dirty)
        found[int(start, 16)] = (int(end, 16), _read_too(one.perms), one.path if one.path != "[anon]" else "", *sizes)
    return found


def _resident_by_pagemap(pid: int, listing: vm.Listing) -> int:
    """The pages whose entry has its highest bit: proc_pid_pagemap(5)."""
    found = 0
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as file:
        for row in listing:
            if row.address < 1 << 63:
                entries = os.pread(file.fileno(), row.size // PAGE * 8, row.address // PAGE * 8)
                found += sum(byte >> 7 for byte in entries[7::8])
    return found * PAGE


def _read_too(letters: str) -> str:
    """What may be written may be read: no CPU here knows it otherwise, nor has Windows a word for it."""
    return letters.replace("-w", "rw")


def _for_psutil(listing: vm.Listing) -> dict[int, tuple[Any, ...]]:
    return {
        row.address: (
            row.address + row.size,
            _letters(row),
            row.path.removesuffix(" (deleted)") if row.path else "",  # psutil leaves that out
            row.resident_size,
            row.swapped_size,
            row.proportional_size,
            row.shared_size,
        )
        for row in listing
    }


def _in_kilobytes(listing: vm.Listing) -> dict[int, tuple[object, ...]]:
    kilobytes: dict[int, tuple[object, ...]] = {}
    for row in listing:
        assert row.resident_size is not None
        assert row.swapped_size is not None
        sizes = (row.size // 1024, row.resident_size // 1024, row.swapped_size // 1024)
        path = os.fsdecode(os.fsencode(row.path or "")[:SHOWN_BY_PMAP])
        kilobytes[row.address] = (_letters(row), *sizes, " ".join(f"{row.flags} {path}".split()))
    return kilobytes


@pytest.mark.parametrize("name", PROGRAMS)
def test_real_programs_as_pmap_and_psutil_see_them(programs: Programs, name: str) -> None:
    """Every mapping with its letters, path and flags, and what of it is resident, shared and swapped.

    pmap maps the C library itself, and other programs begin and end, or have something in common with this one: shares
    are compared with psutil, which runs here, and all of it until nothing has moved between the two: what is wrong
    stays so.
    """
    pid = programs.stopped(name)

    def by_pmap() -> tuple[object, object]:
        listing = vm.regions(pid, "smaps")
        assert (listing.pid, listing.torn, listing.unread) == (pid, False, ())
        assert len(listing) > 10
        return _in_kilobytes(listing), _by_pmap(pid)

    def by_pagemap() -> tuple[object, object]:
        listing = vm.regions(pid, "smaps")
        resident = sum(row.resident_size or 0 for row in vm.regions(pid, "pages"))
        theirs = _resident_by_pagemap(pid, listing)
        is_more = theirs >= sum(row.resident_size or 0 for row in listing)  # smaps leaves out the zeros that all share
        return (resident, True), (theirs, is_more)

    for look in (by_pmap, lambda: (_for_psutil(vm.regions(pid, "smaps")), _by_psutil(pid)), by_pagemap):
        deadline, (ours, theirs) = time.monotonic() + DEADLINE_SECONDS, look()
        while ours != theirs and time.monotonic() < deadline:
            ours, theirs = look()
        assert ours == theirs


def test_there_are_programs(programs: Programs) -> None:
    """The control: some of them run here, so that not everything above was skipped."""
    assert vm.regions(programs.stopped("python"))
    assert vm.regions(programs.stopped("cat"))


def test_a_listing_that_keeps_changing_is_torn() -> None:
    """A process that maps and unmaps all the time: sooner or later torn, always in order; one that sleeps never is."""
    # So many, and of such sizes, that another turn of it comes amid a reading where both share one CPU, too.
    code = "import mmap\nwhile True:\n  kept = [mmap.mmap(-1, 4096 * (1 + n % 7), prot=1) for n in range(2000)]"
    busy = subprocess.Popen([sys.executable, "-S", "-c", code])
    quiet = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    try:
        for detail in ("maps", "smaps"):
            deadline, is_torn = time.monotonic() + DEADLINE_SECONDS, False
            while not is_torn and time.monotonic() < deadline:
                rows = vm.regions(busy.pid, detail)
                is_torn = rows.torn
                assert all(low.address + low.size <= high.address for low, high in itertools.pairwise(rows))
            assert is_torn, detail
        quiet.send_signal(signal.SIGSTOP)  # it may be starting still
        wait_for_state(quiet.pid, "T")
        assert not any(vm.regions(quiet.pid, detail).torn for detail in ("maps", "smaps", "pages"))
    finally:
        for process in (busy, quiet):
            process.kill()
            process.communicate()


def test_only_that_process_knows() -> None:
    """Locks, promises and reservations of another process are not told; its lock is, by the system."""
    with Live(f"""
        from strongroom import vm
        region = vm.reserve({8 * PAGE})
        region.commit({PAGE}, {4 * PAGE})
        region.lock({PAGE}, {PAGE})
        print(region.address, flush=True)
        input()
    """) as live:
        at = int(live.line())
        rows = [row for row in vm.regions(live.pid, "smaps") if at <= row.address < at + 8 * PAGE]
        assert [(row.state, row.locks, row.secured) for row in rows] == [("committed", None, None)] * len(rows)
        assert [row.size for row in rows if row.is_locked] == [PAGE]
        (info,) = vm.pages(at + PAGE, PAGE, pid=live.pid)
        assert (info.resident_size, info.share_count, info.known_by("locks")) == (PAGE, 1, None)
        assert vm.pages(at, PAGE, pid=live.pid)[0].known_by("state") == "inferred"
        live.go()


def test_ended_processes() -> None:
    """One that is gone is an error; one that has ended and was not waited for has no memory."""
    process = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    process.kill()
    wait_for_state(process.pid, "Z")
    for detail in ("maps", "smaps", "pages"):
        assert (list(vm.regions(process.pid, detail)), vm.regions(process.pid, detail).unread) == ([], ())
    process.communicate()
    with pytest.raises(ProcessLookupError, match="no process"):
        vm.regions(process.pid)
    with pytest.raises(ProcessLookupError, match="no process"):
        vm.pages(0, PAGE, pid=process.pid)


def test_own_number() -> None:
    """This process by its number is this process, books included."""
    with vm.reserve(PAGE) as region:
        (row,) = [row for row in vm.regions(os.getpid()) if row.address == region.address]
        assert (row.state, row.secured) == ("reserved", 0)
        assert vm.regions(os.getpid()).pid is None


@pytest.mark.parametrize("wrong", [0, -1, 1 << 31])
def test_numbers_of_no_process(wrong: int) -> None:
    """ValueError, which names the argument."""
    with pytest.raises(ValueError, match="pid must be"):
        vm.regions(wrong)


def test_another_users_process() -> None:
    """PermissionError that names the file, the privilege, and what everybody may read, which everybody may."""
    code = """
        import re
        from strongroom import vm
        if os.getuid() == 0:
            os.setgid(65534); os.setuid(65534)
        if not os.access("/proc/PID/stat", os.R_OK):
            children.skip("what everybody may read is hidden here: needs a /proc that is mounted without hidepid")
        for ask in (lambda: vm.regions(PID), lambda: vm.regions(PID, "pages"), lambda: vm.pages(0, 1, pid=PID)):
            try:
                ask()
            except PermissionError as error:
                text = str(error)
            assert f"/proc/{PID}/" in text and "CAP_SYS_PTRACE" in text, text
            for name in ("status", "stat", "statm", "cmdline", "comm", "limits"):
                assert name in text
                open(f"/proc/{PID}/{name}").read()
    """
    other = os.getpid() if os.getuid() == 0 else 1
    if os.getuid() != 0 and os.path.exists("/proc/1") and os.stat("/proc/1").st_uid == os.getuid():
        pytest.skip("no process of another user is seen here: needs root, or a process 1 that is root's")
    succeed(code.replace("PID", str(other)))
