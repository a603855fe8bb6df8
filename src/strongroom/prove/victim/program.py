"""The victim's line protocol: one JSON object per line in, one out.

In: commands on standard input, tracers on a pipe of their own. Out: {"ok": true, …} or {"error": …}. It ends
when its standard input does. Nothing secret is in its arguments, its environment or a command.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import resource
import select
import signal
import sys
from typing import Any

from strongroom.prove.attackers import libc, pages
from strongroom.prove.victim.kinds import Held, backing_at, hold


class Victim:
    """What is held, and the commands."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.tracers = int(parameters["tracers"])  # read end: where tracers come from
        self.child_in = int(parameters["child_in"])
        self.child_out = int(parameters["child_out"])
        self.leak = int(parameters["leak"])  # write end: what the forked child can see goes here
        self.disk: str | None = None  # where files go, if there is a disk for them
        self.has_stores = False  # ordinary memory has as many pages as a store, then
        self.held: dict[str, Held] = {}
        self.old: dict[str, int] = {}  # where released kinds had their plaintext

    def do(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry one command out."""
        result: dict[str, Any] = getattr(self, "do_" + command["do"])(command)
        return result

    def do_prepare(self, command: dict[str, Any]) -> dict[str, Any]:
        """Go to the run's folder, be an ordinary user if told so, and let the reader in where Yama would not."""
        import strongroom

        # What loads late is loaded now, the cipher above all: without capabilities, and in another folder, its
        # files may be out of reach.
        with contextlib.suppress(strongroom.StrongroomError):  # no lock budget, say: `hold` will tell
            strongroom.Secret.random(1).destroy()
        self.disk, self.has_stores = command.get("disk"), bool(command.get("stores"))
        if folder := command.get("folder"):
            os.chdir(folder)
        if command.get("drop"):
            libc.drop_capabilities()
        libc.prctl(libc.PR_SET_PTRACER, libc.PR_SET_PTRACER_ANY)  # EINVAL where there is no Yama
        return {"version": getattr(strongroom, "__version__", "?")}

    def do_hold(self, command: dict[str, Any]) -> dict[str, Any]:
        """Hold a tracer in one kind of memory."""
        kind = str(command["kind"])
        held = self.held[kind] = hold(kind, self.tracers, int(command["size"]), self.disk, has_stores=self.has_stores)
        return {"seen": held.backing, "claimed": held.claimed, "files": held.files}

    def do_show(self, command: dict[str, Any]) -> dict[str, Any]:
        """Show one held tracer to prove, and to nobody else."""
        return {"result": self.held[str(command["kind"])].show(self.leak, int(command["size"]))}

    def do_show_window(self, command: dict[str, Any]) -> dict[str, Any]:
        """Show what a store has in the pages from one on, a window of them, to prove."""
        held: Any = self.held[str(command["kind"])]
        return {"numbers": held.show_window(int(command["first"]), self.leak, int(command["size"]))}

    def do_notice(self, command: dict[str, Any]) -> dict[str, Any]:
        """Ask one kind that may vanish whether it did."""
        return {"noticed": self.held[str(command["kind"])].notices_loss()}

    def do_discard(self, command: dict[str, Any]) -> dict[str, Any]:
        """Empty the tracer pipe after a kind failed before it read its tracer; the bytes are not looked at."""
        reading = select.select([self.tracers], [], [], 0)[0]
        if reading:
            sink = os.open("/dev/null", os.O_WRONLY)
            os.splice(self.tracers, sink, int(command["size"]))
            os.close(sink)
        return {}

    def do_release(self, _: dict[str, Any]) -> dict[str, Any]:
        """Delete or destroy everything held."""
        for kind, held in self.held.items():
            held.release()
            if held.plaintext_at is not None:
                self.old[kind] = held.plaintext_at
        self.held.clear()
        gc.collect()
        return {}

    def do_look_back(self, command: dict[str, Any]) -> dict[str, Any]:
        """Show what lies now where a released kind had its plaintext: bytes or -errno, and in what memory.

        Secret memory is read by nobody else, and the library keeps empty rooms mapped: only a look from inside
        tells whether they are. Pages that are closed (PROT_NONE) are opened for the look.
        """
        address, size = self.old[str(command["kind"])], int(command["size"])
        now = backing_at(address)
        result = libc.write_from(self.leak, address, size)
        if result == -errno.EFAULT and now != "unmapped":
            first = address // pages.PAGE * pages.PAGE
            length = (address + size - first + pages.PAGE - 1) // pages.PAGE * pages.PAGE
            if libc.mprotect(first, length, libc.PROT_READ):
                result = libc.write_from(self.leak, address, size)
                libc.mprotect(first, length, libc.PROT_NONE)
        return {"result": result, "now": now}

    def do_page_out(self, _: dict[str, Any]) -> dict[str, Any]:
        """Ask the kernel to page all our own writable memory out: what can be done without root."""
        refused = 0
        for mapping in pages.mappings("self"):
            if mapping.permissions[1] == "w":
                refused += libc.madvise(mapping.start, mapping.end - mapping.start, libc.MADV_PAGEOUT) != 0
        return {"refused_mappings": refused}

    def do_crash(self, _: dict[str, Any]) -> dict[str, Any]:
        """Die as a crashing program does, in the folder of the run, with everything allowed into the core."""
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        with contextlib.suppress(ValueError, OSError):  # only CAP_SYS_RESOURCE may raise the hard limit
            resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        with open("/proc/self/coredump_filter", "w", encoding="utf-8") as file:
            file.write("0xff")  # core(5): private, shared, file-backed, headers, huge and DAX pages
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGSEGV)
        return {}

    def do_fork(self, _: dict[str, Any]) -> dict[str, Any]:
        """Fork a child that answers on pipes of its own."""
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
                libc.prctl(libc.PR_SET_PTRACER, libc.PR_SET_PTRACER_ANY)
                if os.getppid() == parent:
                    os.write(self.child_out, b'{"ok": true}\n')
                    serve(Child(self), self.child_in, self.child_out)
                status = 0
            finally:
                os._exit(status)
        return {"pid": child}


