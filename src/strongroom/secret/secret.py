"""``Secret``: the class most users need."""

from __future__ import annotations

import os

from strongroom import _native
from strongroom.secret import sources
from strongroom.secret.receiving import Receiving

TYPE_CHECKING = False
if TYPE_CHECKING:
    from strongroom.secret.sources import HasFileno

__all__ = ["Secret"]


@_native.lean
class Secret(Receiving):
    """Keep bytes encrypted in ordinary memory and decrypt them into locked memory for the length of a block.

    Any number of secrets fit under any lock limit: at rest each is ciphertext, and only the key and what is open at
    the moment occupy locked pages. A secret never changes; make another one instead.

        token = Secret.from_env("API_TOKEN")
        with token.open() as view:
            signature = hmac.digest(view, message, "sha256")

    ``repr`` shows the length; ``str``, ``format``, ``pickle`` and ``copy`` refuse; ``==`` takes the same time wherever
    two values of one length differ.

    Raises:
        TypeError: It was called directly; ``random``, ``build`` and those that begin with ``from_`` make secrets.

    Platform notes: the cipher is AEGIS-256 where the CPU has AES instructions and PyNaCl the cipher, else
    XChaCha20-Poly1305. A forked child does not have its parent's key: there ``open`` raises ``ForkedError``.

    Does not protect against: whoever reads this process's memory while the secret is open, or reads the key's page;
    copies made from it (``reveal``, other libraries); code running in this process. It does not hide its length.

    Source: draft-irtf-cfrg-aegis-aead, draft-irtf-cfrg-xchacha, as libsodium computes them; mlock(2), VirtualLock.

    Version added: 0.1.
    """

    __slots__ = ()

    def __init__(self, *_wrong: object) -> None:
        raise TypeError("make a secret with Secret.random, Secret.build or one of Secret.from_...")

    def reveal(self) -> bytes:
        """Return a copy as ``bytes``, in ordinary memory, which nobody can wipe.

        Returns:
            All bytes of the secret.

        Raises:
            DestroyedError, ForkedError, PurgedError, SealBrokenError: There is nothing to reveal.
            LockLimitError: No memory can be locked to open it.
            SystemCallError: Another refusal, with the call's name.

        Does not protect against: anything, from here on: the copy may be swapped, dumped, inherited by a child and
        left in freed heap. Prefer ``open()``.

        Version added: 0.1.
        """
        with self.open() as view:
            return bytes(view)

    def reveal_text(self) -> str:
        """Return a copy as ``str`` (UTF-8), in ordinary memory, which nobody can wipe.

        Returns:
            The text of all its bytes.

        Raises:
            ValueError: It is not UTF-8; the error does not hold the bytes.
            DestroyedError, ForkedError, PurgedError, SealBrokenError: There is nothing to reveal.
            LockLimitError: No memory can be locked to open it.
            SystemCallError: Another refusal, with the call's name.

        Does not protect against: anything, from here on: the copy may be swapped, dumped, inherited by a child and
        left in freed heap. Prefer ``open()``.

        Version added: 0.1.
        """
        with self.open() as view:
            try:
                return str(view, "utf-8")
            except UnicodeDecodeError:
                pass  # that error carries the bytes: it must not travel, nor be the context of another
        raise ValueError("this secret is not UTF-8 text: use reveal() or open()")

    def write_to(self, fd: int | HasFileno) -> int:
        """Write all bytes to a file descriptor, without a copy in this process.

        Args:
            fd: An open descriptor, or an object with ``fileno()``; of a file in Python flush that first.

        Returns:
            How many bytes were written: the length of the secret.

        Raises:
            DestroyedError, ForkedError, PurgedError, SealBrokenError: There is nothing to write. After a PurgedError in
                the middle of it a part may be written, and zeros after that part: close the other side.
            LockLimitError: No memory can be locked to open it.
            OSError: The system refused, or the descriptor does not wait (BlockingIOError); a part may be written.
            TypeError: No descriptor.

        Platform notes: on Windows sockets are no descriptors; send a View with ``socket.sendall``.

        Does not protect against: what the kernel and the other side keep: the pipe's buffer, the page cache, the disk.

        Source: write(2).

        Version added: 0.1.
        """
        number = fd if isinstance(fd, int) else sources.number_of(fd)
        done = 0
        with self.open() as view:
            while done < len(view):
                done += os.write(number, view[done:])
        return done
