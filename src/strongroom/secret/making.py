"""How secrets are made: each source fills locked memory, and what is there is sealed."""

from __future__ import annotations

import os

from strongroom import _native
from strongroom.secret import sealing, sources  # now: a child forked while a thread imports them would wait for ever

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from typing_extensions import Buffer

__all__ = ["Making"]


@_native.lean
class Making(_native.Sealed):
    """The ways in. ``Secret``, its only heir, has the ways out."""

    __slots__ = ()

    @classmethod
    def _begin(cls) -> Self:
        """Return one with nothing in it yet, in a process that has a key to seal it under."""
        if not _native.has_sealer():  # here as well: it is faster than a call
            sealing.ensure_key()
        return cls.__new__(cls)

    @classmethod
    def build(cls, size: int, fill: Callable[[_native.View], int | None]) -> Self:
        """Let ``fill`` write a secret into locked memory, then seal it.

        Args:
            size: Bytes the View has, at least 1, not rounded. The locked memory around it is: with the canary, up to
                whole pages.
            fill: Called once with a writable View of ``size`` zero bytes. What it returns is the number of bytes it
                wrote (``os.readv`` returns that), or ``None`` for all of them.

        Returns:
            The sealed secret; the memory that ``fill`` wrote to is wiped.

        Raises:
            ValueError, TypeError: A size that makes no sense, or ``fill`` returned one; or a wrong word in
                ``STRONGROOM_POLICY``.
            LockLimitError: No memory can be locked for the key or for the View.
            BufferError: ``fill`` kept a buffer of the View; says who holds it.
            PurgedError, ForkedError: ``purge()`` or a fork came while ``fill`` ran.
            UnsupportedError: The installed PyNaCl has no cipher that computes its published example.
            MemoryError: There is no ordinary memory for the ciphertext.
            SystemCallError: Another refusal, with the call's name.
            Whatever ``fill`` raises; no secret is made then.

        Platform notes: the first secret of a process also draws the key and loads the cipher library.

        Does not protect against: copies of the bytes that ``fill`` takes them from or makes on the way.

        Source: mlock(2), mprotect(2); VirtualLock and VirtualProtect on Windows.

        Version added: 0.1.
        """
        secret = cls._begin()
        secret._seal(size, fill)
        return secret

    @classmethod
    def random(cls, size: int) -> Self:
        """Draw ``size`` random bytes from the operating system's generator, straight into locked memory.

        Args:
            size: Bytes, at least 1, not rounded.

        Returns:
            The sealed secret.

        Raises:
            ValueError, TypeError: A size that makes no sense.
            LockLimitError: No memory can be locked.
            UnsupportedError, SystemCallError, MemoryError: As ``build``; also when the generator fails.

        Platform notes: Linux, macOS and BSD ask the kernel, and early in a boot Linux waits until its pool is ready. On
        Windows the generator lies inside this process, seeded by the kernel.

        Does not protect against: a machine whose generator is weak or known, such as two copies of one virtual machine
        that were resumed from the same snapshot.

        Source: getrandom(2) on Linux, getentropy(2) on macOS and BSD, BCryptGenRandom on Windows.

        Version added: 0.1.
        """
        secret = cls._begin()
        secret._seal_random(size)
        return secret

    @classmethod
    def from_env(cls, name: str, *, scrub: bool = True) -> Self:
        """Take the value of an environment variable, as bytes.

        Args:
            name: The variable's name, without ``=``.
            scrub: Also overwrite the value where it lies (the block the kernel put on the stack, the C library's
                string, the bytes object in ``os.environ``) and remove the variable.

        Returns:
            The sealed secret, as long as the value: nothing is stripped or decoded.

        Raises:
            KeyError: There is no such variable; or an earlier call took it, and the error says where that was.
            ValueError: It is empty, or the name cannot be one.
            LockLimitError: No memory can be locked.
            SystemCallError: The variable changed while it was read, or the system refused to read or remove it.
            UnsupportedError, MemoryError: As ``build``.

        Platform notes: on Windows the value is taken as UTF-8, and the system's copy and those in the C runtime's
        tables are overwritten; what each runtime's start-up code left on the heap cannot be reached.

        Does not protect against: copies made before (a ``str`` from ``os.environ[...]``, the parent process, a child
        already started, the shell's history); whoever read ``/proc/PID/environ`` until then; another thread that uses
        the environment at the same time.

        Source: getenv(3), environ(7), unsetenv(3); GetEnvironmentVariable on Windows.

        Version added: 0.1.
        """
        size, fill = sources.from_env(name)
        secret = cls.build(size, fill)
        if scrub:
            sources.scrub_env(name)
        return secret

    @classmethod
    def from_prompt(cls, text: str = "Secret: ", *, confirm: bool = False) -> Self:
        """Ask at the terminal with echo off; what is typed goes straight into locked memory.

        Args:
            text: The question, shown as it is.
            confirm: Ask twice and refuse two different answers.

        Returns:
            The sealed secret: the line without its newline.

        Raises:
            UnsupportedError: There is no terminal.
            EOFError: The terminal was closed.
            ValueError: Nothing was typed, the line is too long (over 4,094 bytes), or the two answers differ.
            LockLimitError: No memory can be locked.
            OSError, termios.error: The terminal refuses to be read, or to switch its echo off.
            SystemCallError, MemoryError: As ``build``.

        Platform notes: Unix reads ``/dev/tty``, whatever standard input is, and what was typed before the question is
        dropped. Windows reads the console, whose lines may be two bytes longer, counted in UTF-8; each character
        passes through a ``str`` of its own. ``termios.error`` is Unix's.

        Does not protect against: the kernel's terminal buffer, a terminal emulator or a multiplexer that keeps what is
        typed, a key logger.

        Source: termios(3), tty(4); _getwch in the C runtime of Windows.

        Version added: 0.1.
        """
        secret = cls.build(*sources.from_prompt(text))
        if confirm:
            again = cls.build(*sources.from_prompt(f"Again, {text}"))
            is_same = secret == again
            again.destroy()
            if not is_same:
                secret.destroy()
                raise ValueError("the two answers differ")
        return secret

    @classmethod
    def from_buffer(cls, source: Buffer, *, wipe: bool = True) -> Self:
        """Take what lies in a buffer, and overwrite it there with zeros.

        Args:
            source: Anything with a contiguous buffer: ``bytearray``, ``array``, a View, a NumPy array.
            wipe: ``False`` leaves the source as it is, and takes ``bytes`` too.

        Returns:
            The sealed secret, as long as the buffer.

        Raises:
            TypeError: The source has no buffer (encode a ``str``), or ``wipe`` is true and it cannot be overwritten.
            ValueError: It is empty.
            BufferError: It is not contiguous (NumPy says that as a ValueError).
            LockLimitError: No memory can be locked. The source is as it was then, as after every error.
            UnsupportedError, SystemCallError, MemoryError: As ``build``.

        Does not protect against: copies made of the source before: by growing a ``bytearray``, for example.

        Version added: 0.1.
        """
        secret = cls._begin()
        secret._seal_copy(source, wipe)
        return secret

    @classmethod
    def from_hex(cls, text: str | Buffer) -> Self:
        """Decode hexadecimal digits straight into locked memory.

        Args:
            text: ``str`` or bytes; digits in small or capital letters, with blanks between them or not.

        Returns:
            The sealed secret: half as many bytes as there are digits.

        Raises:
            ValueError: It is no such text, or empty. The error says where, and nothing of what stands there.
            TypeError: Neither ``str`` nor a buffer.
            LockLimitError, UnsupportedError, SystemCallError, MemoryError: As ``build``.

        Does not protect against: the text itself, which is the secret in another form and stays where it is. A
        ``bytearray`` can be overwritten afterwards, a ``str`` by nobody.

        Version added: 0.1.
        """
        return cls.build(*sources.from_text("hex", text))

    @classmethod
    def from_base64(cls, text: str | Buffer) -> Self:
        """Decode base64 straight into locked memory, in constant time for texts of one length.

        Args:
            text: ``str`` or bytes, in the usual alphabet or the one for URLs, with padding or without, with blanks and
                newlines between the characters or not.

        Returns:
            The sealed secret.

        Raises:
            ValueError: It is no such text, empty, or ends in bits that are not zero and stand for nothing. Says where.
            TypeError: Neither ``str`` nor a buffer.
            LockLimitError, UnsupportedError, SystemCallError, MemoryError: As ``build``.

        Does not protect against: the text itself, as with ``from_hex``.

        Source: RFC 4648, sections 4 and 5.

        Version added: 0.1.
        """
        return cls.build(*sources.from_text("base64", text))

    @classmethod
    def from_fd(cls, fd: int, *, max_size: int | None = None, strip_newline: bool = False) -> Self:
        """Read a file descriptor to its end, straight into locked memory.

        Args:
            fd: An open descriptor that waits for data: a pipe, a file, a terminal. It stays open.
            max_size: Bytes there may be at most, at least 1. ``None``: 1 MiB of a regular file, and 4,077 of anything
                whose size nobody knows; so much locked memory is taken for it before the first byte is read.
            strip_newline: Drop one newline at the end (LF, or CR and LF), which does not count.

        Returns:
            The sealed secret.

        Raises:
            ValueError: There is nothing, or more than is allowed; what was read is wiped.
            OSError: The system refuses to read, the descriptor does not wait (BlockingIOError), or it is a directory's.
            OverflowError: No descriptor has that number.
            LockLimitError: No memory can be locked.
            UnsupportedError, SystemCallError, MemoryError: As ``build``.

        Platform notes: on Windows a descriptor of the C runtime, in binary mode.

        Does not protect against: what the kernel keeps: the pipe's buffer, the page cache; and whoever wrote it there.

        Source: read(2), fstat(2).

        Version added: 0.1.
        """
        return cls.build(*sources.from_fd(fd, max_size=max_size, strip_newline=strip_newline))

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        *,
        max_size: int | None = None,
        strip_newline: bool = False,
        allow_others: bool = False,
    ) -> Self:
        """Read a file straight into locked memory, unless every user of the machine could.

        Args:
            path: The file; a named pipe or ``/dev/fd/N`` too.
            max_size: Bytes there may be at most, as in ``from_fd``.
            strip_newline: Drop one newline at the end (LF, or CR and LF), which does not count.
            allow_others: Take a file that all users may read or write.

        Returns:
            The sealed secret.

        Raises:
            PermissionError: All users may read or write the file, or this one may not read it.
            OSError: There is no such file, or the system refuses.
            ValueError: It is empty, or larger than is allowed; what was read is wiped.
            LockLimitError: No memory can be locked.
            UnsupportedError, SystemCallError, MemoryError: As ``build``.

        Platform notes: Unix looks at the permission bits of the file, not at those of the directories above it nor at
        access control lists. Windows has no such bits, and the file's list is not looked at.

        Does not protect against: the file, its copies in the page cache and on the disk; the user's other programs.

        Source: open(2), fstat(2), inode(7).

        Version added: 0.1.
        """
        file = sources.open_file(path, allow_others=allow_others)
        try:
            return cls.from_fd(file, max_size=max_size, strip_newline=strip_newline)
        finally:
            os.close(file)

    @classmethod
    def from_credential(
        cls, name: str, *, max_size: int | None = None, strip_newline: bool = False, allow_others: bool = False
    ) -> Self:
        """Read a credential that systemd passed to this service.

        Args:
            name: As in the unit's ``LoadCredential=`` or ``LoadCredentialEncrypted=``.
            max_size, strip_newline, allow_others: As in ``from_file``.

        Returns:
            The sealed secret.

        Raises:
            KeyError: The service was started without credentials, or there is none of that name; says which of the two.
            ValueError: A name that cannot be one; or the credential is empty, or larger than is allowed.
            OSError, LockLimitError, UnsupportedError, SystemCallError, MemoryError: As ``from_file``.

        Platform notes: Linux with systemd 247 or later; elsewhere where ``CREDENTIALS_DIRECTORY`` is set.

        Does not protect against: other processes of the service, which may read the same file.

        Source: systemd.exec(5), systemd-creds(1).

        Version added: 0.1.
        """
        path = sources.credential_path(name)
        try:
            return cls.from_file(path, max_size=max_size, strip_newline=strip_newline, allow_others=allow_others)
        except FileNotFoundError:
            raise KeyError(
                f"there is no credential {name!r}: name it with LoadCredential= or SetCredential= in the unit"
            ) from None
