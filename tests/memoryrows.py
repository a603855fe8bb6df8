"""Rows of memory written by hand: processes as ``vm.regions`` would tell of them."""

from collections.abc import Callable
from typing import Any

from strongroom import vm
from strongroom.report.memory import Account

PAGE = 4096
MIB = 1 << 20


def row(address: int, size: int, **told: Any) -> vm.PageInfo:
    """Private memory, readable and writable, all of it resident; whatever else is told of it."""
    values: dict[str, Any] = dict.fromkeys(vm.PageInfo._fields)
    protection = told.pop("protection", vm.READ_WRITE)
    values |= {
        "address": address,
        "size": size,
        "state": "committed",
        "protection": protection,
        "allocation": address,
        "allocation_protection": protection,
        "type": "private",
        "path": "",
        "is_shared": False,
        "resident_size": size,
        "swapped_size": 0,
        "is_locked": False,
        "is_droppable": False,
        "is_undumpable": False,
        "in_child": "copied",
        "flags": "rd wr mr mw me ac",
    }
    return vm.PageInfo(**values | told)


def image(address: int, size: int, path: str, **told: Any) -> vm.PageInfo:
    """A part of a program or library."""
    return row(address, size, **{"type": "image", "path": path, "inode": 7, "protection": vm.EXECUTE_READ} | told)


def nothing(address: int, size: int, **told: Any) -> vm.PageInfo:
    """Memory that may not be touched."""
    return row(address, size, **{"protection": vm.NO_ACCESS, "resident_size": 0} | told)


def secret(address: int, size: int) -> vm.PageInfo:
    """Memory of memfd_secret as Linux 6.18 tells of it."""
    told = {"type": "mapped", "path": "/secretmem (deleted)", "inode": 77, "is_shared": True, "in_child": "absent"}
    return row(address, size, **told, is_locked=True, is_undumpable=True)


def service() -> list[vm.PageInfo]:
    """A program that keeps a secret: one region of each kind and with each thing that stands out."""
    at, low, high = 0x7F3B44000000, 0x55D0C0BA9000, 0x7FFD0F0E1000
    return [
        image(low, 4 * PAGE, "/usr/bin/vault", protection=vm.READ_ONLY),
        image(low + 4 * PAGE, 60 * PAGE, "/usr/bin/vault", resident_size=20 * PAGE),
        row(low + 80 * PAGE, 8 * MIB, path="[heap]", resident_size=4 * MIB, swapped_size=3 * MIB),
        nothing(at, 64 * MIB),
        row(at + 64 * MIB, 2 * MIB, resident_size=0, swapped_size=2 * MIB),
        secret(at + 68 * MIB, PAGE),
        row(at + 69 * MIB, 4 * PAGE, is_locked=True, is_undumpable=True, in_child="absent"),
        row(at + 69 * MIB + 4 * PAGE, 2 * PAGE, is_droppable=True),
        row(at + 69 * MIB + 6 * PAGE, PAGE, secured=vm.READ_ONLY, protection=vm.READ_ONLY),
        row(at + 69 * MIB + 7 * PAGE, 8 * PAGE, protection=vm.EXECUTE_READ_WRITE),
        row(at + 69 * MIB + 15 * PAGE, 2 * PAGE, is_undumpable=True),
        image(at + 80 * MIB, MIB, "/usr/lib/libc.so.6", resident_size=MIB // 2),
        row(at + 90 * MIB, 16 * MIB, type="mapped", path="/dev/zero (deleted)", inode=3, is_shared=True),
        row(at + 110 * MIB, MIB, type="mapped", path="/usr/lib/locale", inode=9, resident_size=0),
        row(high, 33 * PAGE, path="[stack]", resident_size=9 * PAGE),
        row(high + 60 * PAGE, 4 * PAGE, path="[vvar]", resident_size=0, is_undumpable=True),
        image(0xFFFFFFFFFF600000, PAGE, "[vsyscall]", type="private", inode=None),
    ]


def account(rows: list[vm.PageInfo], **told: Any) -> Account:
    """What is known of a process with these rows."""
    facts: dict[str, Any] = {"name": "vault", "pid": 4242, "user": "997", "is_self": True, "regions": rows}
    return Account(**facts | told)


def listing(told: list[vm.PageInfo], *, unread: tuple[str, ...] = (), torn: bool = False) -> Callable[..., vm.Listing]:
    """Something to ask instead of the system."""

    def regions(pid: int | None = None, detail: str = "maps") -> vm.Listing:
        return vm.Listing._of(told, pid or 0, detail, torn, unread if detail == "pages" else ())

    return regions
