"""Memory-mapped files and memory that processes share: sections, and the views that show them.

A section is memory that more than one view, and more than one process, can show. A persisted one is a file's: what is
written reaches the file, and is there for whoever opens it after every process has ended. A non-persisted one is the
system's own memory: it is gone with the last section and the last view of it, in whichever process.

Source: Memory-Mapped Files, File Mapping (Microsoft); mmap(2), shm_open(3), memfd_create(2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from strongroom import _native
from strongroom._native import MappedView, Section
from strongroom._os import handles, mappings
from strongroom.vm.protection import READ_WRITE

__all__ = ["MappedView", "Section", "create_section", "find_view", "map_file", "open_section"]


class _HasDescriptor(Protocol):
    """An open file, as far as it is looked at here."""

    @property
    def fileno(self) -> Callable[[], int]: ...


def _native_file(file: int | _HasDescriptor) -> int:
    return handles.native_file(file if isinstance(file, int) else file.fileno())


def _native_name(name: str) -> bytes:
    if not isinstance(name, str):
        raise TypeError(f"name must be str, not {type(name).__name__}")
    if not name or "\0" in name or len(name) > 200:
        raise ValueError("name must have from 1 to 200 characters, none of them NUL")
    return handles.section_name(name)


def create_section(
    size: int = 0, *, file: int | _HasDescriptor | None = None, name: str | None = None, protection: int = READ_WRITE
) -> Section:
    """Make a section: of a file, of memory, or of memory that other processes find by its name.

    Args:
        size: Bytes. 0, for a file only: as large as it is. A file that is smaller grows to it.
        file: An open file or its descriptor. The section keeps it open by itself.
        name: What other processes of the same user open it by. If it exists already that one is opened, with the size
            it has, and ``existed`` of the section says so.
        protection: The most that views can be: ``READ_ONLY``, ``READ_WRITE``, ``WRITE_COPY``, or these as ``EXECUTE_``.

    Returns:
        The section.

    Raises:
        ValueError, TypeError: A size or protection that makes no sense; a file and a name at once; an empty file.
        SystemCallError: The file is not open for that, cannot grow, or the system has no room.

    Platform notes: a name ends with its last user, however that ends. On macOS and the BSDs it ends when the process
    that made it gives it up, and not at all if that is killed. On Linux the memory counts against /dev/shm; that of a
    killed last user stays there, out of reach, until the name is used again. A forked child has no say in when a name
    ends.

    Does not protect against: other processes of the same user, which may open the name; shared memory is no place for
    a secret. What cannot be had when it is touched is a fault (SIGBUS), on a full /dev/shm or a file made shorter.

    Source: CreateFileMapping; shm_overview(7), memfd_create(2), fcntl_locking(2).

    Version added: 0.1.
    """
    if file is not None and name is not None:
        raise ValueError("a section is of a file or has a name: processes share a file by opening it")
    if file is None and size == 0:
        raise ValueError("size must be at least 1 byte where there is no file")
    native_name = None if name is None else _native_name(name)
    section = _native.create_section(-1 if file is None else _native_file(file), native_name, size, protection)
    if section.size == 0:
        raise ValueError("an empty file has nothing to show: give a size, and it grows")
    return section


def open_section(name: str, protection: int = READ_WRITE) -> Section:
    """Open a section that a process of the same user has made.

    Args:
        name: Its name.
        protection: The most that views made through this can be.

    Returns:
        The section; ``size`` is as its maker said (Windows: rounded up to a page).

    Raises:
        ValueError, TypeError: No name, no protection.
        SystemCallError: Nobody uses a section of that name.

    Source: OpenFileMapping; shm_open(3).

    Version added: 0.1.
    """
    return _native.create_section(-1, _native_name(name), 0, protection)


def map_file(
    file: int | _HasDescriptor, offset: int = 0, size: int | None = None, protection: int = READ_WRITE
) -> MappedView:
    """Show a part of a file in memory.

    Args:
        file: An open file or its descriptor; it may be closed afterwards.
        offset: Bytes from its start, a multiple of ``vm.GRANULARITY``.
        size: Bytes. ``None``: up to its end. Beyond its end the file grows, if the view writes through.
        protection: ``READ_ONLY``, ``READ_WRITE``, ``WRITE_COPY`` (what is written stays in this process) or their
            ``EXECUTE_`` forms.

    Returns:
        The view. A context manager: leaving the block unmaps it.

    Raises:
        ValueError, TypeError: A range that makes no sense, an empty file.
        SystemCallError: The file is not open for that, or cannot grow.

    Does not protect against: a secret in a file being a secret on disk.

    Source: CreateFileMapping, MapViewOfFile; mmap(2).

    Version added: 0.1.
    """
    with create_section(0 if size is None else offset + size, file=file, protection=protection) as section:
        return section.map(offset, size, protection)


def find_view(address: int) -> MappedView | None:
    """Tell which mapped view an address lies in.

    Args:
        address: Any.

    Returns:
        The view, ``None`` if it lies in none of this process's.

    Raises:
        ValueError, TypeError: No address.

    Source: VirtualQuery, which says the same of any address.

    Version added: 0.1.
    """
    return _native.find_view(mappings.checked(address))
