"""Prove's end of a victim: its pipes, its protocol, and its end.

In: commands. Out: replies, or VictimError. Whoever makes one ends it (`with`), which kills it and its child.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
from typing import Any

from strongroom.prove import spawn
from strongroom.prove.model import DROPPABLE, NEEDS_LOCKS, ORDINARY, SECRETMEM, STORE_SECRETMEM, Backing
from strongroom.prove.tracer import OTHER, SIZE, TRACER, Tracers

REPLY_SECONDS = 30.0


class VictimError(Exception):
    """The victim could not do what it was told; nothing can be concluded from it."""


class _RefusedError(Exception):
    """A kind of memory that this machine does not give, with what it would need."""


def _needs(reply: dict[str, Any], command: dict[str, Any]) -> str | None:
    """The reason for a cell, if the error is one of those that mean `not here`."""
    types = reply.get("type", [])
    if "LockLimitError" in types:
        return NEEDS_LOCKS
    if "UnsupportedError" in types:
        if command.get("kind") in (SECRETMEM, STORE_SECRETMEM):
            return "needs a kernel that offers it"
        if command.get("kind") == DROPPABLE:
            return "needs Linux 6.11"
        return str(reply["error"]).partition(": ")[2]  # no fault of the kernel: a broken PyNaCl, say
    return None


class Victim:
    """One victim process."""

    def __init__(self, marker: str, errors: int, errors_path: str, cgroup_procs: str | None = None) -> None:
        self._errors_path = errors_path
        command_in, self._commands = os.pipe()
        self._replies, reply_out = os.pipe()
        tracer_in, self._tracers = os.pipe()
        child_in, self._child_commands = os.pipe()
        self._child_replies, child_out = os.pipe()
        self.leak, leak_out = os.pipe()
        theirs = {"tracers": tracer_in, "child_in": child_in, "child_out": child_out, "leak": leak_out}
        self._ours = [
            self._commands, self._replies, self._tracers, self._child_commands, self._child_replies, self.leak,
        ]  # fmt: skip
        self.child_pid: int | None = None
        self.backings: dict[str, Backing] = {}
        self.missing: dict[str, str] = {}
        self.files: dict[str, int] = {}  # on prove's own disk: what holds a tracer, and its inode
        self._buffers = {self._replies: b"", self._child_replies: b""}
        try:
            self._process = spawn.start(
                spawn.victim_command(json.dumps(theirs)), marker, stdin=command_in, stdout=reply_out,
                stderr=errors, pass_fds=tuple(theirs.values()), cgroup_procs=cgroup_procs,
            )  # fmt: skip
        finally:
            for descriptor in (command_in, reply_out, *theirs.values()):
                os.close(descriptor)

    def __enter__(self) -> Victim:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it; its child dies with it (PR_SET_PDEATHSIG)."""
        self._process.kill()
        self._process.wait()
        for descriptor in self._ours:
            os.close(descriptor)

    @property
    def pid(self) -> int:
        """The victim's pid."""
        return self._process.pid

    def ask(self, do: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its reply."""
        return self._ask(self._commands, self._replies, {"do": do, **parameters})

    def ask_child(self, do: str, **parameters: Any) -> dict[str, Any]:
        """The same, to the forked child."""
        return self._ask(self._child_commands, self._child_replies, {"do": do, **parameters})

    def _ask(self, commands: int, replies: int, command: dict[str, Any]) -> dict[str, Any]:
        try:
            os.write(commands, json.dumps(command).encode() + b"\n")
        except BrokenPipeError:
            raise VictimError(f"the victim is gone before {command['do']!r}") from None
        reply = self._read(replies, command["do"])
        if "error" in reply:
            if (needs := _needs(reply, command)) is not None:
                raise _RefusedError(needs)
            raise VictimError(f"the victim could not {command['do']!r}: {reply['error']}")
        return reply

    def _read(self, replies: int, what: str) -> dict[str, Any]:
        while b"\n" not in self._buffers[replies]:
            if not select.select([replies], [], [], REPLY_SECONDS)[0]:
                raise VictimError(f"the victim did not answer {what!r} within {REPLY_SECONDS:.0f} s")
            more = os.read(replies, 65536)
            if not more:
                raise VictimError(f"the victim died during {what!r}{self._last_words()}")
            self._buffers[replies] += more
        line, _, self._buffers[replies] = self._buffers[replies].partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _last_words(self) -> str:
        """The last line that victims wrote to their standard error, if any."""
        with contextlib.suppress(OSError), open(self._errors_path, encoding="utf-8", errors="replace") as file:
            lines = file.read().strip().splitlines()
            return f": {lines[-1]}" if lines else ""
        return ""

    def hold_all(self, tracers: Tracers) -> None:
        """Put one tracer into every kind of memory; what this machine does not give is noted in `missing`."""
        for kind in tracers.kinds:
            tracers.give(kind, self._tracers)
            try:
                reply = self.ask("hold", kind=kind, size=SIZE)
                self.backings[kind] = Backing(str(reply["seen"]), str(reply["claimed"]))
                self.files |= {str(name): int(inode) for name, inode in reply["files"].items()}
            except _RefusedError as refused:
                self.missing[kind] = str(refused)
                self.ask("discard", size=SIZE)
                continue
            # A tracer that is not there cannot be found: without this an empty victim would be "held".
            if self.look(tracers, kind) != TRACER:
                raise VictimError(f"the victim does not hold its tracer in {kind}")
        if ORDINARY in self.missing:
            raise VictimError("the victim could not hold ordinary memory")

    def look(self, tracers: Tracers, kind: str) -> str:
        """What lies now where a kind has its tracer, in the tracer's words."""
        shown = int(self.ask("show", kind=kind, size=SIZE)["result"])
        return tracers.next_in(self.leak, kind, SIZE) if shown == SIZE else OTHER

    def fork(self) -> int:
        """Have it fork; returns the child's pid once the child answers."""
        self.child_pid = int(self.ask("fork")["pid"])
        self._read(self._child_replies, "fork")
        return self.child_pid

    def crash(self) -> None:
        """Have it crash, and see that it did."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._commands, b'{"do": "crash"}\n')
        try:
            returncode = self._process.wait(REPLY_SECONDS)
        except subprocess.TimeoutExpired:
            raise VictimError("the victim did not die of its crash") from None
        if returncode != -signal.SIGSEGV:
            raise VictimError(f"the victim ended with {returncode} instead of SIGSEGV")
