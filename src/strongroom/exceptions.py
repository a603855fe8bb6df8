"""Every error strongroom raises, in one tree.

Wrong arguments stay ``ValueError`` and ``TypeError``. A message says what failed, in which native call, with which
sizes, and what to try; it never holds a byte of a secret, nor the address of one.
"""

from __future__ import annotations

import errno
import os

__all__ = [
    "AccessError",
    "ContentsLostError",
    "DestroyedError",
    "ForkedError",
    "LockLimitError",
    "PurgedError",
    "SealBrokenError",
    "SecuredError",
    "SettledError",
    "StrongroomError",
    "StrongroomWarning",
    "SystemCallError",
    "UnsupportedError",
    "Win32Error",
]

#: The code that stands for "this system has no such call" (``SR_UNSUPPORTED`` in the native contract).
NO_SUCH_CALL = -1

#: Python's errno for Windows' codes, as far as it is not EINVAL; CPython, PC/errmap.h.
_WIN32_ERRNO = {2: errno.ENOENT, 5: errno.EACCES, 6: errno.EBADF, 8: errno.ENOMEM, 158: errno.EACCES, 183: errno.EEXIST}

#: There codes are GetLastError's, and OSError finds the errno itself.
_IS_WINDOWS = hasattr(OSError(), "winerror")


def reason_of(code: int) -> str:
    """Return the system's own words for the code of a failed call."""
    if code == NO_SUCH_CALL:
        return "not available on this system"
    if not _IS_WINDOWS:
        return os.strerror(code)
    import _ctypes  # ctypes' compiled half: the whole of it is long to import

    return f"{_ctypes.FormatError(code)} (error {code})"  # type: ignore[attr-defined, unused-ignore]


class StrongroomError(Exception):
    """The root of the tree: every error that strongroom itself raises, but for wrong arguments.

    Raised when: never itself; always as one of the classes below.

    What to do: catch it where any failure to keep a secret safe is handled alike.

    Version added: 0.1.
    """


class StrongroomWarning(UserWarning):
    """A shortfall that ``Policy(on_shortfall="warn")`` allowed, or a lock that ``Policy(fallback=...)`` does without.

    Raised when: a buffer was made without a guarantee that its policy names; or a ``LockedBuffer`` could not be locked,
    and the fallback of its policy serves instead. Given once for each buffer, through ``warnings.warn``, at the line
    that made it.

    What to do: see in ``guarantees()`` which call was refused, and why, and under LOCKED of a stand-in what would have
    it locked. ``on_shortfall="raise"`` makes an error of the one, a policy without ``fallback`` of the other.

    Version added: 0.1.
    """


class SystemCallError(StrongroomError, OSError):
    """The operating system refused a call.

    Args:
        call: The native call, for example ``"mlock"``.
        code: Its errno (Unix) or ``GetLastError`` value (Windows); -1 where this system has no such call.
        advice: What to try, appended to the message.

    Raised when: a native call failed and none of the more telling classes fits.

    Attributes: ``call``, ``code`` and ``advice`` as above; ``errno`` and ``strerror``, and on Windows ``winerror``, as
    on any ``OSError``.

    What to do: look the call up in its manual page under the error's name; the message says what to try first, where
    that is known.

    Platform notes: on Windows Python derives ``errno`` from the ``GetLastError`` value; ``code`` is the value itself.

    Source: errno(3); GetLastError on Windows.

    Version added: 0.1.
    """

    def __init__(self, call: str, code: int, advice: str = "") -> None:
        text = f"{call}: {reason_of(code)}" + (f". {advice}" if advice else "")
        if _IS_WINDOWS:
            OSError.__init__(self, 0, text, None, code)
        else:
            OSError.__init__(self, code, text)
        self.call = call
        self.code = code
        self.advice = advice

    def __str__(self) -> str:
        return str(self.strerror)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.call, self.code, self.advice)


class LockLimitError(SystemCallError):
    """The system will not keep more of this process's memory in RAM.

    Args:
        call: The native call that was refused.
        code: Its errno or ``GetLastError`` value.
        requested: Bytes that were to be locked: the size asked for and its canary, rounded up to whole pages.
        limit: Bytes this process may lock, or ``None`` if the system sets no limit or does not say.
        locked_now: Bytes it has locked already, by whomever, or ``None`` if the system does not say.
        advice: Remedies for this system, those for where the process runs first; last what needs no lock.
        note: What came of waiting, and of the fallback, if the policy asked for them.

    Raised when: locking pages for a buffer, for the sealing key or for a secret being opened meets the limit. What
    existed before is unharmed, and nothing was made.

    Attributes: ``requested``, ``limit``, ``locked_now`` and ``note`` as above, ``remedies`` (the advice), and those of
    ``SystemCallError``.

    What to do: raise the limit as ``remedies`` says, destroy buffers that are no longer needed, or keep many secrets
    as ``Secret``, which are sealed at rest and need locked memory only while open.

    Platform notes: the limit counts everything this process has locked, by strongroom or not; on Windows it is the
    minimum working set.

    Source: mlock(2), getrlimit(2) RLIMIT_MEMLOCK; VirtualLock on Windows.

    Version added: 0.1.
    """

    def __init__(
        self,
        call: str,
        code: int,
        requested: int,
        limit: int | None,
        locked_now: int | None,
        advice: str,
        note: str = "",
    ) -> None:
        bound = "unknown" if limit is None else f"{limit:,} bytes"
        held = "an unknown part" if locked_now is None else f"{locked_now:,} bytes"
        text = f"Cannot lock {requested:,} more bytes: the limit is {bound}, of which {held} are locked."
        super().__init__(call, code, " ".join(part for part in (text, note, advice) if part))
        self.requested = requested
        self.limit = limit
        self.locked_now = locked_now
        self.remedies = advice
        self.note = note

    def __reduce__(self) -> tuple[object, ...]:
        arguments = (self.call, self.code, self.requested, self.limit, self.locked_now, self.remedies, self.note)
        return type(self), arguments


