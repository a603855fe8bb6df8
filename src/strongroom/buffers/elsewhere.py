"""What the native layer asks before it makes memory that nothing locks, and when none of that is to be had.

In: the words the user gave, the policy. Out: the ways to try, in their order, as the native layer takes them:
``(backing, required steps, steps not to be tried, directory)``. What was refused comes back as ``(backing, directory,
call, code)``, and leaves as words. As in ``planning``, all of it runs once per block.
"""

from __future__ import annotations

import errno
import os
import warnings

from strongroom import _native, guarantees
from strongroom._os import PLATFORM, filesystems, memorydisks
from strongroom.buffers import settings
from strongroom.buffers.planning import keeps_from_hibernating, steps_for, unlocked_requires, unmet_by
from strongroom.buffers.unlocked import SERVES
from strongroom.exceptions import (
    NO_SUCH_CALL,
    StrongroomError,
    StrongroomWarning,
    SystemCallError,
    UnsupportedError,
    reason_of,
)
from strongroom.policy import Policy

__all__ = [
    "file_ways",
    "needs_no_lock",
    "no_stand_in",
    "not_burned",
    "not_fetched",
    "nowhere",
    "stand_ins",
    "tell_stand_in",
    "volatile_ways",
]

Way = tuple[int, int, int, "bytes | None"]
#: What the native layer says of a way that led nowhere: backing, directory, call, code. Or words of our own.
Refused = tuple[str, "bytes | None", str, int]
Refusal = Refused | str

_LOCK_STEP = 1 << _native.STEPS.index("LOCK")
_VOLATILE = ("droppable", "partial")

#: What an error's code alone says, whatever call it was; winerror.h (ERROR_DISK_FULL, ERROR_DISK_QUOTA_EXCEEDED,
#: ERROR_TOO_MANY_OPEN_FILES), errno(3).
_FULL = "{size:,} bytes were to be written{where}: the file system or the quota is full"
_BY_CODE = (
    {112: _FULL, 1295: _FULL, 4: "This process may have no more files open: close some"}
    if PLATFORM == "windows"
    else {
        errno.ENOSPC: _FULL,
        errno.EDQUOT: _FULL,
        errno.EMFILE: "This process may have no more files open (ulimit -n): close some, or raise that limit",
        errno.ENFILE: "The whole system may have no more files open (sysctl fs.file-max): close some",
        errno.EFBIG: "Its file would be larger than this process may write one (ulimit -f), or the file system takes",
    }
)
#: What is wrong with a directory itself, now and in a moment: making a file there ends in the same error.
_OF_THE_DIRECTORY = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS)
)
#: A sentinel of so many bytes lies behind contents that can vanish; what is to be aligned to more does not fit there.
_MOST_ALIGNED = _native.CANARY_SIZE

#: What was tried out of an overlay is true of the file below it, which is what is mapped.
_UNSEEN = "whose upper directory is not to be seen from here; tried out, it keeps what lies behind a file's end"

#: Characters of a path that an error shows.
_LONGEST_SHOWN, _HALF_SHOWN = 200, 98


def _path(directory: object) -> bytes:
    if not isinstance(directory, str | bytes | os.PathLike):
        raise TypeError(f"directory must be a path, not {_native.describe(directory)}")
    path = os.fsencode(directory)
    if not path or b"\0" in path:
        raise ValueError(f"directory must be the path of a directory, not {_shown(path)}")
    return _absolute(path)


def _absolute(path: bytes) -> bytes:
    """For the words of an error. Nothing is taken out of it: what ``..`` is of a link only the system knows."""
    try:
        return os.path.join(os.getcwdb(), path)
    except OSError:  # the working directory was removed: the system says what is wrong with the path
        return path


def _shown(path: bytes) -> str:
    """A path as errors show it, the middle of a long one left out."""
    text = os.fsdecode(path)
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_HALF_SHOWN]}...{text[-_HALF_SHOWN:]}")