class Child:
    """The forked child: it looks at what it inherited where its parent had it, through the kernel.

    write(2) from an address and read(2) to it fail with EFAULT where there is no memory, so a hole is an
    answer and not a crash, and no copy is made in this process.
    """

    def __init__(self, victim: Victim) -> None:
        self.leak = victim.leak
        self.addresses = {kind: held.address for kind, held in victim.held.items() if held.address}

    def do(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry one command out."""
        address = self.addresses[command["kind"]]
        if command["do"] == "look":
            return {"result": libc.write_from(self.leak, address, int(command["size"]))}
        # "touch": write the first byte over itself, which gives the child a page of its own: a copy.
        reading, writing = os.pipe()
        try:
            done = libc.write_from(writing, address, 1)
            return {"result": libc.read_to(reading, address, 1) if done == 1 else done}
        finally:
            os.close(reading)
            os.close(writing)


def serve(program: Victim | Child, commands: int, replies: int) -> None:
    """Answer until the commands end."""
    buffer = b""
    while True:
        line, newline, rest = buffer.partition(b"\n")
        if not newline:
            more = os.read(commands, 4096)
            if not more:
                return
            buffer += more
            continue
        buffer = rest
        try:
            reply = {"ok": True, **program.do(json.loads(line))}
        except Exception as error:  # whatever it is, prove has to hear of it
            reply = {"error": f"{type(error).__name__}: {error}", "type": [c.__name__ for c in type(error).__mro__]}
        os.write(replies, json.dumps(reply).encode() + b"\n")


def main() -> None:
    """Begin; the parameters are descriptor numbers only."""
    serve(Victim(json.loads(sys.argv[1])), 0, 1)
