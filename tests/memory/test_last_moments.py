"""The matrix of docs/ends.md, seen from outside: what of a secret is in a process at the moment it ends.

The child is held by ptrace after its last instruction, with its pages as they were. Beside the buffer it has the same
content in ordinary memory, which must still be there (the control), so that "wiped" means us and not the kernel.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import needs
from observed import Memory

if not needs.LINUX:
    pytest.skip("needs Linux: ptrace and /proc; tests/windows has its own", allow_module_level=True)

import tracing
from endings import ALL_THERE, MARK, OURS_WIPED, scene
from strongroom.prove import cgroup

ROOT = Path(__file__).resolve().parents[2]
#: End, exit status.
WIPED = {
    "the last line": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "SystemExit": ("raise SystemExit(3)", 3),
    "an unhandled exception": ("raise KeyError('mine')", 1),
    "Ctrl-C": ("os.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)", -2),
    "a damaged canary": ("with buffer.open('rw') as view: flip(address_of(view) - 1)", -6),
}
KILLING = ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGBUS", "SIGILL", "SIGFPE", "SIGKILL")
NOT_WIPED = {
    **{name: (f"os.kill(os.getpid(), signal.{name})", -getattr(signal, name)) for name in KILLING},
    "os._exit": ("os._exit(3)", 3),
    "abort": ("os.abort()", -6),
    "a fault": ("peek(0)", -11),
}


@pytest.mark.parametrize("end", WIPED)
def test_wiped_by_us(end: str) -> None:
    """Closed and open buffers are zeros when the process ends, and mapped; the bytearray still has its content."""
    code, status = WIPED[end]
    with scene(code) as ended:
        ended.child.go()
        ended.child.hold_at(tracing.EVENT_EXIT)
        assert ended.observed() == OURS_WIPED
        assert ended.child.end() == status


@pytest.mark.parametrize("end", NOT_WIPED)
def test_not_wiped_by_us(end: str) -> None:
    """The kernel takes the pages with everything in them."""
    code, status = NOT_WIPED[end]
    with scene(code) as ended:
        ended.child.go()
        ended.child.hold_at(tracing.EVENT_EXIT)
        assert ended.observed() == ALL_THERE
        assert ended.child.end() == status


def test_the_page_has_these_rows() -> None:
    """docs/ends.md says of each end above what is seen here."""
    table = (ROOT / "docs/ends.md").read_text(encoding="utf-8").partition("\n\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| ")]
    names = {"SystemExit": "`SystemExit`", "sys.exit": "`sys.exit`", "abort": "`abort`", "os._exit": "`os._exit`"}
    for end in (*WIPED, *NOT_WIPED):
        (row,) = [cells for cells in rows if names.get(end, end) in cells[0]]
        assert row[1] == ("wiped" if end in WIPED else "**not wiped**"), end
        assert row[2] == ("**not wiped**" if end in ("SIGKILL", "os._exit") else "wiped"), end


def test_exec_wipes_nothing() -> None:
    """At the call everything is still there; after it the addresses belong to another program."""
    if tracing.EXECVE is None:
        pytest.skip("the number of execve is only known for x86_64 and aarch64")
    with scene("os.execv('/bin/true', ['true'])") as ended:
        ended.child.interrupt()
        ended.child.go()
        ended.child.hold_at_call(tracing.EXECVE)
        assert ended.observed() == ALL_THERE
        ended.child.go_on()
        ended.child.hold_at(tracing.EVENT_EXEC)
        with Memory(ended.child.pid) as replaced:
            assert replaced.count(MARK) == 0
        assert ended.child.end() == 0


#: What the group may hold. A Python with a few buffers has some 20 MiB.
GROUP_LIMIT_SIZE = 64 << 20


@contextlib.contextmanager
def small_group() -> Iterator[tuple[str, str]]:
    """A memory group of our own, removed afterwards; yields its folder and the name of its file of events."""
    place = cgroup.find_place()
    if place is None:
        pytest.skip("needs a memory control group of its own: root, and a cgroup file system that may be written to")
    group = os.path.join(place.folder, f"strongroom-test-{os.getpid()}")
    os.mkdir(group)
    limits = {1: ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"), 2: ("memory.max", "memory.swap.max")}
    values = (str(GROUP_LIMIT_SIZE), str(GROUP_LIMIT_SIZE) if place.version == 1 else "0")
    try:
        for name, value in zip(limits[place.version], values, strict=True):
            if os.path.exists(os.path.join(group, name)):  # that of swap: only where the kernel accounts for it
                with open(os.path.join(group, name), "w", encoding="utf-8") as file:
                    file.write(value)
        yield group, os.path.join(group, "memory.oom_control" if place.version == 1 else "memory.events")
    finally:
        for _ in range(500):
            try:
                os.rmdir(group)
                break
            except OSError:  # the kernel is still counting a process that is gone
                time.sleep(0.01)


#: Two seconds after it has killed (before Linux 5.18: at once) the kernel takes the pages of one that does not end,
#: mm/oom_kill.c, OOM_REAPER_DELAY. That is seen by the control, and then nothing else is. How often it may happen.
REAPED = 10


def test_the_out_of_memory_killer_wipes_nothing() -> None:
    """It ends a process as SIGKILL does, in a group whose memory is used up."""
    for _ in range(REAPED):
        seen = seen_of_one_that_is_killed()
        if seen[-1] == "there":
            assert seen == ALL_THERE
            return
    pytest.skip(
        f"the kernel took the pages of {REAPED} processes before they were looked at: needs a less busy machine"
    )


def seen_of_one_that_is_killed() -> list[str]:
    """What is observed of a process when it has used up its group's memory."""
    code = "eaten = []\nwhile True: eaten.append(bytearray(os.urandom(1 << 20)))"
    with small_group() as (group, events), scene(code) as ended:
        with open(os.path.join(group, "cgroup.procs"), "w", encoding="utf-8") as file:
            file.write(str(ended.child.pid))
        ended.child.go()
        ended.child.hold_at(tracing.EVENT_EXIT)
        seen = ended.observed()
        assert ended.child.end() == -9
        with open(events, encoding="utf-8") as file:
            assert "oom_kill 1" in file.read().splitlines()
        return seen


def test_the_group_is_gone_after_a_failure() -> None:
    """What the test above changes on the machine it takes back, also when it fails."""
    with pytest.raises(KeyError, match="mine"), small_group() as (group, _events):  # noqa: PT012
        assert os.path.isdir(group)
        raise KeyError("mine")
    assert not os.path.exists(group)


HARDENED = "harden(wipe_on_signals=(*TERMINATION_SIGNALS, *FAULT_SIGNALS))"


@pytest.mark.parametrize("end", sorted({*NOT_WIPED} - {"SIGKILL", "os._exit"}))
def test_wiped_by_us_when_hardened(end: str) -> None:
    """The same ends after ``harden(wipe_on_signals=...)``: wiped, and the process ends as before."""
    code, status = NOT_WIPED[end]
    with scene(code, HARDENED) as ended:
        ended.child.go()
        ended.child.hold_at(tracing.EVENT_EXIT)
        assert ended.observed() == OURS_WIPED
        assert ended.child.end() == status


@pytest.mark.parametrize("end", ["SIGKILL", "os._exit"])
def test_what_hardening_cannot_catch(end: str) -> None:
    """No program runs at these: not wiped, hardened or not."""
    code, status = NOT_WIPED[end]
    with scene(code, HARDENED) as ended:
        ended.child.go()
        ended.child.hold_at(tracing.EVENT_EXIT)
        assert ended.observed() == ALL_THERE
        assert ended.child.end() == status
