"""The kinds that are not kept in RAM, and what ordinary programs have in their place: mapped files.

In: the pipe in which the tracer comes, and a folder on prove's own disk. As everywhere, a tracer goes from the pipe
straight into strongroom's memory. Between its coming and the attack nobody writes to it: a store that meets the very
moment in which the system writes the page is a case of its own (docs/prove.md).
"""

from __future__ import annotations

import mmap
import os
from typing import Any

from strongroom.prove.attackers import pages
from strongroom.prove.victim.kinds import OpenBuffer, Ordinary

FILE, PARTIAL, DROPPABLE = "file", "partial", "droppable"
KINDS = (FILE, PARTIAL, DROPPABLE)
HEAD_SIZE = 512  # the experiment of 2001: so much of a page belongs to the file, the rest to nobody
# What results call the files.
MAPPED, HEAD, OWN = "the mapped file", "the file of 512 bytes", "its own file"


class OrdinaryFiles(Ordinary):
    """A password that an ordinary program also keeps in mapped files: one of a page, one of 512 bytes."""

    def __init__(self, descriptor: int, size: int, folder: str) -> None:
        super().__init__(descriptor, size)
        token = self.objects[0]
        assert isinstance(token, bytes)
        self.paths, self.maps = [], []
        self.files = {}
        for name, length in ((MAPPED, mmap.PAGESIZE), (HEAD, HEAD_SIZE)):
            path = os.path.join(folder, f"ordinary-{length}")
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(file, length)
                mapped = mmap.mmap(file, length)
                self.files[name] = os.fstat(file).st_ino
            finally:
                os.close(file)
            mapped[length - size :] = token
            self.paths.append(path)
            self.maps.append(mapped)

    def release(self) -> None:
        """Delete as everybody does."""
        super().release()
        for mapped, path in zip(self.maps, self.paths, strict=True):
            mapped.close()
            os.unlink(path)


def _mapping_at(address: int) -> pages.Mapping | None:
    return next((each for each in pages.mappings("self") if each.start <= address < each.end), None)


class Vanishing(OpenBuffer):
    """A FileBuffer or a VolatileBuffer, filled and then only looked at."""

    def __init__(self, descriptor: int, buffer: Any) -> None:
        super().__init__(descriptor, buffer)
        assert self.address is not None
        mapping = _mapping_at(self.address)
        if mapping is not None and mapping.inode:
            self.backing = "file"
            self.files = {OWN: mapping.inode}
        elif mapping is not None and pages.is_droppable("self", self.address):
            self.backing = "droppable"

    def notices_loss(self) -> bool:
        """By every way that a program has: the question, the end of the block, and a new block."""
        import strongroom

        answers = [not self.buffer.intact]
        for use in (self.access.__exit__, self._open_again):
            try:
                use(None, None, None)
                answers.append(False)
            except strongroom.ContentsLostError:
                answers.append(True)
        return all(answers)

    def _open_again(self, *_: object) -> None:
        with self.buffer.open():
            pass


def hold(kind: str, descriptor: int, size: int, folder: str | None) -> Vanishing:
    """Take the next tracer from the pipe into one of these kinds."""
    import strongroom

    buffer: Any
    if kind == DROPPABLE:
        buffer = strongroom.VolatileBuffer(size, backing="droppable")
    elif folder is None:
        raise ValueError(f"{kind}: where should its file go?")
    elif kind == PARTIAL:
        buffer = strongroom.VolatileBuffer(size, backing="partial", directory=folder)
    else:
        buffer = strongroom.FileBuffer(size, folder)
    return Vanishing(descriptor, buffer)
