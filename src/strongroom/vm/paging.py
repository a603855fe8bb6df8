"""What the system tells of paging: faults, page files, how many pages come back at a time."""

from __future__ import annotations

from collections import namedtuple

from strongroom import _native
from strongroom._os import mappings, pagefiles, procfs, texts
from strongroom.exceptions import NO_SUCH_CALL, SystemCallError, UnsupportedError

__all__ = ["Clustering", "Faults", "PageFile", "clustering", "faults", "page_files"]

_CLUSTER = "/proc/sys/vm/page-cluster"
_PER_REGION = "/sys/kernel/mm/swap/vma_ra_enabled"
_ENOENT = 2


class Faults(namedtuple("_Faults", "minor major")):
    """How often a page was touched that was not there.

    Attributes: ``minor``, without a device having to be read; ``major``, with, ``None`` where the system counts both as
    one, in ``minor``.

    Version added: 0.1.
    """

    __slots__ = ()
    minor: int
    major: int | None


class PageFile(namedtuple("_PageFile", "path kind size used priority is_in_memory")):
    """A file or device that pages of private memory go to.

    Attributes: ``path``, the system's name of it; ``kind``, ``"file"`` or ``"device"``; ``size`` and ``used`` in
    bytes; ``priority``, higher ones are filled first, ``None`` where there is none; ``is_in_memory``, a compressed disk
    in memory (Linux: zram), so that nothing reaches a device.

    Version added: 0.1.
    """

    __slots__ = ()
    path: str
    kind: str
    size: int
    used: int
    priority: int | None
    is_in_memory: bool


class Clustering(namedtuple("_Clustering", "swap_pages is_per_region")):
    """How many pages come back at a time.

    Attributes: ``swap_pages``, read from a page file at most when one is touched; ``is_per_region``, whether these are
    its neighbours in the region, or in the page file; ``None`` if the system does not say.

    Version added: 0.1.
    """

    __slots__ = ()
    swap_pages: int
    is_per_region: bool | None


def faults(pid: int | None = None, *, thread: bool = False) -> Faults:
    """Count how often a process touched a page that was not there, since it began.

    Args:
        pid: Another process; ``None`` is this one.
        thread: Only the calling thread's, of this process.

    Returns:
        The faults that needed no device, and those that did.

    Raises:
        ValueError, TypeError: No process's number, or another process's thread.
        ProcessLookupError: There is no such process.
        PermissionError: It is not this one's to look at (not on Linux: everybody may).
        UnsupportedError: This system does not count by thread (Windows, macOS, NetBSD).
        SystemCallError: The system does not tell.

    Platform notes: Linux counts as minor what it finds in memory already, as a page of a page file that is still there.
    Windows counts both kinds as one. Wine counts none.

    Source: getrusage(2); proc_pid_stat(5), man-pages 6.10; GetProcessMemoryInfo.

    Version added: 0.1.
    """
    number, is_thread = mappings.checked_process(pid), _native.checked_flag(thread, "thread")
    if is_thread and number:
        raise ValueError("thread=True is about the calling thread: pid must be None")
    try:
        return Faults(*_native.faults(number, is_thread))
    except SystemCallError as error:
        if error.code != NO_SUCH_CALL:
            raise mappings.refusal(error, number) from None
        if is_thread or not mappings.LISTS_TEXT:
            raise UnsupportedError(f"{error.call}: this system does not count faults so") from None
    try:
        return Faults(*procfs.parse_faults(texts.read(f"/proc/{number}/stat")))
    except SystemCallError as error:
        raise mappings.refusal(error, number) from None


def page_files() -> list[PageFile]:
    """List where pages of private memory go when they leave.

    Returns:
        The page files; none is an answer.

    Raises:
        SystemCallError: The system does not tell.

    Platform notes: macOS tells the sum of its files. Wine does not tell.

    Does not protect against: the list being another one a moment later.

    Source: proc_swaps(5), man-pages 6.10; EnumPageFiles; vm.swapusage, vm.swap_info, swapctl(2).

    Version added: 0.1.
    """
    return [
        PageFile(path, "device" if is_device else "file", size, used, priority, is_in_memory)
        for path, is_device, size, used, priority, is_in_memory in pagefiles.read_areas()
    ]


def clustering() -> Clustering:
    """Tell how many pages come back from a page file when one of them is touched.

    Returns:
        The most, and which ones.

    Raises:
        UnsupportedError: This system does not say (all but Linux).
        SystemCallError: It cannot be read.

    Source: vm.page-cluster in proc_sys_vm(5), man-pages 6.10; Documentation/admin-guide/sysctl/vm.rst; mm/swap_state.c.

    Version added: 0.1.
    """
    if not mappings.LISTS_TEXT:
        raise UnsupportedError("this system does not say how many pages it brings in at a time")
    pages = 1 << min(texts.number(texts.read(_CLUSTER), _CLUSTER), 63)
    try:
        text = texts.read(_PER_REGION)
    except SystemCallError as error:
        if error.code != _ENOENT:
            raise
        return Clustering(pages, None)
    if text not in ("true\n", "false\n"):
        raise texts.malformed(_PER_REGION)
    return Clustering(pages, text == "true\n")
