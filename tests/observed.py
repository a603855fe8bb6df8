"""What the operating system says of a process: the tests' own readers, none of them strongroom's.

The words are those of Linux's smaps on every system: ``r--`` is a protection, ``lo`` the flag of a locked page.
"""

import ctypes
import mmap
import sys

from observed_linux import Mapping

if sys.platform == "win32":
    from observed_windows import AT_REST, KEPT_OUT, Memory, descriptors, mappings, no_huge_pages, own_size, status_size
else:
    from observed_linux import Memory, descriptors, mappings, no_huge_pages, own_size, status_size

    #: How a closed buffer's pages are protected, and which flags the pages of every buffer have.
    AT_REST, KEPT_OUT = "---", frozenset({"lo", "dd", "dc"})

__all__ = [
    "AT_REST",
    "KEPT_OUT",
    "PAGE",
    "Mapping",
    "Memory",
    "address_of",
    "descriptors",
    "mapping_at",
    "mappings",
    "no_huge_pages",
    "own_size",
    "pages",
    "protection_at",
    "status_size",
]

PAGE = mmap.PAGESIZE


def mapping_at(address: int, among: list[Mapping] | None = None) -> Mapping | None:
    """Return the mapping that an address lies in, or None."""
    found = mappings() if among is None else among
    return next((m for m in found if m.start <= address < m.end), None)


def protection_at(address: int) -> str:
    """Return ``r--``, ``rw-`` or ``---`` for mapped memory of this process, ``gone`` for any other."""
    mapping = mapping_at(address)
    return "gone" if mapping is None else mapping.permissions[:3]


def pages(address: int, size: int) -> list[str]:
    """Return ``gone``, ``rw-`` or, if locked and sealed, ``rw- lo sl`` for each page of a range.

    Page by page, because what lies beside the range may be one mapping with it.
    """
    listing = mappings()
    among = [mapping_at(page, listing) for page in range(address, address + size, PAGE)]
    return ["gone" if m is None else " ".join([m.permissions[:3], *sorted({"lo", "sl"} & m.flags)]) for m in among]


def address_of(buffer: object) -> int:
    """Return where the bytes of any buffer begin; keeps nothing."""
    description = (ctypes.c_char * 256)()  # larger than any Py_buffer, whose first field is the address
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(buffer), ctypes.byref(description), 0)
    address = ctypes.c_void_p.from_buffer(description).value
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(description))
    assert address is not None
    return address
