"""The table of docs/fork.md, row by row, seen from outside: a second process reads the child at the parent's addresses.

The parent keeps, in both backings, a closed buffer and one that is open, a secret whose room is open, idle rooms and
the key. Everything it has locked is found in the kernel's listing of it: nothing depends on strongroom's own word.
Tracers reach it by a pipe, straight into protected memory. One more goes into a bytearray, the control, which must be
readable in every child that a fork made, and one into the environment, which must be in every child that runs a new
program.
"""

import contextlib
import ctypes
import os
import re
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import needs
from children import DEADLINE_SECONDS, Live
from forkways import FORKS, OTHERS, PARENT, PROGRAMS
from observed import PAGE, Mapping, Memory, mapping_at, mappings

pytestmark = [needs.linux, needs.fork]
TABLE = Path(__file__).resolve().parents[2] / "docs" / "fork.md"
SIZE = 32


class Parent:
    """A process full of secrets, and what is where in it, as its own reader tells."""

    def __init__(self, live: Live, in_environment: bytes) -> None:
        self.live, self.in_environment = live, in_environment
        self.control = secrets.token_bytes(SIZE)
        self.tracers = [secrets.token_bytes(SIZE) for _ in range(int(live.line()))]
        live.send(self.control + b"".join(self.tracers))
        count, self.control_address, *self.views = map(int, live.line().split())
        listing = mappings(live.pid)
        self.locked = [mapping for mapping in listing if "lo" in mapping.flags]
        # the buffers, at least two rooms and the key: nothing is mlocked in that process but by strongroom
        assert len(self.locked) >= count + 2
        for view in self.views:
            assert mapping_at(view, self.locked) is not None

    def pages(self) -> list[int]:
        """Return every locked page."""
        return [page for mapping in self.locked for page in range(mapping.start, mapping.end, PAGE)]


@pytest.fixture
def parent() -> Iterator[Parent]:
    """A parent that waits; the reader reads its ordinary and its locked memory, which it must, and no secret memory."""
    in_environment = secrets.token_hex(SIZE)
    env = {"SR_TRACER": in_environment, "PYTHONWARNINGS": "ignore"}
    env["TMPDIR"] = needs.short_directory()  # for the socket of multiprocessing's fork server
    with Live(PARENT, env=env) as live:
        made = Parent(live, in_environment.encode())
        with Memory(live.pid) as memory:
            assert memory.read(made.control_address, SIZE) == made.control
            assert memory.read(made.views[0], SIZE) == made.tracers[0]
        yield made


def run(parent: Parent, code: str) -> None:
    """Have the parent run a piece of code."""
    parent.live.send(code.encode())


@contextlib.contextmanager
def looked_at(pid: int) -> Iterator[Memory]:
    """Give a reader of a process, and end that afterwards."""
    try:
        with Memory(pid) as memory:
            yield memory
    finally:
        os.kill(pid, signal.SIGKILL)


def vm_read(pid: int, address: int) -> bytes | None:
    """Read 16 bytes the other way another process can: process_vm_readv(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    content = ctypes.create_string_buffer(16)
    local = (ctypes.c_size_t * 2)(ctypes.addressof(content), 16)
    remote = (ctypes.c_size_t * 2)(address, 16)
    size = libc.process_vm_readv(pid, local, ctypes.c_ulong(1), remote, ctypes.c_ulong(1), ctypes.c_ulong(0))
    return content.raw if size == 16 else None


def is_placeholder(mapping: Mapping | None) -> bool:
    """Whether a mapping is inaccessible, private, unlocked and no copy of the parent's."""
    return mapping is not None and mapping.permissions == "---p" and not {"lo", "dc"} & mapping.flags


