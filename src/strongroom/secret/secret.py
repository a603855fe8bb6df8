"""``Secret``: the class most users need."""

from __future__ import annotations

import os

from strongroom import _native
from strongroom.secret import field, sources
from strongroom.secret.receiving import Receiving

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

    from strongroom.secret.sources import HasFileno

__all__ = ["Secret"]

_closes_in_child = False


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
    XChaCha20-Poly1305; without PyNaCl's libsodium, ``cryptography``'s AES-256-GCM. ``stats()`` names it. A forked
    child does not have its parent's key: there ``open`` raises ``ForkedError``, but for secrets made with
    ``in_children="keep"``.

    Does not protect against: whoever reads this process's memory while the secret is open, or reads the key's page;
    copies made from it (``reveal``, other libraries); code running in this process. It does not hide its length.

    Source: draft-irtf-cfrg-aegis-aead, draft-irtf-cfrg-xchacha, RFC 8439, as the libraries compute them; mlock(2),
    VirtualLock.

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

    def as_file(self) -> _native.FileAccess:
        """Return what ``with`` takes to give a path, for libraries that insist on a file.

            with key.as_file() as path:
                context.load_cert_chain("certificate.pem", path)

        The path names memory of this process alone: pages like those of an opened secret, locked, in no core dump and
        in no child, and a file of exactly the secret's size on no disk. Nobody can write to it by a descriptor or
        change its size, this process included. When the block ends, whatever ends it, the bytes are overwritten first,
        then the file is closed: who still has it open, or mapped, finds zeros. ``purge()``, a normal exit and the
        signals of ``harden()`` overwrite it in mid-block too.

        Returns:
            What ``with`` takes; there is no file before it. The block gets the path as ``str``, good in every thread of
            this process until the block ends, and not in another process.

        Raises:
            DestroyedError, ForkedError, PurgedError: There is nothing to make a file of; raised here. By ``with``:
            LockLimitError: No memory can be locked for it, whatever the policy says, or to open the secret.
            SealBrokenError: The ciphertext was changed.
            UnsupportedError: This system cannot; says what to do instead.
            SystemCallError: Another refusal, with the call's name.
            AccessError: The same object a second time: call ``as_file()`` again.
            PurgedError: At the end of the block, if a purge came in it: what was read may be zeros.
            ForkedError: At its end in a child that was forked in the block; the file is closed there.

        Platform notes: Linux 5.1 or later with /proc mounted; other systems raise UnsupportedError. A program that is
        started in the block and shall read the file is given the descriptor: ``subprocess.run([..., path],
        pass_fds=[int(os.path.basename(path))])``, without ``preexec_fn``, whose child is a forked one.

        Does not protect against: copies made by whoever reads the file, such as the read buffer and the parsed key that
        OpenSSL keeps in ordinary memory: docs/secret.md has what was found. While the block is open root, and another
        process of the same user unless this one is not dumpable, may open ``/proc/PID/fd/N`` and keep what it reads; a
        child inherits descriptors that other code got by opening the path. The pages are ``locked`` memory, also where
        rooms are secret memory: hibernation writes them to disk.

        Source: memfd_create(2), fcntl(2) F_ADD_SEALS, proc_pid_fd(5).

        Version added: 0.1.
        """
        global _closes_in_child
        if not _closes_in_child and hasattr(os, "register_at_fork"):
            _closes_in_child = True
            os.register_at_fork(after_in_child=_native.close_files_in_child)
        return _native.file_access(self)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return field.core_schema_of(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return field.json_schema_of(schema, handler)
