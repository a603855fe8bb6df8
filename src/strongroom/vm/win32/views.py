"""Addresses that lie in mapped views, for the calls that take any address."""

from __future__ import annotations

from strongroom._native import PAGE_SIZE
from strongroom.exceptions import Win32Error
from strongroom.vm.mapping import MappedView, find_view
from strongroom.vm.query import query
from strongroom.vm.win32 import constants as c
from strongroom.vm.win32.errors import Translated, fail_unless


def view_within(call: str, place: int, size: int) -> tuple[MappedView, int, int] | None:
    """The view that a range begins in, with the range's offset and size; None if that is no view.

    A view may end within its last page. What is there belongs to nobody: the size is cut to the view's.
    """
    view = find_view(place)
    if view is None:
        return None
    is_inside = place + size <= view.address + -(-view.size // PAGE_SIZE) * PAGE_SIZE
    fail_unless(is_inside, call, c.ERROR_INVALID_ADDRESS, f"the range from {place:#x} on reaches beyond its view")
    offset = min(place - view.address, view.size - 1)
    return view, offset, min(size, view.size - offset)


def protect_view(call: str, view: MappedView, offset: int, size: int, protection: int) -> int:
    """Change the protection of a view's pages; returns the first page's old one."""
    before = query(view.address + offset).protection
    try:
        with Translated(call, c.ERROR_INVALID_PARAMETER):
            view.protect(offset, size, protection)
    except (ValueError, Win32Error) as error:  # whatever it was, Windows has one code (STATUS_SECTION_PROTECTION)
        raise Win32Error(call, c.ERROR_INVALID_PARAMETER, str(error)) from None
    return before
