"""How secrets come in from outside: the environment, a terminal, files."""

from __future__ import annotations

import os

from strongroom import _native
from strongroom.secret import sources
from strongroom.secret.making import Making

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, Self

__all__ = ["Receiving"]


@_native.lean
class Receiving(Making):
    """The ways in, from elsewhere. ``Secret``, its only heir, has the ways out."""

    __slots__ = ()

    @classmethod
    def from_env(
        cls,
        name: str,
        *,
        scrub: bool = True,
        in_children: Literal["forget", "keep"] = "forget",
        shielded: bool = False,
    ) -> Self:
        """Take the value of an environment variable, as bytes.

        Args:
            name: The variable's name, without ``=``.
            scrub: Also overwrite the value where it lies (the block the kernel put on the stack, the C library's
                string, the bytes object in ``os.environ``) and remove the variable.
            in_children, shielded: As in ``build``.

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
        secret = cls.build(size, fill, in_children=in_children, shielded=shielded)
        if scrub:
            sources.scrub_env(name)
        return secret

    @classmethod
    def from_prompt(
        cls,
        text: str = "Secret: ",
        *,
        confirm: bool = False,
        in_children: Literal["forget", "keep"] = "forget",
        shielded: bool = False,
    ) -> Self:
        """Ask at the terminal with echo off; what is typed goes straight into locked memory.

        Args:
            text: The question, shown as it is.
            confirm: Ask twice and refuse two different answers.
            in_children, shielded: As in ``build``.

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

        Does not protect against: a signal that ends the process meanwhile (SIGTERM, unless Python code handles it),
        which leaves the echo off: ``stty echo``. Nor against the kernel's terminal buffer, a terminal emulator or a
        multiplexer that keeps what is typed, a key logger.

        Source: termios(3), tty(4); _getwch in the C runtime of Windows.

        Version added: 0.1.
        """
        secret = cls.build(*sources.from_prompt(text), in_children=in_children, shielded=shielded)
        if confirm:
            again = cls.build(*sources.from_prompt(f"Again, {text}"))
            is_same = secret == again
            again.destroy()
            if not is_same:
                secret.destroy()
                raise ValueError("the two answers differ")
        return secret

    @classmethod
    def from_fd(
        cls,
        fd: int,
        *,
        max_size: int | None = None,
        strip_newline: bool = False,
        in_children: Literal["forget", "keep"] = "forget",
        shielded: bool = False,
    ) -> Self:
        """Read a file descriptor to its end, straight into locked memory.

        Args:
            fd: An open descriptor that waits for data: a pipe, a file, a terminal. It stays open.
            max_size: Bytes there may be at most, at least 1. ``None``: 1 MiB of a regular file, and 4,077 of anything
                whose size nobody knows; so much locked memory is taken for it before the first byte is read.
            strip_newline: Drop one newline at the end (LF, or CR and LF), which does not count.
            in_children, shielded: As in ``build``.

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
        size, fill = sources.from_fd(fd, max_size=max_size, strip_newline=strip_newline)
        return cls.build(size, fill, in_children=in_children, shielded=shielded)

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        *,
        max_size: int | None = None,
        strip_newline: bool = False,
        allow_others: bool = False,
        in_children: Literal["forget", "keep"] = "forget",
        shielded: bool = False,
    ) -> Self:
        """Read a file straight into locked memory, unless every user of the machine could.

        Args:
            path: The file; a named pipe or ``/dev/fd/N`` too.
            max_size: Bytes there may be at most, as in ``from_fd``.
            strip_newline: Drop one newline at the end (LF, or CR and LF), which does not count.
            allow_others: Take a file that all users may read or write.
            in_children, shielded: As in ``build``.

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
            size, fill = sources.from_fd(
                file, max_size=max_size, strip_newline=strip_newline, name=f"{os.fspath(path)!r}"
            )
            return cls.build(size, fill, in_children=in_children, shielded=shielded)
        finally:
            os.close(file)

    @classmethod
    def from_credential(
        cls,
        name: str,
        *,
        max_size: int | None = None,
        strip_newline: bool = False,
        allow_others: bool = False,
        in_children: Literal["forget", "keep"] = "forget",
        shielded: bool = False,
    ) -> Self:
        """Read a credential that systemd passed to this service.

        Args:
            name: As in the unit's ``LoadCredential=`` or ``LoadCredentialEncrypted=``.
            max_size, strip_newline, allow_others: As in ``from_file``.
            in_children, shielded: As in ``build``.

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
            return cls.from_file(
                path,
                max_size=max_size,
                strip_newline=strip_newline,
                allow_others=allow_others,
                in_children=in_children,
                shielded=shielded,
            )
        except FileNotFoundError:
            raise KeyError(
                f"there is no credential {name!r}: name it with LoadCredential= or SetCredential= in the unit"
            ) from None