def has_nothing_of(memory: Memory, parent: Parent, *, is_program: bool = False) -> None:
    """No page of the parent's holds anything there, and none of its tracers is anywhere in the process.

    A program may have something of its own at an address: it must, where addresses are not random. Then it is no copy.
    """
    with Memory(parent.live.pid) as original:
        for page in parent.pages():
            found = memory.read(page, PAGE)
            is_its_own = is_program and found != original.read(page, PAGE)
            assert found in (None, bytes(PAGE)) or is_its_own
    assert memory.counts(parent.tracers) == dict.fromkeys(parent.tracers, 0)
    for name in os.listdir(f"/proc/{memory.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # it runs, and may have closed that one by now
            assert "secretmem" not in os.readlink(f"/proc/{memory.pid}/fd/{name}")


@pytest.mark.parametrize("how", FORKS)
def test_a_forked_child_has_ordinary_memory_and_none_of_ours(parent: Parent, how: str) -> None:
    """The control is there, byte for byte; of the parent's locked pages placeholders, or holes after a raw clone."""
    if how == "raw clone(2)" and os.uname().machine not in ("x86_64", "aarch64"):
        pytest.skip("needs the number of clone(2), which is only known for x86_64 and aarch64")
    run(parent, FORKS[how])
    pid = int(parent.live.line())
    with looked_at(pid) as memory:
        assert memory.read(parent.control_address, SIZE) == parent.control
        assert memory.count(parent.control) >= 1
        assert vm_read(pid, parent.control_address) == parent.control[:16]
        has_nothing_of(memory, parent)
        listing = memory.mappings()
        has_handlers = how != "raw clone(2)"
        for page in parent.pages():
            mapping = mapping_at(page, listing)
            assert is_placeholder(mapping) if has_handlers else mapping is None
            assert vm_read(pid, page) is None


def test_control_a_page_of_ours_that_was_inherited_would_be_found(parent: Parent) -> None:
    """The same reader at the same addresses finds the tracers when fork is allowed to copy them (MADV_DOFORK)."""
    start = parent.views[0] // PAGE * PAGE
    allow = f"assert libc.madvise(ctypes.c_void_p({start}), ctypes.c_size_t({PAGE}), 11) == 0"
    run(parent, allow + FORKS["os.fork"])
    with looked_at(int(parent.live.line())) as memory:
        assert memory.read(parent.views[0], SIZE) == parent.tracers[0]
        assert memory.count(parent.tracers[0]) == 1
        assert not is_placeholder(mapping_at(start, memory.mappings()))


@pytest.mark.parametrize("how", FORKS)
def test_what_calls_do_in_a_forked_child(parent: Parent, how: str) -> None:
    """Each use of what was inherited is a ForkedError, and the child makes its own; from then on holes are filled."""
    if how == "raw clone(2)" and os.uname().machine not in ("x86_64", "aarch64"):
        pytest.skip("needs the number of clone(2), which is only known for x86_64 and aarch64")
    run(parent, FORKS[how] + "\nos.write(writing, b'u')\n")
    if how == "subprocess with preexec_fn, before exec":
        pid, said = int(parent.live.line()), parent.live.line()
    else:
        both = {parent.live.line(), parent.live.line()}  # parent and child speak in any order
        pid = int(next(line for line in both if line.isdigit()))
        said = next(line for line in both if not line.isdigit())
    with looked_at(pid) as memory:
        assert said == "ForkedError"
        listing = memory.mappings()
        own = [mapping for mapping in listing if "lo" in mapping.flags]
        assert own  # its key, at least: and none where its parent has any
        assert all(is_placeholder(mapping_at(page, listing)) for page in parent.pages())
        has_nothing_of(memory, parent)


@pytest.mark.parametrize("how", PROGRAMS)
def test_a_child_that_runs_another_program_has_nothing(parent: Parent, how: str) -> None:
    """Nothing of the parent's is at its addresses, ordinary memory included; the environment, the control, is there."""
    run(parent, PROGRAMS[how])
    pid = int(parent.live.line())
    await_program(pid, parent)
    with looked_at(pid) as memory:
        assert memory.count(parent.in_environment) >= 1
        assert memory.count(parent.control) == 0
        has_nothing_of(memory, parent, is_program=True)


def test_between_vfork_and_exec_the_child_is_its_parent(parent: Parent, tmp_path: Path) -> None:
    """vfork(2), until exec: no copy but the same memory, locked pages readable in it as in the parent; then nothing.

    posix_spawn(3) makes such a child; opening a FIFO, one of the things it does before exec, holds it there.
    """
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    action = f"(os.POSIX_SPAWN_OPEN, 9, {str(fifo)!r}, os.O_RDONLY, 0)"
    run(parent, f'say(os.posix_spawnp("sleep", ["sleep", "60"], os.environ, file_actions=[{action}]))')
    pid = only_child(parent.live.pid)
    with Memory(pid) as memory:
        assert memory.read(parent.control_address, SIZE) == parent.control
        assert memory.read(parent.views[0], SIZE) == parent.tracers[0]
        assert {m[:2] for m in memory.mappings() if "lo" in m.flags} == {m[:2] for m in parent.locked}
    with open(fifo, "wb"):
        assert int(parent.live.line()) == pid
    await_program(pid, parent)
    with looked_at(pid) as memory:
        assert memory.count(parent.in_environment) >= 1
        has_nothing_of(memory, parent, is_program=True)


def await_program(pid: int, parent: Parent) -> None:
    """Wait until a child is the program that it runs.

    Who called vfork goes on when exec lets go of the old memory, which is before the child has the new one: fs/exec.c,
    exec_mmap(). The arguments are the last thing to be put there; until then there are the parent's, or none.
    """
    with open(f"/proc/{parent.live.pid}/cmdline", "rb") as file:
        parents = file.read()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if file.read() not in (b"", parents):
                return
        time.sleep(0.001)
    raise AssertionError("the child never ran its program")


def only_child(pid: int) -> int:
    """Return the one child of a process, once it has one."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # names are bytes
                if int(file.read().rpartition(b")")[2].split()[1]) == pid:
                    return int(name)
        time.sleep(0.01)
    raise AssertionError("no child appeared")


def test_a_thread_has_what_its_process_has(parent: Parent) -> None:
    """threads: one address space, so the kernel shows the same under the thread's own name, and every use works."""
    run(
        parent,
        """
def work():
    uses = lambda: views[0][0], lambda: views[-1][0], buffers[1].open().__enter__
    say(threading.get_native_id(), *map(told, uses))
    time.sleep(60)
threading.Thread(target=work, daemon=True).start()
""",
    )
    number, *outcomes = parent.live.line().split()
    assert outcomes == ["nothing"] * 3
    assert int(number) != parent.live.pid
    with open(f"/proc/{parent.live.pid}/task/{number}/mem", "rb", buffering=0) as file:
        file.seek(parent.views[0])
        assert file.read(SIZE) == parent.tracers[0]


def test_the_table_has_a_row_for_each_of_these() -> None:
    """docs/fork.md lists these ways to make a child and no other."""
    text = TABLE.read_text(encoding="utf-8").partition("## The table")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+?) \|", text, re.MULTILINE)
    expected = {"a child made by"} | FORKS.keys() | PROGRAMS.keys() | OTHERS
    assert {row.replace("`", "") for row in rows} == expected
