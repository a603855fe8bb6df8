"""Where secrets come from, each source as a size and a function that fills a View."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys

from strongroom import _native
from strongroom._os import PLATFORM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from typing_extensions import Buffer

    Fill = Callable[[_native.View], int | None]

    class HasFileno(Protocol):
        """A file, a socket, a pipe's end."""

        def fileno(self) -> int: ...


__all__ = [
    "FEW_BYTES",
    "MOST_BYTES",
    "credential_path",
    "from_env",
    "from_fd",
    "from_prompt",
    "from_text",
    "number_of",
    "open_file",
    "scrub_env",
]

#: Beyond what there may be: a newline of two characters, and one byte to see that there is more.
_TO_SPARE = 3

#: What is read at most from where nobody knows the size (a pipe), unless more is asked for: locked memory for all of it
#: is taken before the first byte comes. With the canary that is a page, of the smallest pages there are.
FEW_BYTES = 4096 - _native.CANARY_SIZE - _TO_SPARE

#: And from a regular file. Keys and tokens are far smaller: a larger file is the wrong one.
MOST_BYTES = 1024 * 1024


def from_env(name: str) -> tuple[int, Fill]:
    """Return the size of an environment variable's value and what copies it from where it lies."""
    if not isinstance(name, str) or not name or "=" in name or "\0" in name:
        raise ValueError("the name of an environment variable is a non-empty str without '=' and NUL")
    raw = name.encode() if PLATFORM == "windows" else os.fsencode(name)
    size = _native.environment_size(raw)
    if size is None and name in _taken:
        raise KeyError(
            f"the environment variable {name!r} is gone: {_taken[name]} took it, which removes it. Keep that secret "
            "and pass it on, or take it there with scrub=False"
        )
    if size is None:
        raise KeyError(f"there is no environment variable {name!r}: set it for this process, or check its spelling")
    if size == 0:
        raise ValueError(f"the environment variable {name!r} is empty")
    return size, lambda view: _native.environment_read(raw, view)


#: By the names of variables that were removed, the lines that had them removed.
_taken: dict[str, str] = {}


def _caller() -> str:
    """File and line of the code that called into this package."""
    frame = sys._getframe()
    while frame.f_back is not None and f"{frame.f_globals.get('__name__')}".startswith("strongroom."):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def scrub_env(name: str) -> None:
    """Overwrite a variable in the C environment and in ``os.environ``, and remove it from both."""
    _taken[name] = _caller()
    raw = name.encode() if PLATFORM == "windows" else os.fsencode(name)
    # os.environ keeps a bytes object of its own, under a private name on every version so far (Lib/os.py).
    data = getattr(os.environ, "_data", None)
    if isinstance(data, dict):
        _native.wipe_only_bytes(data, raw)
    _native.environment_wipe(raw)
    if name in os.environ:
        del os.environ[name]


def from_prompt(prompt: str) -> tuple[int, Fill]:
    """Return the longest line's size and what asks for one."""

    from strongroom._os import terminal

    if not isinstance(prompt, str):
        raise TypeError(f"the question must be a str, not {type(prompt).__name__}")

    def fill(view: _native.View) -> int:
        size = terminal.ask(prompt, view)
        if size == 0:
            raise ValueError("nothing was typed")
        return size

    return terminal.LINE_MAX_SIZE, fill


def from_text(form: str, text: str | Buffer) -> tuple[int, Fill]:
    """Return at most how many bytes a text in hex or base64 stands for, and what decodes it."""
    if not isinstance(text, str):
        try:
            size = memoryview(text).nbytes
        except TypeError:
            raise TypeError(f"{form}: the text must be a str or bytes, not {type(text).__name__}") from None
    else:
        size = str.__len__(text)
    most = size // 2 if form == "hex" else size * 3 // 4
    return max(most, 1), lambda view: _native.decode(form, text, view)


def open_file(path: str | os.PathLike[str], *, allow_others: bool) -> int:
    """Open a file for reading, unless others may read or write it, and return its descriptor."""
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
    file = os.open(path, flags)
    try:
        mode = os.fstat(file).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "a secret cannot be read from a directory", os.fspath(path))
        if PLATFORM != "windows" and not allow_others and mode & (stat.S_IROTH | stat.S_IWOTH):
            raise PermissionError(
                errno.EACCES,
                f"every user of this machine may read or write it (mode {stat.S_IMODE(mode):04o}): chmod o= it, or "
                "pass allow_others=True",
                os.fspath(path),
            )
    except BaseException:
        os.close(file)
        raise
    return file


def credential_path(name: str) -> str:
    """Return where systemd put a credential."""
    if not isinstance(name, str) or not name or "/" in name or "\0" in name or name in (".", ".."):
        raise ValueError("the name of a credential is a non-empty str without '/' and NUL")
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise KeyError(
            "this process has no credentials: CREDENTIALS_DIRECTORY is not set. systemd sets it for services whose "
            "unit has LoadCredential= or SetCredential="
        )
    return os.path.join(directory, name)


def _room_for(file: int, max_size: int | None) -> int:
    """How many bytes there may be, judged before the first one is read."""
    status = os.fstat(file)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "a secret cannot be read from a directory")
    is_regular = stat.S_ISREG(status.st_mode)
    left = status.st_size - os.lseek(file, 0, os.SEEK_CUR) if is_regular else 0
    if left <= 0:  # files in /proc too say that there is nothing in them
        return FEW_BYTES if max_size is None else max_size
    return min(left, MOST_BYTES if max_size is None else max_size)


def from_fd(
    fd: int, *, max_size: int | None, strip_newline: bool, name: str = "what the descriptor gives"
) -> tuple[int, Fill]:
    """Return how many bytes a descriptor may give and what reads it to its end; errors call it by this name."""
    if max_size is not None:
        if type(max_size) is not int:
            raise TypeError(f"max_size must be an integer number of bytes, not {_native.describe(max_size)}")
        if max_size < 1:
            raise ValueError(f"max_size must be 1 or more bytes, not {max_size:,}")
    most = _room_for(fd, max_size)

    def fill(view: _native.View) -> int:
        done = _read(fd, view)
        is_full = done == len(view)
        if strip_newline and done and view[done - 1] == 0x0A:
            done -= 1
            if done and view[done - 1] == 0x0D:
                done -= 1
        if done == 0:
            raise ValueError(f"there is nothing to read: {name} is empty")
        if is_full or done > most:
            remedy = "pass max_size=" if max_size is None else "pass a larger max_size="
            raise ValueError(f"{name} has more than {most:,} bytes: {remedy} if that is meant")
        return done

    # One more than there should be: only then it is known that there is no more.
    return most + 1 + 2 * strip_newline, fill


def _read(fd: int, view: _native.View) -> int:
    """Read up to the end or until the View is full, and say how many bytes that were."""
    done = 0
    with io.FileIO(fd, "rb", closefd=False) as file:
        while done < len(view):
            got = file.readinto(view[done:])
            if got is None:
                raise BlockingIOError(errno.EAGAIN, "the descriptor does not wait for data: make it a blocking one")
            if got == 0:
                break
            done += got
    return done


def number_of(thing: HasFileno) -> int:
    """Return the descriptor of a file object."""
    fileno = getattr(thing, "fileno", None)
    try:
        number: int = fileno()  # type: ignore[misc]
    except (TypeError, io.UnsupportedOperation):  # there is none, or it is a file in memory
        kind = type(thing).__name__
        raise TypeError(f"fd must be a file descriptor or an object that has one, not {kind}") from None
    return number
