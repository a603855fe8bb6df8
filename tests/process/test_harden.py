"""harden(): its arguments, what it leaves alone, and how a process ends after it."""

import signal
import sys
from typing import Any

import pytest

import needs
from children import run, succeed
from strongroom import UnsupportedError, harden
from strongroom.process import FAULT_SIGNALS, TERMINATION_SIGNALS

START = """
from strongroom.process import FAULT_SIGNALS, TERMINATION_SIGNALS
import subprocess
def caught():
    "The signals that this process handles, by the kernel's word."
    status = open("/proc/self/status").read()
    mask = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
    return {number for number in range(1, 65) if mask >> number - 1 & 1}
"""

WRONG = [
    ({"wipe_on_signals": ()}, ValueError, "name at least one"),
    ({}, ValueError, "name at least one"),
    ({"wipe_on_signals": "SIGTERM"}, TypeError, "several numbers.*not str"),
    ({"wipe_on_signals": 15}, TypeError, "several numbers.*not 15"),
    ({"wipe_on_signals": ["SIGTERM"]}, TypeError, "each of wipe_on_signals"),
    ({"wipe_on_signals": [True]}, TypeError, "each of wipe_on_signals"),
    ({"wipe_on_signals": [1.5]}, TypeError, "each of wipe_on_signals"),
    ({"wipe_on_signals": [0]}, ValueError, "no signal 0"),
    ({"wipe_on_signals": [1000]}, ValueError, "no signal 1000"),
]
if not needs.WINDOWS:
    WRONG += [
        ({"wipe_on_signals": [signal.SIGTERM, signal.SIGKILL]}, ValueError, "SIGKILL cannot be caught"),
        ({"wipe_on_signals": [signal.SIGSTOP]}, ValueError, "SIGSTOP cannot be caught"),
        ({"wipe_on_signals": [signal.SIGCHLD]}, ValueError, "SIGCHLD ends no process"),
        ({"wipe_on_signals": [signal.SIGTERM, signal.SIGINT]}, ValueError, "SIGINT is handled by a Python function"),
    ]


@pytest.mark.parametrize(("arguments", "kind", "words"), WRONG)
def test_wrong_arguments(arguments: dict[str, Any], kind: type[Exception], words: str) -> None:
    """Each is an error that says what is wrong, and no signal is touched."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(kind, match=words):
        harden(**arguments)
    assert signal.getsignal(signal.SIGTERM) == before


def test_only_by_name() -> None:
    """What is hardened is always said."""
    with pytest.raises(TypeError):
        harden((signal.SIGTERM,))  # type: ignore[call-arg]


def test_the_documented_sets() -> None:
    """They are what the docstring says."""
    if sys.platform == "win32":
        assert TERMINATION_SIGNALS == (signal.SIGBREAK,)
        assert FAULT_SIGNALS == ()
        with pytest.raises(UnsupportedError, match="SIGBREAK is the only signal"):
            harden(wipe_on_signals=(signal.SIGTERM,))
        harden(wipe_on_signals=TERMINATION_SIGNALS)
    else:
        assert TERMINATION_SIGNALS == (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
        assert FAULT_SIGNALS == (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
    for name in ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT", "SIGBREAK"):
        assert name in (harden.__doc__ or "")


@needs.linux
def test_only_what_is_named_is_handled() -> None:
    """Two signals named, two more handled; importing the package handles none, and a refusal leaves none behind."""
    out = succeed(
        START
        + """
