"""What a region should do, as a model in plain Python: page by page, written from the documentation alone.

Each verb returns what may come of it: the errors of which one must be raised, and what is returned if there are none.
If there are none the model has changed; if there are it has not, but for a guard page that was touched.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from pages import LETTERS, PAGE
from strongroom import AccessError, DestroyedError, SecuredError, UnsupportedError, vm

Errors = set[type[Exception]]


class Outcome(NamedTuple):
    """One of these errors, or this result."""

    errors: Errors
    result: Any = None


def number_errors(value: object) -> Errors:
    """What is wrong with a number that is to be an offset or a size, whatever the region."""
    if not isinstance(value, int) or isinstance(value, bool):
        return {TypeError}
    return set() if 0 <= value < 1 << 64 else {ValueError}


def protection_errors(value: object) -> Errors:
    """What is wrong with a protection, for private memory."""
    if not isinstance(value, int) or isinstance(value, bool):
        return {TypeError}
    names = vm.protection_name(value).split(" | ") if 0 < value < 0x800 else []
    bases = [name for name in names if name not in ("GUARD", "NO_CACHE", "WRITE_COMBINE")]
    if len(bases) != 1 or len(names) > 2 or (bases == ["NO_ACCESS"] and len(names) == 2):
        return {ValueError}
    if {"WRITE_COPY", "EXECUTE_WRITE_COPY", "NO_CACHE", "WRITE_COMBINE"} & set(names):
        return {UnsupportedError}
    return set()


def letters_of(protection: int) -> str:
    """What the system shows for a protection; 0 is reserved."""
    return "---" if protection == 0 or protection & vm.GUARD else LETTERS[protection]


def allows(protection: int, letter: str) -> bool:
    """Whether pages with a protection can be read ("r") or written ("w")."""
    return letter in letters_of(protection)


class Page:
    """One page: ``protection`` 0 is reserved; ``is_locked`` is the system's, ``was_locked`` by others before us."""

    __slots__ = ("is_locked", "locks", "protection", "was_locked")

    def __init__(self) -> None:
        self.protection = 0
        self.locks = 0
        self.is_locked = False
        self.was_locked = False


class Hold:
    """Someone who relies on a range: ``error`` is what the others get."""

    def __init__(self, pages: range, letter: str, error: type[Exception]) -> None:
        self.pages = pages
        self.letter = letter
        self.error = error