def _temporary() -> list[bytes]:
    """Where a file of zeros may lie that nobody named a place for. /var/tmp is on a disk more often than /tmp."""
    is_windows = PLATFORM == "windows"
    named = [os.environ.get(name) for name in (("TEMP", "TMP", "USERPROFILE") if is_windows else ("TMPDIR", "TEMP"))]
    known = () if is_windows else ("/var/tmp", "/tmp")  # noqa: S108 - the file never has a name
    places = [place for place in (*named, *known) if place]
    return list(dict.fromkeys(_absolute(os.fsencode(place)) for place in places))


def _checked(policy: Policy | None) -> Policy:
    default = settings.default()
    if policy is not None and not isinstance(policy, Policy):
        raise TypeError(f"policy must be a Policy or None, not {type(policy).__name__}")
    return default if policy is None else policy


def _lacking(policy: Policy, backing: str, tries_lock: bool) -> frozenset[str]:
    """What a policy requires and this backing cannot give, however the system answers."""
    names = unlocked_requires(policy, backing)
    lacking = unmet_by(names, backing, is_slot=False)
    if not tries_lock:
        lacking |= names & {guarantees.LOCKED}
    if keeps_from_hibernating(policy):
        lacking |= {guarantees.NEVER_WRITTEN}
    return lacking


def _way(policy: Policy, backing: str, directory: bytes | None, tries_lock: bool = False) -> Way:
    required = 0 if policy.on_shortfall != "raise" else steps_for(unlocked_requires(policy, backing))
    untried = 0 if tries_lock else _LOCK_STEP
    return _native.BACKINGS.index(backing), required & ~untried, untried, directory


def _listed(lacking: frozenset[str], policy: Policy) -> str:
    why = " (hibernation='block' wants secret memory)" if keeps_from_hibernating(policy) else ""
    return ", ".join(sorted(lacking)) + why


def _refuse_lacking(policy: Policy, backing: str, tries_lock: bool) -> None:
    if policy.on_shortfall == "raise" and (lacking := _lacking(policy, backing, tries_lock)):
        raise UnsupportedError(
            f"memory with backing={backing!r} cannot give {_listed(lacking, policy)}: a LockedBuffer may; or "
            "the Policy can require less, or allow shortfalls"
        )


def volatile_ways(size: int, backing: str, directory: object, lock: str, policy: Policy | None) -> list[Way]:
    """The ways to make a ``VolatileBuffer`` of ``size`` bytes."""
    policy = _checked(policy)
    for name, word, words in (("backing", backing, ("auto", *_VOLATILE)), ("lock", lock, ("no", "try"))):
        if not isinstance(word, str):
            raise TypeError(f"{name} must be {' or '.join(map(repr, words))}, not {_native.describe(word)}")
        if word not in words:
            raise ValueError(f"{name} must be {' or '.join(map(repr, words))}, not {word!r}")
    if backing == "droppable" and (directory is not None or lock == "try"):
        raise ValueError(
            "droppable pages have no file and cannot be locked: directory= and lock= are for partial pages"
        )
    most = _native.VOLATILE_MAX_SIZES
    kinds = [kind for kind in (_VOLATILE if backing == "auto" else (backing,)) if size <= most[kind]]
    if not kinds:
        bounds = ", ".join(f"{most[kind]:,} ({kind})" for kind in _VOLATILE if backing in ("auto", kind))
        raise ValueError(
            f"size must be from 1 to {bounds} bytes, not {size:,}: there is one page, which vanishes as a whole. Seal "
            "what is larger under a key that is kept here"
        )
    ways = []
    for kind in kinds:
        tries_lock = lock == "try" and kind == "partial"
        if kind != kinds[-1] and policy.on_shortfall == "raise" and _lacking(policy, kind, tries_lock):
            continue  # the next one may do
        _refuse_lacking(policy, kind, tries_lock)
        places: list[bytes | None] = [None]
        if kind == "partial":
            places = [*([_path(directory)] if directory is not None else _places(policy))]
        ways += [_way(policy, kind, place, tries_lock) for place in places]
    return ways


def _places(policy: Policy) -> list[bytes]:
    return [os.fsencode(policy.directory)] if policy.directory is not None else _temporary()