before = caught()
try:
    harden(wipe_on_signals=[signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
except ValueError as error:
    print("signal.signal(SIGINT, signal.SIG_DFL)" in str(error), "purge()" in str(error))
print(sorted(caught() - before))
harden(wipe_on_signals=[signal.SIGTERM, signal.SIGUSR1, signal.SIGTERM])
harden(wipe_on_signals=iter([signal.SIGTERM]))
print(sorted(caught() - before))
"""
    )
    assert out.splitlines() == ["True True", "[]", f"[{signal.SIGUSR1 + 0}, {signal.SIGTERM + 0}]"]


@needs.linux
def test_a_python_handler_is_not_replaced() -> None:
    """Whether set before or after: it goes on being called, and the next harden() says so."""
    out = succeed(
        START
        + """
got = []
signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
for _ in range(2):
    try:
        harden(wipe_on_signals=TERMINATION_SIGNALS)
        print("replaced")
    except ValueError as error:
        print(str(error)[:7])
    os.kill(os.getpid(), signal.SIGTERM)
print(got)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
harden(wipe_on_signals=TERMINATION_SIGNALS)
print(signal.signal(signal.SIGTERM, lambda number, frame: got.append(number)) == signal.SIG_DFL)
os.kill(os.getpid(), signal.SIGTERM)
with LockedBuffer(1) as buffer: pass
print(got)
"""
    )
    assert out.splitlines() == ["SIGTERM", "SIGTERM", "[15, 15]", "True", "[15, 15, 15]"]


@needs.unix
def test_an_ignored_signal_stays_ignored() -> None:
    """As under nohup: it does not end the process, so nothing is wiped."""
    out = succeed("""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        harden(wipe_on_signals=[signal.SIGHUP, signal.SIGTERM])
        secret = Secret.random(5)
        os.kill(os.getpid(), signal.SIGHUP)
        print(len(secret.reveal()))
    """)
    assert out.split() == ["5"]


@needs.unix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT", "SIGABRT", "SIGSEGV", "SIGUSR1", "SIGALRM"])
@pytest.mark.parametrize("where", ["main", "thread"])
def test_the_status_is_the_signals(name: str, where: str) -> None:
    """The process dies of the signal it got; hardened by any thread, with any thread getting the signal."""
    number = getattr(signal, name)
    result = run(f"""
        def work():
            harden(wipe_on_signals=[signal.{name}])
            secret, buffer = Secret.random(5), LockedBuffer(5)
            with secret.open():
                signal.pthread_kill(threading.get_ident(), signal.{name})
                print("survived", flush=True)
        if {where!r} == "main":
            work()
        else:
            thread = threading.Thread(target=work); thread.start(); thread.join()
            time.sleep(5)
    """)
    assert (result.code, result.out) == (-number, "")


@needs.unix
def test_a_locked_interpreter_does_not_delay_it() -> None:
    """A C function that keeps the interpreter for an hour: a Python handler would wait for that, this one does not."""
    result = run("""
        harden(wipe_on_signals=[signal.SIGALRM])
        secret = Secret.random(5)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        ctypes.PyDLL(None).sleep(3600)
    """)
    assert result.code == -signal.SIGALRM


@needs.linux
def test_programs_that_are_started_have_none_of_it() -> None:
    """exec puts every handler back; a child between fork and exec ends by its signal, and wipes nothing here."""
    out = succeed(
        START
        + """
harden(wipe_on_signals=[*TERMINATION_SIGNALS, *FAULT_SIGNALS])
secret = Secret.random(5)
show = "print(next(line for line in open('/proc/self/status') if line.startswith('SigCgt')).split()[1])"
print(int(subprocess.run([sys.executable, "-Ic", show], capture_output=True, text=True).stdout, 16) >> 14 & 1)
pid = os.fork()
if pid == 0:
    os.kill(os.getpid(), signal.SIGTERM)
    os._exit(1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), len(secret.reveal()))
"""
    )
    assert out.splitlines() == ["0", "-15 5"]


#: ``abs`` is a C function that takes an int and does nothing: a handler that lets the process live.
C_HANDLER = (
    START
    + """
libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.signal(signal.SIGUSR1, ctypes.cast(libc.abs, ctypes.c_void_p))
"""
)


@needs.linux
def test_a_c_handler_that_lives_on_has_a_purged_process() -> None:
    """What was made before is zeros and over, closed pages are closed again, canaries are whole; new things work.

    The signal comes in the middle of blocks, and for as many times as it likes.
    """
    out = succeed(
        C_HANDLER
        + """
harden(wipe_on_signals=[signal.SIGUSR1])
for turn in range(3):
    secret, small = Secret.build(32, lambda view: view.__setitem__(slice(None), b"s" * 32)), Secret.random(9)
    closed, opened = LockedBuffer(5000), LockedBuffer(32)
    with closed.open("rw") as view:
        view[:] = b"c" * 5000
        place = address_of(view)
    told = []
    try:
        with opened.open("rw") as view, secret.open() as plain:
            view[:] = b"o" * 32
            os.kill(os.getpid(), signal.SIGUSR1)
            told.append(bytes(view) + bytes(plain) == bytes(64))
            view[:] = b"w" * 32
    except PurgedError as error:
        told.append("discard" in str(error))
    told.append(protection_at(place))
    for use in (secret.reveal, small.open, lambda: closed.open().__enter__(), opened.guarantees):
        try:
            use()
            told.append("works")
        except PurgedError:
            pass
    children.make_writable(place // 4096 * 4096)
    told.append(peek(place))
    closed.destroy(), opened.destroy()
    print(*told, len(Secret.random(3).reveal()), bytes(Secret.build(2, lambda v: v.__setitem__(0, 65)).reveal()))
"""
    )
    assert out.splitlines() == ["True True rw- 0 3 b'A\\x00'"] * 3


@needs.linux
def test_a_seal_that_the_signal_interrupts_is_discarded() -> None:
    """Wiped while fill() runs: the secret would be sealed under a key of zeros, so it is a PurgedError."""
    out = succeed(
        C_HANDLER
        + """
harden(wipe_on_signals=[signal.SIGUSR1])
Secret.random(1)
def fill(view):
    view[:] = b"x" * 16
    os.kill(os.getpid(), signal.SIGUSR1)
try:
    Secret.build(16, fill)
    print("built")
except PurgedError:
    print("refused")
"""
    )
    assert out.split() == ["refused"]


@needs.unix
@pytest.mark.parametrize("order", ["before", "after"])
def test_faulthandler_has_its_say(order: str) -> None:
    """Enabled before or after: it prints its traceback once, and the process dies of the fault."""
    lines = ["faulthandler.enable()", "harden(wipe_on_signals=FAULT_SIGNALS)"]
    code = "\n".join(lines if order == "before" else lines[::-1])
    result = run(START + f"import faulthandler\nsecret = Secret.random(5)\n{code}\npeek(0)")
    assert result.code == -signal.SIGSEGV
    assert result.err.count("Fatal Python error: Segmentation fault") == 1


@needs.unix
def test_hardened_again_on_top_of_faulthandler_ends_too() -> None:
    """Two handlers that each know the other as the one before: no endless loop."""
    result = run(
        START
        + """
import faulthandler
harden(wipe_on_signals=FAULT_SIGNALS)
faulthandler.enable()
harden(wipe_on_signals=FAULT_SIGNALS)
peek(0)
"""
    )
    assert result.code == -signal.SIGSEGV


@needs.linux
def test_process_one_of_a_container_ends() -> None:
    """No default action ends that one: wiped, it exits with 128 and the number, as a shell would say it."""
    out = succeed(
        START
        + """
import struct
if libc.unshare(0x20000000) != 0:  # CLONE_NEWPID
    children.skip("needs root: a process number space of its own")
pid = os.fork()
if pid == 0:
    secret = Secret.random(5)
    os.kill(1, signal.SIGTERM)
    control = len(secret.reveal())  # the kernel spares process 1
    harden(wipe_on_signals=[signal.SIGTERM])
    os.kill(1, signal.SIGTERM)
    os._exit(control)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    )
    assert out.split() == ["143"]
