"""How each kind of memory holds its tracer.

In: the pipe in which the tracer comes. For strongroom's kinds it goes by readv(2) from the pipe into
strongroom's memory: no bytes object of it ever exists in this process. The ordinary kind does what ordinary
programs do with a password.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from typing import Any

from strongroom.prove.attackers import libc, pages

ORDINARY, SECRET_OPEN, SECRET_AT_REST = "ordinary", "secret-open", "secret-at-rest"
LOCKED, SECRETMEM = "locked", "secretmem"
_FILLER = "# nothing to see in this line of an ordinary settings file\n" * 64  # ~4 KiB: the token lies mid-page


class _Buffer(ctypes.Structure):
    """Py_buffer, to learn where the bytes of an object lie without copying them (PEP 3118)."""

    _fields_ = (
        ("buf", ctypes.c_void_p), ("obj", ctypes.py_object), ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t), ("readonly", ctypes.c_int), ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p), ("shape", ctypes.c_void_p), ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p), ("internal", ctypes.c_void_p),
    )  # fmt: skip


def address_of(exporter: object) -> int:
    """Where the bytes lie. The address stays good for as long as the exporter's block does."""
    buffer = _Buffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(exporter), ctypes.byref(buffer), 0)
    address = int(buffer.buf)
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(buffer))
    return address


def backing_at(address: int) -> str:
    """What the kernel says lies at an address: the library's own word is not asked."""
    for mapping in pages.mappings("self"):
        if mapping.start <= address < mapping.end:
            return "secretmem" if mapping.is_secretmem else "anonymous"
    return "unmapped"


def _fill(descriptor: int, view: Any) -> None:
    done = os.readv(descriptor, [view])
    if done != len(view):
        raise OSError(f"{done} of {len(view)} bytes of a tracer came")


class Held:
    """One kind, holding its tracer: where, and how to let go of it as its user would."""

    address: int | None = None
    backing: str = "ciphertext"  # what the kernel says lies there
    claimed: str = ""  # what the library says
    files: Mapping[str, int] = {}  # the mapped files that hold it: what they are called in results, and their inodes
    plaintext_at: int | None = None  # where it last lay as plaintext; stays known after the release

    def show(self, descriptor: int, size: int) -> int:
        """Write what is held into a pipe, so that prove knows that there is something to be found.

        The kernel copies from where it lies: no copy is made in this process. Returns bytes or -errno.
        """
        assert self.address is not None
        return libc.write_from(descriptor, self.address, size)

    def notices_loss(self) -> bool:
        """Whether the library says that the contents are lost."""
        return False

    def release(self) -> None:
        """Delete or destroy, whatever the kind's users do."""
        raise NotImplementedError


class Ordinary(Held):
    """A password as ordinary programs hold it: read, decoded, put into a header and a settings text."""

    def __init__(self, descriptor: int, size: int) -> None:
        token = os.read(descriptor, size)
        text = token.decode("ascii")
        header = {"Authorization": f"Bearer {text}"}
        settings = f"{_FILLER}password = {text}\n{_FILLER}"
        self.objects: list[object] = [token, text, header, settings]
        self.address = address_of(token)
        self.backing = "heap"

    def release(self) -> None:
        """Let go."""
        self.objects.clear()


class SecretAtRest(Held):
    """A sealed secret that nobody has open any more: there is no plaintext, so there is no address of it."""

    def __init__(self, descriptor: int, size: int) -> None:
        import strongroom

        self.secret = strongroom.Secret.build(size, lambda view: _fill(descriptor, view))

    def show(self, descriptor: int, size: int) -> int:
        """Open it once and close it again: at rest then means that it has been in use."""
        if self.address is not None:
            return super().show(descriptor, size)
        with self.secret.open() as view:
            self.plaintext_at = address_of(view)
            return os.write(descriptor, view)

    def release(self) -> None:
        """Let go."""
        self.secret.destroy()


class SecretOpen(SecretAtRest):
    """A secret in the hardest moment: decrypted in its room."""

    def __init__(self, descriptor: int, size: int) -> None:
        import strongroom

        super().__init__(descriptor, size)
        self.access = self.secret.open()
        self.address = self.plaintext_at = address_of(self.access.__enter__())
        self.backing = backing_at(self.address)
        # A room is a small LockedBuffer of the library's own choice; ask what it would choose.
        with strongroom.LockedBuffer(size) as like:
            self.claimed = like.backing

    def release(self) -> None:
        """Let go."""
        self.access.__exit__(None, None, None)
        super().release()


class OpenBuffer(Held):
    """A LockedBuffer, or another buffer, open for writing."""

    def __init__(self, descriptor: int, buffer: Any) -> None:
        self.buffer = buffer
        self.access = self.buffer.open("rw")
        view = self.access.__enter__()
        _fill(descriptor, view)
        self.address = self.plaintext_at = address_of(view)
        self.backing = backing_at(self.address)
        self.claimed = self.buffer.backing

    def release(self) -> None:
        """Let go."""
        self.access.__exit__(None, None, None)
        self.buffer.destroy()


def hold(kind: str, descriptor: int, size: int, disk: str | None = None, *, has_stores: bool = False) -> Held:
    """Take the next tracer from the pipe into one kind of memory; `disk`: the folder for those that have files.

    `has_stores`: ordinary memory is to be as large as a store of physical pages.
    """
    import strongroom
    from strongroom.prove.victim import paged, vanishing

    if kind in paged.BACKINGS:
        return paged.Store(kind, descriptor, size)
    if kind == ORDINARY and has_stores:
        return paged.OrdinaryPages(descriptor, size)
    if kind in vanishing.KINDS:
        return vanishing.hold(kind, descriptor, size, disk)
    if kind == ORDINARY:
        return Ordinary(descriptor, size) if disk is None else vanishing.OrdinaryFiles(descriptor, size, disk)
    if kind == SECRET_AT_REST:
        return SecretAtRest(descriptor, size)
    if kind == SECRET_OPEN:
        return SecretOpen(descriptor, size)
    return OpenBuffer(descriptor, strongroom.LockedBuffer(size, backing=kind))