def _in_memory(directory: bytes) -> str:
    """What file system it is if the files of a directory lie in memory, or may for all that is known; else nothing.

    SystemCallError where it could not be found out: what has passed when the file is made would let memory through."""
    try:
        if PLATFORM != "linux":
            return memorydisks.words_for(*_native.filesystem_of(directory), PLATFORM)
        found = filesystems.find(directory)
        if found is None:
            return "for all that can be known without /proc"
        if found.is_unseen() and not _native.drops_tails(directory):
            return f"{found.describe()}, {_UNSEEN}"
    except OSError as error:
        if PLATFORM == "windows" or error.errno in _OF_THE_DIRECTORY:  # making the file will say what is wrong with it
            return ""
        call = error.call if isinstance(error, SystemCallError) else "open(directory)"
        remedy = f". {_BY_CODE[error.errno]}" if error.errno in filesystems.NO_DESCRIPTORS else ""
        untold = (
            f"It could not be found out whether files in {_shown(directory)} lie in memory: nothing was made{remedy}"
        )
        raise SystemCallError(call, error.errno or 0, untold) from None
    return found.describe() if found.is_memory else ""


def file_ways(directory: object, allow_memory: bool, policy: Policy | None) -> list[Way]:
    """The one way to make a ``FileBuffer``."""
    policy = _checked(policy)
    path = _path(directory)
    _refuse_lacking(policy, "file", tries_lock=False)
    if not allow_memory and (place := _in_memory(path)):
        raise UnsupportedError(
            f"{_shown(path)} lies in memory ({place}), which goes to the swap like any other: name a directory "
            "on a disk, or say allow_memory=True"
        )
    return [_way(policy, "file", path)]


def stand_ins(policy: Policy | None, size: int, tail: int, align: int, refusals: list[Refusal]) -> list[Way]:
    """The ways to serve a ``LockedBuffer`` that could not be locked; why others are none is added to ``refusals``.

    ``tail`` bytes behind it are to be zeros, so that it begins at a multiple of ``align``.
    """
    policy = settings.default() if policy is None else policy
    ways: list[Way] = []
    for word in policy.fallback:
        for backing in _VOLATILE if word == "volatile" else ("file",):
            ways += _stand_in(policy, backing, size + tail, align, refusals)
    return ways


def _stand_in(policy: Policy, backing: str, size: int, align: int, refusals: list[Refusal]) -> list[Way]:
    lacking = _lacking(policy, backing, tries_lock=False) if policy.on_shortfall == "raise" else frozenset()
    if lacking:
        refusals.append(f"{backing}: cannot give {_listed(lacking, policy)}")
    elif backing == "file":
        assert policy.directory is not None  # Policy sees to that
        path = os.fsencode(policy.directory)
        try:
            place = _in_memory(path)
        except SystemCallError as error:
            refusals.append((backing, path, error.call, error.code))
            return []
        if not place:
            return [_way(policy, backing, path)]
        refusals.append(f"file: {_shown(path)} lies in memory ({place})")
    elif size > _native.VOLATILE_MAX_SIZES[backing] or align > _MOST_ALIGNED:
        most = _native.VOLATILE_MAX_SIZES[backing]
        refusals.append(f"{backing}: one page, for up to {most:,} bytes and align up to {_MOST_ALIGNED}")
    else:
        return [_way(policy, backing, place) for place in (_places(policy) if backing == "partial" else [None])]
    return []


# ---- when there is none ----


def _words(refusal: Refusal) -> str:
    """Why one way led nowhere."""
    if isinstance(refusal, str):
        return refusal
    backing, directory, call, code = refusal
    where = f"{backing} in {_shown(directory)}" if directory is not None else backing
    if call == "mmap(MAP_DROPPABLE)" and code == NO_SUCH_CALL:
        return f"{where}: no such pages on this system (mmap(2) MAP_DROPPABLE: Linux 6.11)"
    if call in ("msync(partial page)", "FlushViewOfFile(partial page)"):
        return f"{where}: this file system keeps what lies behind a file's end, as those in memory do"
    if call == "WriteFile(partial page)":
        return f"{where}: this disk writes more at once than the 512 bytes at a file's end"
    return f"{where}: {call}: {reason_of(code)}"


