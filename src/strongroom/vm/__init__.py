"""Windows' virtual memory model on every system: reserve, commit, protect, lock, secure.

    protection      the constants, and what each becomes where
    region          Region: reserve() and allocate() make one
    machine         page sizes, the working set, the lock limit
    query           what the system says of any address
    listing         what is mapped, here or in another process, page by page; books adds what strongroom knows
    moving          pages that leave memory and come back, counted
    paging          faults, page files, clustering
    translation     where a page is: which frame of memory, which slot of a page file
    layout          how the address space is divided
    mapping         sections, of files and of memory that processes share, and the views of them
    physical        pages that are never written to swap, and windows that show them
    win32           the same by Windows' own names

A region is address space whose pages are reserved or committed. Nothing is resident until touched, and what strongroom
does to a page is counted, checked and undone when it fails; what other code does to it is seen by asking the system.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from strongroom._native import GRANULARITY, PAGE_SIZE, RegionAccess, SecureHandle
from strongroom.vm.layout import Layout, layout
from strongroom.vm.listing import Listing, pages, regions
from strongroom.vm.machine import (
    LockLimit,
    WorkingSet,
    large_page_size,
    lock_limit,
    set_working_set,
    working_set,
)
from strongroom.vm.mapping import MappedView, Section, create_section, find_view, map_file, open_section
from strongroom.vm.moving import Moved, page_out, prefetch
from strongroom.vm.pageinfo import PageInfo
from strongroom.vm.paging import Clustering, Faults, PageFile, clustering, faults, page_files
from strongroom.vm.physical import PageList, PhysicalPages, Window, physical, window
from strongroom.vm.protection import (
    EXECUTE,
    EXECUTE_READ,
    EXECUTE_READ_WRITE,
    EXECUTE_WRITE_COPY,
    GUARD,
    NO_ACCESS,
    NO_CACHE,
    READ_ONLY,
    READ_WRITE,
    WRITE_COMBINE,
    WRITE_COPY,
    is_possible,
    protection_name,
)
from strongroom.vm.query import probe, query
from strongroom.vm.region import Pages, Region, allocate, reserve
from strongroom.vm.translation import Translation, translate

if TYPE_CHECKING:
    from types import ModuleType

__all__ = [
    "EXECUTE",
    "EXECUTE_READ",
    "EXECUTE_READ_WRITE",
    "EXECUTE_WRITE_COPY",
    "GRANULARITY",
    "GUARD",
    "NO_ACCESS",
    "NO_CACHE",
    "PAGE_SIZE",
    "READ_ONLY",
    "READ_WRITE",
    "WRITE_COMBINE",
    "WRITE_COPY",
    "Clustering",
    "Faults",
    "Layout",
    "Listing",
    "LockLimit",
    "MappedView",
    "Moved",
    "PageFile",
    "PageInfo",
    "PageList",
    "Pages",
    "PhysicalPages",
    "Region",
    "RegionAccess",
    "Section",
    "SecureHandle",
    "Translation",
    "Window",
    "WorkingSet",
    "allocate",
    "clustering",
    "create_section",
    "faults",
    "find_view",
    "is_possible",
    "large_page_size",
    "layout",
    "lock_limit",
    "map_file",
    "open_section",
    "page_files",
    "page_out",
    "pages",
    "physical",
    "prefetch",
    "probe",
    "protection_name",
    "query",
    "regions",
    "reserve",
    "set_working_set",
    "translate",
    "window",
    "working_set",
]


def __getattr__(name: str) -> ModuleType:
    """Import ``vm.win32`` when somebody asks for it: most programs never do."""
    if name == "win32":
        return importlib.import_module("strongroom.vm.win32")
    raise AttributeError(f"module 'strongroom.vm' has no attribute {name!r}")