class Model:
    """One region."""

    def __init__(self, count: int, protection: int) -> None:
        self.pages = [Page() for _ in range(count)]
        self.size = count * PAGE
        self.content = bytearray(self.size)
        self.holds: list[Hold] = []
        self.is_released = False
        for page in self.pages:
            page.protection = protection

    # ---- arguments ----

    def range_of(self, offset: Any, size: Any) -> tuple[Errors, int, int]:
        """What is wrong with a range; else its first byte and the one after its last."""
        errors = number_errors(offset) | (set() if size is None else number_errors(size))
        if not number_errors(offset) and offset >= self.size:
            errors = errors | {ValueError}
        if not errors:
            stop = self.size if size is None else offset + size
            if offset >= self.size or stop <= offset or stop > self.size:
                errors = {ValueError}
        if self.is_released:
            errors = errors | {DestroyedError}
        return (errors, 0, 0) if errors else (errors, offset, stop)

    def pages_of(self, offset: Any, size: Any) -> tuple[Errors, range]:
        """The pages that a range touches."""
        errors, start, stop = self.range_of(offset, size)
        return errors, range(start // PAGE, (stop + PAGE - 1) // PAGE)

    def became(self, pages: range) -> tuple[int, int]:
        """A range of pages in bytes."""
        return pages.start * PAGE, len(pages) * PAGE

    def held(self, pages: Iterable[int], protection: int) -> Errors:
        """Whom it would hurt if these pages had that protection; 0 is being given back."""
        wanted = set(pages)
        return {h.error for h in self.holds if wanted & set(h.pages) and not allows(protection, h.letter)}

    # ---- verbs ----

    def commit(self, offset: Any, size: Any, protection: Any) -> Outcome:
        errors, pages = self.pages_of(offset, size)
        errors |= protection_errors(protection)
        errors = errors or self.held(pages, protection)
        if not errors:
            for number in pages:
                self.pages[number].protection = protection
        return Outcome(errors, self.became(pages))

    def decommit(self, offset: Any, size: Any) -> Outcome:
        errors, pages = self.pages_of(offset, size)
        errors = errors or self.held(pages, 0)
        if not errors:
            for number in pages:
                self.pages[number] = Page()
                self.content[number * PAGE : (number + 1) * PAGE] = bytes(PAGE)
        return Outcome(errors, self.became(pages))

    def protect(self, offset: Any, size: Any, protection: Any) -> Outcome:
        errors, pages = self.pages_of(offset, size)
        errors |= protection_errors(protection)
        if errors:
            return Outcome(errors)
        errors = self.held(pages, protection)
        if any(self.pages[number].protection == 0 for number in pages):
            errors.add(AccessError)
        if errors:
            return Outcome(errors)
        old = [self.pages[number].protection for number in pages]
        for number in pages:
            self.pages[number].protection = protection
        return Outcome(set(), (old[0], list(zip(pages, old, strict=True))))

    def restore(self, old: list[tuple[int, int]]) -> Outcome:
        """The end of protected()."""
        errors: Errors = set()
        if self.is_released:
            return Outcome({DestroyedError})
        for number, protection in old:
            wrong = self.held([number], protection)
            if self.pages[number].protection == 0:
                wrong = {AccessError}
            if not wrong:
                self.pages[number].protection = protection
            errors |= wrong
        return Outcome(errors)

    def lock(self, offset: Any, size: Any) -> Outcome:
        errors, pages = self.pages_of(offset, size)
        if not errors and any(not allows(self.pages[number].protection, "r") for number in pages):
            errors = {AccessError}
        if not errors:
            for number in pages:
                page = self.pages[number]
                if page.locks == 0:
                    page.was_locked = page.is_locked
                    page.is_locked = True
                page.locks += 1
        return Outcome(errors, self.became(pages))

    def unlock(self, offset: Any, size: Any) -> Outcome:
        errors, pages = self.pages_of(offset, size)
        if not errors and any(self.pages[number].locks == 0 for number in pages):
            errors = {AccessError}
        if not errors:
            self.unlock_each(pages)
        return Outcome(errors, self.became(pages))

    def unlock_each(self, pages: Iterable[int]) -> Outcome:
        """The end of locked()."""
        errors: Errors = set()
        if self.is_released:
            return Outcome({DestroyedError})
        for number in pages:
            page = self.pages[number]
            if page.locks == 0:
                errors = {AccessError}
                continue
            page.locks -= 1
            if page.locks == 0 and not page.was_locked:
                page.is_locked = False
        return Outcome(errors)

    def others_lock(self, pages: range, is_locked: bool) -> None:
        """Other code's mlock or munlock, which minds nobody's count."""
        for number in pages:
            self.pages[number].is_locked = is_locked

    def touch(self, offset: Any, size: Any, letter: str) -> tuple[Errors, int, int]:
        """A read or a write that stops at the first page that forbids it; a guard page is none afterwards."""
        errors, start, stop = self.range_of(offset, size)
        if errors:
            return errors, 0, 0
        for page in self.pages[start // PAGE : (stop + PAGE - 1) // PAGE]:
            if not allows(page.protection, letter):
                page.protection &= ~vm.GUARD
                return {AccessError}, 0, 0
        return set(), start, stop

    def read(self, offset: Any, size: Any) -> Outcome:
        errors, start, stop = self.touch(offset, size, "r")
        return Outcome(errors, bytes(self.content[start:stop]))

    def write(self, offset: Any, data: bytes) -> Outcome:
        errors, start, stop = self.touch(offset, len(data), "w")
        self.content[start:stop] = data if not errors else b""
        return Outcome(errors, len(data))

    def fill(self, offset: Any, size: Any, byte: int) -> Outcome:
        errors, start, stop = self.touch(offset, size, "w")
        self.content[start:stop] = bytes([byte]) * (stop - start)
        return Outcome(errors)

    def secure(self, offset: Any, size: Any, letter: str) -> Outcome:
        errors, pages = self.pages_of(offset, size)
        if not errors and any(not allows(self.pages[number].protection, letter) for number in pages):
            errors = {AccessError}
        return Outcome(errors) if errors else Outcome(errors, self.hold(pages, letter, SecuredError))

    def view(self, offset: Any, size: Any, letter: str) -> Outcome:
        errors, start, stop = self.touch(offset, size, letter)
        if errors:
            return Outcome(errors)
        pages = range(start // PAGE, (stop + PAGE - 1) // PAGE)
        return Outcome(errors, (self.hold(pages, letter, BufferError), start, stop))

    def hold(self, pages: range, letter: str, error: type[Exception]) -> Hold:
        self.holds.append(Hold(pages, letter, error))
        return self.holds[-1]

    def release(self) -> Outcome:
        if self.is_released:
            return Outcome(set())
        errors = {hold.error for hold in self.holds}
        self.is_released = not errors
        return Outcome(errors)
