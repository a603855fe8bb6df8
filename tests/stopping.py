"""Another process stopped in all its threads, to look at its registers and at every page it has touched.

Linux only. Sources: ptrace(2) (PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_GETREGSET), proc_pid_pagemap(5), elf.h.
"""

import ctypes
import os
import signal
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from observed_linux import Mapping, Memory
from tracing import ptrace

# linux/ptrace.h
_CONT, _SEIZE, _INTERRUPT, _GETREGSET = 7, 0x4206, 0x4207, 0x4204
_WALL = 0x40000000  # bits/waitflags.h: threads too

# elf.h: the general registers, and the widest set of vector registers that the kernel knows; and where among the
# general ones the stack pointer is (sys/user.h, asm/ptrace.h).
_NT_PRSTATUS, _NT_PRFPREG, _NT_X86_XSTATE, _NT_ARM_SVE = 1, 2, 0x202, 0x405
_VECTORS = {"x86_64": _NT_X86_XSTATE, "aarch64": _NT_ARM_SVE}.get(os.uname().machine, _NT_PRFPREG)
_STACK_POINTER_AT = {"x86_64": 19 * 8, "aarch64": 31 * 8}.get(os.uname().machine)

_PAGE = os.sysconf("SC_PAGESIZE")
_TOUCHED_SHIFT = 62  # pagemap: bits 62 and 63 are swapped and present
_CHUNK_SIZE = 4 << 20
#: Chunks overlap by this, so that nothing shorter is cut in two.
_OVERLAP_SIZE = 64


class Registers(NamedTuple):
    """Of one stopped thread."""

    stack_pointer: int
    general: bytes
    vector: bytes


class Chunk(NamedTuple):
    """Bytes of a mapping that lie together, and where."""

    mapping: Mapping
    address: int
    content: memoryview


class Stopper:
    """Stops a child, all of its threads, as often as asked. Ends it too: only a tracer is told how its threads end.

    ``PermissionError``: tracing is forbidden here.
    """

    def __init__(self, pid: int) -> None:
        if _STACK_POINTER_AT is None:
            raise PermissionError("where the stack pointer is, is only written for x86_64 and aarch64")
        self._pid = pid
        self.unread_size = 0  # of what the kernel refused, bytes
        self.threads = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
        self._buffer = memoryview(bytearray(_CHUNK_SIZE))
        for thread in self.threads:
            ptrace(_SEIZE, thread, 0, 0)
        self.memory = Memory(pid)
        self._pagemap = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.kill(self._pid, signal.SIGKILL)
        is_ours = _parent_of(self._pid) == os.getpid()  # then whoever started it waits for it
        for thread in self.threads:
            while not (is_ours and thread == self._pid) and os.WIFSTOPPED(os.waitpid(thread, _WALL)[1]):
                pass  # it is told of its end only after what it was told of before
        os.close(self._pagemap)
        self.memory.__exit__(kind, value, trace)

    def stop(self) -> None:
        """Stop every thread where it is."""
        for thread in self.threads:
            ptrace(_INTERRUPT, thread, 0, 0)
        for thread in self.threads:
            _, status = os.waitpid(thread, _WALL)
            if not os.WIFSTOPPED(status):
                raise RuntimeError(f"a thread of the child ended instead of stopping: {status:#x}")

    def go_on(self) -> None:
        """Let every thread run."""
        for thread in self.threads:
            ptrace(_CONT, thread, 0, 0)

    def are_waiting(self) -> bool:
        """Whether every thread of a stopped child is in a system call (proc_pid_syscall(5))."""
        for thread in self.threads:
            with open(f"/proc/{self._pid}/task/{thread}/syscall", encoding="ascii") as file:
                if file.read().split()[0] in ("-1", "running"):
                    return False
        return True

    def registers(self) -> list[Registers]:
        """Return what the threads of a stopped child have in their registers."""
        found = []
        for thread in self.threads:
            general = _register_set(thread, _NT_PRSTATUS)
            assert _STACK_POINTER_AT is not None
            pointer = int.from_bytes(general[_STACK_POINTER_AT : _STACK_POINTER_AT + 8], "little")
            found.append(Registers(pointer, general, _register_set(thread, _VECTORS)))
        return found

    def chunks(self, listing: list[Mapping]) -> Iterator[Chunk]:
        """Yield all memory that the child has touched and is no file's; each content until the next is asked for."""
        for mapping in listing:
            is_a_files = mapping.path.startswith("/") and "w" not in mapping.permissions
            if is_a_files or mapping.path.startswith("[v"):
                continue
            for start, end in self._touched(mapping):
                for address in range(start, end, _CHUNK_SIZE - _OVERLAP_SIZE):
                    into = self._buffer[: min(_CHUNK_SIZE, end - address)]
                    if self.memory.read_into(address, into):
                        yield Chunk(mapping, address, into)
                    else:
                        self.unread_size += len(into)

    def _touched(self, mapping: Mapping) -> Iterator[tuple[int, int]]:
        """Yield the runs of pages that have a frame or a place in swap; the others are zeros."""
        count = (mapping.end - mapping.start) // _PAGE
        entries = np.frombuffer(os.pread(self._pagemap, count * 8, mapping.start // _PAGE * 8), dtype=np.uint64)
        is_there = np.zeros(len(entries) + 2, dtype=np.int8)
        is_there[1:-1] = (entries >> np.uint64(_TOUCHED_SHIFT)) != 0
        edges = np.flatnonzero(np.diff(is_there))
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            yield mapping.start + first * _PAGE, mapping.start + last * _PAGE


def _parent_of(pid: int) -> int:
    """Return the number of a process's parent."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("PPid:"))


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


def _register_set(thread: int, kind: int) -> bytes:
    place = ctypes.create_string_buffer(1 << 16)
    vector = _IoVec(ctypes.addressof(place), len(place))
    ptrace(_GETREGSET, thread, kind, ctypes.addressof(vector))
    return place.raw[: vector.size]
