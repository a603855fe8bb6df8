"""Three processes and two sections: memory that goes with its last user, and a file that stays.

    python shared_section.py

Windows has two kinds of mapped files. A persisted one shows a file; a non-persisted one is memory with a name, for
processes to talk through. Three processes use one of each, and say what they see; this one only gives them their turns.

    first    makes the memory, maps the file, writes into both
    second   finds both and answers; writes into a copy-on-write view of the file, which nobody else sees; is killed
             before it has flushed anything
    third    comes after both have ended: the name is nobody's, the file has what the others wrote

It works on every system that strongroom works on; when a name ends on macOS and the BSDs is in docs/vm/files.md.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from strongroom import SystemCallError, vm

SIZE = vm.GRANULARITY  # of the memory and of the file: a view may begin at its multiples
ANSWER_AT = 1_000  # where the second writes into the file, in bytes
MESSAGE_SIZE = 32  # each message, filled up with zeros


def message(view: vm.MappedView, offset: int = 0) -> str:
    """Return what was left at an offset."""
    return view.read(offset, MESSAGE_SIZE).rstrip(b"\0").decode() or "nothing"


def say(view: vm.MappedView, text: str, offset: int = 0) -> None:
    """Leave a message there."""
    view.write(offset, text.encode().ljust(MESSAGE_SIZE, b"\0"))


def first(name: str, path: str) -> Iterator[None]:
    """Make the section, and end as programs do."""
    section = vm.create_section(SIZE, name=name)
    memory = section.map()
    with open(path, "r+b") as opened:
        file = vm.map_file(opened, 0, SIZE)  # the file grows to it
    print(f"made the memory, {SIZE:,} bytes, which read: {message(memory)}")
    say(memory, "a question")
    say(file, "from the first")
    print("wrote into the memory: a question; into the file: from the first")
    yield
    print(f"the memory reads: {message(memory)}")
    print(f"the file reads: {message(file)}, and further on: {message(file, ANSWER_AT)}")
    yield
    for what in (memory, file):
        what.release()
    section.close()
    print("has unmapped everything, and ends")


def second(name: str, path: str) -> Iterator[None]:
    """Open what the first made, and get killed."""
    memory = vm.open_section(name).map()
    print(f"found the memory by its name; it reads: {message(memory)}")
    with open(path, "r+b") as opened:
        file = vm.map_file(opened)
        copy = vm.map_file(opened, protection=vm.WRITE_COPY)
    print(f"its copy-on-write view of the file reads: {message(copy)}")
    say(copy, "only the second sees this")
    say(memory, "an answer")
    say(file, "from the second", ANSWER_AT)
    print(f"wrote into that view, which reads: {message(copy)}; the other view of the file reads: {message(file)}")
    print("wrote into the memory: an answer; into the file: from the second; and flushed nothing")
    yield
    print(f"the first has ended, and the memory still reads: {message(memory)}")
    yield


def third(name: str, path: str) -> Iterator[None]:
    """Look for what the others left."""
    try:
        vm.open_section(name)
    except SystemCallError as error:
        print(f"the memory is gone: {error.call} finds no such name")
    with open(path, "rb") as opened, vm.map_file(opened, protection=vm.READ_ONLY) as file:
        print(f"the file reads: {message(file)}, and further on: {message(file, ANSWER_AT)}")
    yield


ROLES: dict[str, Callable[[str, str], Iterator[None]]] = {"first": first, "second": second, "third": third}


def play(role: str, name: str, path: str) -> None:
    """Be one of the three: after each turn an empty line, and wait for the next."""
    for _ in ROLES[role](name, path):
        print(flush=True)
        if not sys.stdin.readline():
            return


class Actor:
    """One of the three, in a process of its own."""

    def __init__(self, role: str, name: str, path: str) -> None:
        self.role = role
        command = [sys.executable, __file__, role, name, path]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def speak(self) -> None:
        """Print what it says up to the end of its turn, or its own end."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.strip():
                return
            print(f"{self.role + ':':8}{line.rstrip()}", flush=True)
        if self.process.wait() != 0:
            raise SystemExit(f"{self.role} failed")

    def go_on(self) -> None:
        """Give it its next turn."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.speak()

    def end(self) -> None:
        """Kill it if it runs yet, and forget it."""
        self.process.kill()
        self.process.communicate()


def main() -> None:
    """Give each its turns."""
    name = f"shared-section-{uuid.uuid4()}"
    actors: dict[str, Actor] = {}
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "file"
        file.touch()

        def enter(role: str) -> None:
            actors[role] = Actor(role, name, str(file))
            actors[role].speak()

        try:
            enter("first")
            enter("second")
            actors["first"].go_on()
            actors["first"].go_on()
            actors["second"].go_on()
            actors["second"].end()
            print("second: was killed")
            enter("third")
        finally:
            for actor in actors.values():
                actor.end()


if __name__ == "__main__":
    if len(sys.argv) == 4:
        play(*sys.argv[1:])
    else:
        main()
