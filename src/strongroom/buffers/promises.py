"""What the calls for each guarantee are on each system, in words with their manual page: a source for evidence.

A call that succeeded has made a promise, no more: whoever only knows that says ``requested``. Pure: asks nobody.
"""

from __future__ import annotations

from strongroom import guarantees as words

__all__ = ["STEP_OF", "promised"]

#: The native layer's step that asks for each of these.
STEP_OF = {
    words.LOCKED: "LOCK",
    words.NO_DUMP: "NO_DUMP",
    words.NOT_IN_CHILD: "NOT_IN_CHILD",
    words.NO_MERGE: "NO_MERGE",
}

# A guarantee that a system has no call for is not in its table: the native layer answers there with the name of the
# call that other systems have, and with "not available".
_LINUX = {
    words.LOCKED: "mlock(2)",
    words.NO_DUMP: "madvise(2) MADV_DONTDUMP",
    words.NOT_IN_CHILD: "madvise(2) MADV_DONTFORK",
    words.NO_MERGE: "madvise(2) MADV_UNMERGEABLE",
}
_WINDOWS = {
    words.LOCKED: "VirtualLock (memoryapi.h)",
    words.NOT_IN_CHILD: "no call needed, a child is a new program in an address space of its own: CreateProcess",
}
_DARWIN = {
    words.LOCKED: "mlock(2)",
    words.NOT_IN_CHILD: "minherit(2) VM_INHERIT_NONE",  # cores: no call; they are off by default (RLIMIT_CORE is 0)
}
_FREEBSD = {
    words.LOCKED: "mlock(2)",
    words.NO_DUMP: "madvise(2) MADV_NOCORE",
    words.NOT_IN_CHILD: "minherit(2) INHERIT_NONE",
}
_NETBSD = {words.LOCKED: "mlock(2)", words.NOT_IN_CHILD: "minherit(2) MAP_INHERIT_NONE"}
# OpenBSD's MAP_CONCEAL is for mmap(2) alone: no call gives it to memory that is there already.
_OPENBSD = _NETBSD

_CALLS = {
    "linux": _LINUX,
    "windows": _WINDOWS,
    "darwin": _DARWIN,
    "freebsd": _FREEBSD,
    "netbsd": _NETBSD,
    "openbsd": _OPENBSD,
}

#: What makes a block guarded and closed: pages that were mapped, or became, inaccessible.
_BY_LAYOUT = {words.GUARDED: "mmap(2) PROT_NONE on either side", words.CLOSED_AT_REST: "mprotect(2) PROT_NONE"}
_BY_LAYOUT_ON_WINDOWS = {words.GUARDED: "VirtualAlloc MEM_RESERVE on either side"}


def promised(platform: str, name: str) -> str:
    """The call that promises a guarantee on a system, and that it was not refused."""
    layout = _BY_LAYOUT_ON_WINDOWS if platform == "windows" else _BY_LAYOUT
    call = _CALLS.get(platform, {}).get(name) or layout.get(name)
    if call is None:
        return "the call succeeded"
    return call if name == words.NOT_IN_CHILD and platform == "windows" else f"{call}: succeeded, not read back"
