"""What may be done with a page: eight protections and three modifiers, with Windows' values.

What each becomes, for private memory:

    ====================  ==================  =================================================
    constant              Windows             Linux, macOS, BSD
    ====================  ==================  =================================================
    NO_ACCESS             PAGE_NOACCESS       PROT_NONE
    READ_ONLY             PAGE_READONLY       PROT_READ
    READ_WRITE            PAGE_READWRITE      PROT_READ | PROT_WRITE
    WRITE_COPY            refused             refused: private pages are copied on write anyway
    EXECUTE               PAGE_EXECUTE        PROT_READ | PROT_EXEC, readable as on Windows
    EXECUTE_READ          PAGE_EXECUTE_READ   PROT_READ | PROT_EXEC
    EXECUTE_READ_WRITE    the same name       PROT_READ | PROT_WRITE | PROT_EXEC
    EXECUTE_WRITE_COPY    refused             refused
    | GUARD               PAGE_GUARD          PROT_NONE; strongroom's own calls end it at a touch
    | NO_CACHE            PAGE_NOCACHE        refused: caching is not a process's to choose
    | WRITE_COMBINE       PAGE_WRITECOMBINE   refused
    ====================  ==================  =================================================

Refused means ``UnsupportedError``. Source: memory protection constants (winnt.h); mprotect(2), man-pages 6.10.
"""

from __future__ import annotations

from strongroom._native import PROTECTIONS, is_protection_possible, protection_name

__all__ = ["is_possible", "protection_name"]

NO_ACCESS: int = PROTECTIONS["NO_ACCESS"]
READ_ONLY: int = PROTECTIONS["READ_ONLY"]
READ_WRITE: int = PROTECTIONS["READ_WRITE"]
WRITE_COPY: int = PROTECTIONS["WRITE_COPY"]
EXECUTE: int = PROTECTIONS["EXECUTE"]
EXECUTE_READ: int = PROTECTIONS["EXECUTE_READ"]
EXECUTE_READ_WRITE: int = PROTECTIONS["EXECUTE_READ_WRITE"]
EXECUTE_WRITE_COPY: int = PROTECTIONS["EXECUTE_WRITE_COPY"]
GUARD: int = PROTECTIONS["GUARD"]
NO_CACHE: int = PROTECTIONS["NO_CACHE"]
WRITE_COMBINE: int = PROTECTIONS["WRITE_COMBINE"]


def is_possible(protection: int) -> bool:
    """Say whether private memory of this system can have a protection.

    Args:
        protection: One of the eight, with or without one modifier.

    Returns:
        Whether ``commit`` and ``protect`` accept it here; where not, they raise ``UnsupportedError``.

    Raises:
        ValueError, TypeError: No system has such a protection.

    Source: memory protection constants (winnt.h); mprotect(2), man-pages 6.10.

    Version added: 0.1.
    """
    return is_protection_possible(protection)
