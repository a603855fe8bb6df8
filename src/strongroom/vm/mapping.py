"""Memory-mapped files and memory that processes share: sections, and the views that show them.

A section is memory that more than one view, and more than one process, can show. A persisted one is a file's: what is
written reaches the file, and is there for whoever opens it after every process has ended. A non-persisted one is the
system's own memory: it is gone with the last section and the last view of it, in whichever process.

Source: Memory-Mapped Files, File Mapping (Microsoft); mmap(2), shm_open(3), memfd_create(2).
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from typing import Protocol

from strongroom import _native
from strongroom._os import handles, mappings
from strongroom.vm.protection import READ_WRITE
from strongroom.vm.region import Region

__all__ = ["MappedView", "Section", "create_section", "find_view", "map_file", "open_section"]


class _HasDescriptor(Protocol):
    """An open file, as far as it is looked at here."""

    @property
    def fileno(self) -> Callable[[], int]: ...


class MappedView(_native.MappedView, Region):
    """A region whose pages are a section's: a part of a file, or of memory that processes share.

    ``map`` of a section, or ``map_file``, returns it. All that a ``Region`` can do it can, but its pages are committed
    from its making to its ``release()``, and become nothing that it was not made with: one made ``READ_ONLY`` cannot be
    written. Leaving a ``with`` block releases it, and so does the end of the last reference to it.

    Attributes: as a Region's, but ``size`` is as it was asked for, not whole pages; ``offset`` in the section, in
    bytes; ``protection``, what it was made with.

    Platform notes: in a forked child it shows the same section, a copy of its own where it is ``WRITE_COPY``. Where a
    file was made shorter, or has grown and its disk is full, ``read`` and ``write`` raise ``AccessError``; touching a
    View of it is a fault (SIGBUS). On Windows the file cannot be made shorter, and has its room on the disk.

    Does not protect against: what is in a view is in its file, in the page cache, and in every process that maps it:
    secrets do not belong there, and a lock keeps pages in RAM without keeping them from their file.

    Source: MapViewOfFile, UnmapViewOfFile; mmap(2), munmap(2).

    Version added: 0.1.
    """

    __slots__ = ()


class Section(_native.Section):
    """Memory that views show: a file's, or the system's own. ``create_section`` and ``open_section`` make it.

    Attributes: ``size`` in bytes; ``protection``, the most that a view can be; ``existed``, whether a name was in use
    before; ``is_closed``. A context manager: leaving the block closes it. Views keep what they show, closed or not.

    Source: CreateFileMapping; memfd_create(2), shm_open(3).

    Version added: 0.1.
    """

    __slots__ = ()

    def map(self, offset: int = 0, size: int | None = None, protection: int = READ_WRITE) -> MappedView:
        """Show a part of it in this process's memory.

        Args:
            offset: Bytes from the section's start, a multiple of ``vm.GRANULARITY``.
            size: Bytes. ``None``: up to the section's end.
            protection: ``READ_ONLY``, ``READ_WRITE``, ``WRITE_COPY`` or their ``EXECUTE_`` forms. With ``WRITE_COPY``
                what is written stays private to this process and never reaches the section.

        Returns:
            The view.

        Raises:
            ValueError, TypeError: A range outside the section, a protection that is none.
            AccessError: A protection that the section does not allow.
            DestroyedError: The section was closed.
            SystemCallError: The system refused, for want of address space or mappings.

        Source: MapViewOfFile; mmap(2).

        Version added: 0.1.
        """
        return _native.map_section(MappedView, self, offset, size, protection)


def _descriptor(file: int | _HasDescriptor) -> int:
    fileno = getattr(file, "fileno", None)
    number = fileno() if callable(fileno) else file
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"file must be an open file or its descriptor, not {type(file).__name__}")
    if not 0 <= number < 1 << 31:
        raise ValueError("file must be an open file or its descriptor: no descriptor has that number")
    return int(number)


def _size_of(descriptor: int) -> int | None:
    """Bytes; ``None`` for what is no file on a disk: that is for the system to refuse."""
    found = os.fstat(descriptor)
    return found.st_size if stat.S_ISREG(found.st_mode) else None


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
        file: An open file or its descriptor. The section keeps it open by itself until it is closed; on Unix the
            process's fcntl(2) locks on the file end then, as whenever a descriptor of it closes. ``map_file`` has none.
        name: What other processes of the same user open it by. If it exists already that one is opened, with the size
            it has, and ``existed`` of the section says so.
        protection: The most that views can be: ``READ_ONLY``, ``READ_WRITE``, ``WRITE_COPY``, or these as ``EXECUTE_``.

    Returns:
        The section.

    Raises:
        ValueError, TypeError: A size or protection that makes no sense; a file and a name at once; an empty file.
        SystemCallError: The file is not open for that, cannot grow, or the system has no room; another process has been
            making or ending that name for five seconds (it may be stopped).

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
    descriptor = -1 if file is None else _descriptor(file)
    native_file = -1 if file is None else handles.native_file(descriptor)
    if file is not None and size == 0 and _size_of(descriptor) == 0:
        raise ValueError("an empty file has nothing to show: give a size, and it grows")
    return _native.create_section(Section, native_file, native_name, size, protection)


def open_section(name: str, protection: int = READ_WRITE) -> Section:
    """Open a section that a process of the same user has made.

    Args:
        name: Its name.
        protection: The most that views made through this can be.

    Returns:
        The section; ``size`` is as its maker said (Windows: rounded up to a page).

    Raises:
        ValueError, TypeError: No name, no protection.
        SystemCallError: Nobody uses a section of that name; another process has been making it for five seconds.

    Source: OpenFileMapping; shm_open(3).

    Version added: 0.1.
    """
    return _native.create_section(Section, -1, _native_name(name), 0, protection)


def map_file(
    file: int | _HasDescriptor, offset: int = 0, size: int | None = None, protection: int = READ_WRITE
) -> MappedView:
    """Show a part of a file in memory.

    Args:
        file: An open file or its descriptor; it may be closed afterwards, the view takes none.
        offset: Bytes from its start, a multiple of ``vm.GRANULARITY``.
        size: Bytes. ``None``: up to its end. Beyond its end the file grows, if the view writes through.
        protection: ``READ_ONLY``, ``READ_WRITE``, ``WRITE_COPY`` (what is written stays in this process) or their
            ``EXECUTE_`` forms.

    Returns:
        The view. A context manager: leaving the block unmaps it.

    Raises:
        ValueError, TypeError: A range that makes no sense, an empty file or an offset at its end without a size.
        SystemCallError: The file is not open for that, or cannot grow. It is as long as it was before.

    Does not protect against: a secret in a file being a secret on disk.

    Source: CreateFileMapping, MapViewOfFile; mmap(2).

    Version added: 0.1.
    """
    offset = _native.checked_view_offset(offset)
    length = None if size is None else mappings.checked(size, "size")
    if length == 0:
        raise ValueError("size must be at least 1 byte")
    descriptor = _descriptor(file)
    native_file = handles.native_file(descriptor)
    before = _size_of(descriptor)
    wanted = 0 if length is None else offset + length
    if wanted > sys.maxsize:
        raise ValueError("offset and size end where no file does")
    if before == wanted == 0:
        raise ValueError("an empty file has nothing to show: give a size, and it grows")
    if length is None and before is not None and offset >= before:
        raise ValueError(f"offset {offset:,} is outside this file of {before:,} bytes: give a size, and it grows")
    try:
        return _native.map_file(MappedView, native_file, offset, length, protection)
    except BaseException:
        # Elsewhere the file grows last. Windows refuses to cut off what another process has begun to use meanwhile.
        if handles.GROWS_FIRST and before is not None and before < wanted == _size_of(descriptor):
            os.ftruncate(descriptor, before)
        raise


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
    found = _native.find_region(mappings.checked(address))
    return found if isinstance(found, MappedView) else None
