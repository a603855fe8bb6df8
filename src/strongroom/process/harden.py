"""``harden()``: ends of the process that would leave secrets in memory, made to wipe first.

A signal's default action ends a process at once: no ``finally``, no ``atexit``, no finalizer. What this installs is C,
and runs whatever Python does: in the middle of a collection, with the interpreter locked by another thread, or broken.
"""

from __future__ import annotations

# The compiled half of signal, which every interpreter has loaded; signal itself makes enums, which takes its time.
import _signal  # type: ignore[import-not-found, unused-ignore]

from strongroom import _native
from strongroom._os import PLATFORM
from strongroom.exceptions import NO_SUCH_CALL, SystemCallError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FAULT_SIGNALS", "TERMINATION_SIGNALS", "harden"]


def _numbers(*names: str) -> tuple[int, ...]:
    return tuple(int(getattr(_signal, name)) for name in names if hasattr(_signal, name))


#: What others end a process with; by default nothing of the process runs then.
TERMINATION_SIGNALS = _numbers("SIGBREAK") if PLATFORM == "windows" else _numbers("SIGTERM", "SIGHUP", "SIGQUIT")
#: What a process ends by because of itself. Windows has exceptions in their place.
FAULT_SIGNALS = () if PLATFORM == "windows" else _numbers("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT")

_UNCATCHABLE = _numbers("SIGKILL", "SIGSTOP")
_OTHER_NAMES = ("SIGCLD", "SIGIOT", "SIGPOLL")  # of SIGCHLD, SIGABRT, SIGIO
#: Signals that end nothing by default. SIGIO ends a process on Linux alone (signal(7); signal(3) on macOS and BSD).
_HARMLESS = _numbers("SIGCHLD", "SIGCONT", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGWINCH", "SIGINFO") + (
    () if PLATFORM == "linux" else _numbers("SIGIO")
)


def _name_of(number: int) -> str:
    names = (name for name, value in vars(_signal).items() if value == number and name[:3] == "SIG" and name[3] != "_")
    return next((name for name in names if name not in _OTHER_NAMES), f"signal {number}")


def _checked(signal: object) -> int:
    """One number from the list, or the error that says what is wrong with it."""
    number = _native.checked_number(signal, "each of wipe_on_signals")
    if number not in _signal.valid_signals():
        raise ValueError(f"there is no signal {number} that a program may handle on this system")
    if number in _UNCATCHABLE:
        raise ValueError(f"{_name_of(number)} cannot be caught: nothing of a process runs when it comes")
    if number in _HARMLESS:
        raise ValueError(f"{_name_of(number)} ends no process, so there is nothing to wipe before it")
    return number


def harden(*, wipe_on_signals: Iterable[int] = ()) -> None:
    """Have every secret of this process wiped before one of these signals ends it.

    The signal then does what it would have done: the process ends by it, with the same status. Where C code handles it
    (a crash reporter, ``faulthandler``), that runs after the wiping; if it lets the process live, what was made before
    raises ``PurgedError``, as after ``purge()``. A signal that is ignored ends nothing and stays ignored.

        harden(wipe_on_signals=TERMINATION_SIGNALS)  # SIGTERM, SIGHUP, SIGQUIT; from strongroom.process

    Args:
        wipe_on_signals: Numbers of signals, such as ``signal.SIGTERM``: any that can end the process. Two sets are in
            ``strongroom.process``: ``TERMINATION_SIGNALS`` (SIGTERM, SIGHUP, SIGQUIT: somebody ends the process) and
            ``FAULT_SIGNALS`` (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT: it breaks). Naming one twice, or calling this
            again, changes nothing more, unless another handler in C came in between: docs/ends.md.

    Raises:
        ValueError: No signal is named; or one that cannot be caught, that ends no process, or that a Python function
            handles (``signal.signal``, an event loop, the KeyboardInterrupt of SIGINT). The last is not replaced: have
            that function call ``purge()``, or end the process with ``sys.exit()``, which wipes as Ctrl-C does.
            Nothing was changed then.
        TypeError: Something that is no number of a signal.
        UnsupportedError: On Windows, any other than SIGBREAK.
        SystemCallError: The system refused.

    Platform notes: Unix: from any thread, for all threads, and inherited by forked children, where it wipes what they
    made and nothing else; a program that is executed starts without it. For a stack that overflowed the calling thread
    gets an alternate one (64 KiB, if it has none): call this in the main thread. Process 1 of a container, which no
    signal's default action can end, exits with 128 and the number. Windows: SIGBREAK stands for Ctrl+Break, the closing
    of the console's window, logging off and shutting down; there everything else ends a process without notice.

    Does not protect against: SIGKILL, the out-of-memory killer, ``os._exit``, ``exec``; a handler that is set later in
    place of this one; copies in ordinary memory and in registers; what another thread writes from the wiping to the
    end (microseconds, and as long as another C handler takes); the overflowed stack of a thread other than the caller.

    Source: sigaction(2), signal-safety(7), sigaltstack(2); SetConsoleCtrlHandler on Windows.

    Version added: 0.1.
    """
    if isinstance(wipe_on_signals, str | bytes) or not hasattr(wipe_on_signals, "__iter__"):
        raise TypeError(
            "wipe_on_signals takes several numbers of signals, such as (signal.SIGTERM,), not "
            f"{_native.describe(wipe_on_signals)}"
        )
    numbers = [_checked(signal) for signal in wipe_on_signals]
    if not numbers:
        raise ValueError("name at least one signal in wipe_on_signals: there is nothing else to harden in this version")
    try:
        handled = _native.wipe_before(numbers, _signal.getsignal)
    except SystemCallError as error:
        if error.code != NO_SUCH_CALL:
            raise
        raise UnsupportedError(
            "Windows tells a program of no end but those of its console: SIGBREAK is the only signal to name there"
        ) from None
    if handled is not None:
        name = _name_of(handled)
        raise ValueError(
            f"{name} is handled by a Python function, which is not replaced: call strongroom.purge() in it, or end the "
            f"process there with sys.exit(), which wipes as well; or give {name} back with signal.signal({name}, "
            "signal.SIG_DFL) first"
        )
