"""How an address space is laid out: what the processor says, and what the kernel makes of it.

Source: proc_cpuinfo(5), man-pages 6.10; Documentation/arch/x86/x86_64/mm.rst, Documentation/arch/arm64/memory.rst.
"""

from __future__ import annotations

import re
from functools import cache

from strongroom import _native
from strongroom._os import PLATFORM, texts

__all__ = ["parse_address_sizes", "read_address_sizes", "read_user_space"]

_CPUINFO = "/proc/cpuinfo"
_SIZES = re.compile(r"address sizes\s*: ([0-9]{2}) bits physical, ([0-9]{2}) bits virtual")
_LEAST, _MOST = 32, 64


def parse_address_sizes(text: str) -> tuple[int | None, int | None]:
    """Bits of a physical and of a virtual address, of the first processor; ``None`` where it does not say (not x86).

    Raises:
        SystemCallError: It says so in a line that nobody can parse, or that is cut.
    """
    before, found, rest = text.partition("address sizes")
    if not found:
        return None, None
    line, end, _ = rest.partition("\n")
    match = _SIZES.fullmatch(found + line)
    if match is None or not end or (before and not before.endswith("\n")):
        raise texts.malformed(_CPUINFO, before.count("\n") + 1)
    physical, virtual = int(match[1]), int(match[2])
    if not (_LEAST <= physical <= _MOST and _LEAST <= virtual <= _MOST):
        raise texts.malformed(_CPUINFO, before.count("\n") + 1)
    return physical, virtual


@cache  # of a machine they stay what they are, and it takes the kernel a while to tell of many processors
def read_address_sizes() -> tuple[int | None, int | None]:
    """The same, of this machine."""
    return parse_address_sizes(texts.read(_CPUINFO)) if PLATFORM == "linux" else (None, None)


def read_user_space() -> tuple[int, int | None]:
    """The lowest address that a program can have, and the first beyond the highest, ``None`` if nobody tells."""
    if PLATFORM != "linux":
        return _native.user_space()
    path = "/proc/sys/vm/mmap_min_addr"
    return texts.number(texts.read(path), path), None