class ContentsLostError(StrongroomError):
    """The system dropped what a buffer held, as the buffer's kind of memory lets it.

    Raised when: a ``VolatileBuffer``, or a ``LockedBuffer`` that one stands in for, is opened without its contents; at
    the end of a block whose memory was dropped meanwhile; by ``read_into()``, before anything dropped is taken for
    content.

    What to do: discard what was computed in that block; store the contents anew (``copy_from()`` of all the bytes,
    ``build()``), or give ``rebuild=`` when making the buffer; then do the work again.

    Source: mmap(2) MAP_DROPPABLE; for partial pages msync(2).

    Version added: 0.1.
    """


class AccessError(StrongroomError):
    """Memory was used in a way that its state forbids, above all outside the block that opened it.

    Raised when: a View is used after its ``with`` block ended, or one access is entered twice; a page of a region is
    not committed, is a guard page, is not locked, or its protection forbids what was asked; a handle is ended twice.

    What to do: call ``open()`` or ``view()`` again, and keep every use of the View inside its block; for a region the
    message names the page, its state, and the call that changes it (``commit``, ``protect``).

    Version added: 0.1.
    """


class DestroyedError(StrongroomError):
    """The object was destroyed: what it held is gone.

    Raised when: a buffer or secret is used after ``destroy()``, or after the ``with`` block that owned it.

    What to do: make the object anew from its source, or destroy it later.

    Version added: 0.1.
    """


class ForkedError(StrongroomError):
    """The object was made before a fork, and its memory is not in this child.

    Raised when: a forked child uses a buffer, secret or View of its parent. The parent's own stays as it was.

    What to do: make secrets after the fork (in gunicorn's ``post_fork``, in a ``multiprocessing`` initializer), or
    before it with ``in_children="keep"``, or hand the bytes over through a pipe. Where a kept one raises this, its text
    says why the key did not reach the child.

    Platform notes: Unix only; there is no fork on Windows.

    Source: fork(2), madvise(2) MADV_WIPEONFORK and MADV_DONTFORK, minherit(2).

    Version added: 0.1.
    """


class PurgedError(StrongroomError):
    """``strongroom.purge()`` wiped the object, perhaps while it was in use.

    Raised when: something made before a purge is opened, or a block ends that was open during one; in the latter case
    its code may have read zeros.

    What to do: discard what that block computed, and make the secret anew from its source.

    Version added: 0.1.
    """


class SealBrokenError(StrongroomError):
    """A sealed secret is not what was sealed: its ciphertext in ordinary memory was changed.

    Raised when: opening a ``Secret`` whose authentication tag does not fit. No byte of it is handed out.

    What to do: treat the process as damaged or attacked. End it; the secret cannot be had back from it.

    Version added: 0.1.
    """


class SecuredError(StrongroomError):
    """A range of memory is secured: it may not be given back, nor made stricter than its handle says.

    Raised when: ``protect``, ``commit``, ``decommit`` or ``release`` would break the promise of a handle that
    ``secure()`` gave out; or when a permanent one is to be undone.

    What to do: end the handle first (leave its ``with`` block, or call ``unsecure()``); the message names the range.
    A handle that was forgotten, and a permanent one, lasts until the process ends.

    Platform notes: strongroom's own calls in this process are refused on every system. What other code does behind
    its back only a permanent handle stops, on Linux 6.10 and later.

    Source: MmSecureVirtualMemory (ntddk.h); mseal(2), Linux 6.10.

    Version added: 0.1.
    """


class SettledError(StrongroomError):
    """What ``configure`` was to set is settled already.

    Raised when: a policy is configured a second time, or after the first buffer or secret was made. What holds stays.

    What to do: call ``configure`` once, at the start of the program, before anything is made; or name a policy in the
    call that needs another.

    Version added: 0.1.
    """


class UnsupportedError(StrongroomError, NotImplementedError):
    """This system, or this version of strongroom, cannot do what was asked.

    Raised when: a backing, a guarantee, a terminal or a cipher that was asked for does not exist here.

    What to do: ask for less (``backing="auto"``, a ``Policy`` that requires fewer guarantees), or use a system that
    has it; the message names what is missing.

    Version added: 0.1.
    """


class Win32Error(SystemCallError):
    """A call of ``strongroom.vm.win32`` failed, with the code that Windows gives.

    Args:
        call: The call by its Windows name, for example ``"VirtualAlloc"``.
        code: What ``GetLastError`` would return.
        advice: What is wrong, appended to the message.

    Raised when: a function of ``vm.win32`` cannot do what was asked, on every system.

    Attributes: ``winerror``, the code, on every system; ``call``, ``code`` and ``advice``; ``errno``, what Python makes
    of the code.

    What to do: compare ``winerror`` with the ``ERROR_`` constants of ``vm.win32``.

    Source: winerror.h.

    Version added: 0.1.
    """

    def __init__(self, call: str, code: int, advice: str = "") -> None:
        text = f"{call}: error {code}" + (f". {advice}" if advice else "")
        if _IS_WINDOWS:
            OSError.__init__(self, 0, text, None, code)
        else:
            OSError.__init__(self, _WIN32_ERRNO.get(code, errno.EINVAL), text)
            self.winerror = code
        self.call = call
        self.code = code
        self.advice = advice