def _advice(refusal: tuple[str, bytes | None, str, int], size: int) -> str:
    """What was tried when that was refused, and what to do."""
    backing, directory, call, code = refusal
    where = "" if directory is None else f" in {_shown(directory)}"
    if code in _BY_CODE:
        return _BY_CODE[code].format(size=size, where=where)
    if call.startswith(("mmap", "mremap", "mprotect")) and code == errno.ENOMEM:
        return "Memory, address space, or mappings (sysctl vm.max_map_count) may have run out"
    if call.startswith(("open(", "CreateFile(")) and directory is not None:
        return f"Name a directory that exists and that this process may write to, not {_shown(directory)}"
    if call.startswith("unlink("):
        return f"An empty file .strongroom-* stays{where}: name a directory that lets this process remove what it made"
    return f"This was for {backing} pages{where}"


def nowhere(refusals: list[Refusal], size: int) -> StrongroomError:
    """Return the exception for memory that could be made in none of these ways."""
    wrong = [refusal for refusal in refusals if not isinstance(refusal, str) and refusal[3] != NO_SUCH_CALL]
    if not wrong:
        return UnsupportedError(f"there is no such memory to be had here. {'; '.join(map(_words, refusals))}")
    last = wrong[-1]
    others = [_words(refusal) for refusal in refusals if refusal is not last]
    tried = f"Tried besides: {'; '.join(others)}" if others else ""
    return SystemCallError(last[2], last[3], ". ".join(part for part in (_advice(last, size), tried) if part))


def needs_no_lock(policy: Policy | None) -> str:
    """Return the last of an error's remedies where nothing was to stand in: what needs no lock, and what lets it."""
    if policy is None and settings.has_no_fallback():
        return (
            "VolatileBuffer and FileBuffer need no lock. That one stands in is switched off here: "
            f"{settings.VARIABLE} has fallback=none, and only a policy that the call itself names comes before that."
        )
    return "VolatileBuffer and FileBuffer need no lock; with backing='auto' Policy(fallback=...) lets them stand in."


def no_stand_in(refusals: list[Refusal]) -> str:
    """Return what an error says of stand-ins that did not serve either; nothing if there were to be none."""
    if not refusals:
        return ""
    return f"The fallback did not serve either: {'; '.join(map(_words, refusals))}."


def tell_stand_in(block: _native.Block, call: str, code: int) -> None:
    """Warn that a buffer was not locked, and what it is instead."""
    warnings.warn(
        f"a {type(block).__name__} of {len(block):,} bytes could not be locked ({call}: {reason_of(code)}): the "
        f"fallback of its policy serves, {SERVES[block.backing]}. guarantees() says what would have it locked",
        StrongroomWarning,
        stacklevel=2,
    )


_NOT_BURNED = {
    "file": "The private file of this buffer could not be overwritten before it went: what it held may still be on its "
    "device. The memory is given back, wiped as far as it could be written",
    "partial": "The page of this buffer could not be fetched, or not be written back, at its end. There is nothing to "
    "burn: its file is 512 zeros and never had the contents. Only what was stored at the very moment of an earlier "
    "write-back may have gone to the device. The memory is given back, wiped as far as it could be written",
}
_NOT_FETCHED = {
    "file": "The pages of this buffer are those of its private file: the device does not give them back, or has no "
    "room for what is to be written (copy-on-write on a full one). Make room, or make the buffer anew",
    "partial": "The page of this buffer is that of a private file of 512 zeros, whose device fails or has no room: "
    "contents can neither be had nor begin anew there. Make room, or make the buffer anew in a directory on another "
    "device",
}


def not_burned(call: str, code: int, backing: str) -> SystemCallError:
    """Return the exception for a file that could not be overwritten before it went."""
    return SystemCallError(call, code, _NOT_BURNED[backing])


def not_fetched(call: str, code: int, backing: str) -> SystemCallError:
    """Return the exception for pages that do not come back from their file's device, or do not go there."""
    return SystemCallError(call, code, _NOT_FETCHED[backing])
