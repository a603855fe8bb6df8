"""What the system says of memory, in Windows' words: who knows what, and what a refusal means."""

from __future__ import annotations

import os

from strongroom import _native
from strongroom._os import PLATFORM
from strongroom.exceptions import NO_SUCH_CALL, SystemCallError, UnsupportedError, reason_of

__all__ = [
    "KNOWS_RESERVATIONS",
    "KNOWS_SWAPPED_PAGES",
    "LISTS_TEXT",
    "LOCKS_UNTOLD",
    "USER_END",
    "checked",
    "checked_process",
    "is_writable",
    "refusal",
    "shown",
]

#: Whether the system itself tells reserved pages from inaccessible ones, and knows modifiers.
KNOWS_RESERVATIONS = PLATFORM == "windows"
#: Whether its page tables tell pages in a page file from pages that are nowhere.
KNOWS_SWAPPED_PAGES = PLATFORM in ("linux", "darwin")
#: Whether it lists what is mapped as text, read in C; else as records, which ``_os/entries.py`` reads.
LISTS_TEXT = PLATFORM == "linux"
#: Where the user half of the address space ends, as far as Linux hands it out unasked; arch/x86/include/asm/page_64.h.
USER_END = 1 << 47

#: Why a page that is in memory says nothing of locks and shares, where the system otherwise would.
LOCKS_UNTOLD = "QueryWorkingSetEx, which on Windows tells of locks and shares, does not under Wine"

_P = _native.PROTECTIONS
_WRITABLE = _P["READ_WRITE"] | _P["WRITE_COPY"] | _P["EXECUTE_READ_WRITE"] | _P["EXECUTE_WRITE_COPY"]
#: What the letters of a listing do not tell apart.
_SHOWN = {
    _P["EXECUTE"]: _P["EXECUTE_READ"],
    _P["WRITE_COPY"]: _P["READ_WRITE"],
    _P["EXECUTE_WRITE_COPY"]: _P["EXECUTE_READ_WRITE"],
}
_EPERM, _ENOENT, _ESRCH, _EACCES = 1, 2, 3, 13  # the same numbers on every Unix
#: What OpenProcess answers (ERROR_INVALID_PARAMETER, ERROR_ACCESS_DENIED), and every Unix.
_GONE, _NOT_ALLOWED = ((87,), (5,)) if PLATFORM == "windows" else ((_ENOENT, _ESRCH), (_EACCES, _EPERM))
_WHO_MAY = {
    "linux": "What is mapped by another user's process, or by one that shields itself (PR_SET_DUMPABLE), may be read "
    "with CAP_SYS_PTRACE. What everybody may read: the totals in /proc/{pid}/status (VmSize, VmRSS, VmLck, VmSwap), "
    "and stat, statm, cmdline, comm, limits.",
    "windows": "Another user's process, or one whose access list is closed, may be asked with SeDebugPrivilege (debug "
    "programs), a protected one by nobody. What may be asked with less (PROCESS_QUERY_LIMITED_INFORMATION): the totals "
    "of GetProcessMemoryInfo, and the program's name.",
    "darwin": "Another user's process may be asked by root, one of the system's own by nobody.",
    "freebsd": "Whom this one may not debug (p_candebug), root may ask.",
    "netbsd": "Another user's process may be asked by root.",
    "openbsd": "Another process than one's own may be asked by root alone.",
}
_HIDDEN = "/proc shows nothing of other users' processes here (hidepid=1)."
_LARGEST_PID = (1 << 31) - 1


def checked(value: int, what: str = "address") -> int:
    """An address or size: an integer that is not negative and fits a pointer."""
    return _native.checked_number(value, what)


def checked_process(pid: int | None) -> int:
    """The number of another process, or 0 for this one."""
    if pid is None:
        return 0
    number = _native.checked_number(pid, "pid")
    if not 1 <= number <= _LARGEST_PID:
        raise ValueError(f"pid must be from 1 to {_LARGEST_PID:,}, not {number:,}")
    return 0 if number == os.getpid() else number


def is_writable(protection: int) -> bool:
    """Whether pages with this protection can be written."""
    return protection & _WRITABLE != 0


def shown(protection: int) -> int:
    """The protection that the system shows for one that strongroom gave: it does not know them all."""
    if KNOWS_RESERVATIONS:
        return protection
    if protection & _P["GUARD"]:
        return _P["NO_ACCESS"]
    return _SHOWN.get(protection, protection)


def refusal(error: SystemCallError, pid: int) -> Exception:
    """What a refused question becomes: no such process, no right to ask, not on this system, or the error itself."""
    if error.code == NO_SUCH_CALL:
        return UnsupportedError(f"what is mapped cannot be asked like this on this system: {error}")
    if PLATFORM == "linux" and error.code == _ENOENT and not os.path.lexists("/proc/self"):
        return SystemCallError(error.call, error.code, "Linux tells what is mapped in /proc, which is not here.")
    if pid == 0:
        return error
    if error.code in _GONE:
        return ProcessLookupError(_ESRCH, f"there is no process {pid:,}, or this one may not see it")
    if error.code in _NOT_ALLOWED:
        call = error.call.replace("PID", str(pid))
        who = _HIDDEN if PLATFORM == "linux" and error.code == _EPERM else _WHO_MAY[PLATFORM].format(pid=pid)
        number = error.code if error.code == _EPERM else _EACCES
        return PermissionError(number, f"{call}: {reason_of(error.code)}. {who}")
    return error
