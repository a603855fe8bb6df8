"""The model of buffers that are opened, kept, frozen and destroyed in any order, by any thread."""

import threading
from collections.abc import Callable
from typing import TypeVar

from observed import AT_REST
from strongroom import Access, DestroyedError, LockedBuffer, PurgedError, View

Answer = TypeVar("Answer")


def by(is_elsewhere: bool, do: Callable[[], Answer]) -> Answer:
    """Do it here, or in a thread of its own; what it raises is raised here."""
    if not is_elsewhere:
        return do()
    answers: list[Answer] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(do())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors.pop()
    return answers.pop()


class Held:
    """The model of one buffer: what it should hold, who has it open, who kept a part of it."""

    def __init__(self, buffer: LockedBuffer, address: int, size: int) -> None:
        self.buffer = buffer
        self.is_shared = not buffer.is_isolated
        self.address = address
        self.content = bytearray(size)
        self.accesses: list[Opened] = []
        self.kept: list[Kept] = []
        self.is_destroyed = False
        self.is_purged = False
        self.is_frozen = False

    def allowed(self) -> set[str]:
        """The protections that its pages may have now."""
        if self.is_over():
            return {"gone"}
        if self.is_shared:
            return {"rw-"}
        if self.is_purged:
            return {"---", "r--", "rw-"}  # zeros, whatever their protection
        if any(opened.mode == "rw" for opened in self.accesses):
            return {"rw-"}
        if self.kept:
            return {"rw-"} if any(kept.mode == "rw" for kept in self.kept) else {"r--", "rw-"}
        return {"r--"} if self.accesses else {AT_REST}

    def refusal(self) -> type[Exception] | None:
        """What any use but its end is answered with."""
        return DestroyedError if self.is_destroyed else PurgedError if self.is_purged else None

    def is_over(self) -> bool:
        """Whether its memory went back."""
        return self.is_destroyed and not self.kept

    def is_quarantined(self) -> bool:
        """Whether something was kept past all blocks."""
        return bool(self.kept) and not self.accesses


class Opened:
    """One access that is open."""

    def __init__(self, held: Held, mode: str, access: Access, view: View) -> None:
        self.held = held
        self.mode = mode
        self.access = access
        self.view = view


class Kept:
    """One memoryview, taken from an access."""

    def __init__(self, opened: Opened, start: int) -> None:
        self.held = opened.held
        self.opened = opened
        self.mode = opened.mode
        self.start = start
        self.raw = memoryview(opened.view)[start:]
