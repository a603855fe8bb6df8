"""A damaged canary: every secret is wiped first, then the process ends, uncatchably and without a core."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import needs
from children import CANARY_DEATH, DEADLINE_SECONDS, Live, run, succeed
from observed import Memory

DAMAGE = """
buffer = LockedBuffer({size}, backing={backing!r}, isolated=True)
with buffer.open("rw") as view:
    start = address_of(view)
"""


def must_die_of_the_canary(code: str) -> None:
    """Require SIGABRT with the one message, and that no Python code runs after it."""
    result = run("import atexit\natexit.register(print, 'atexit ran')\n" + code + "\nprint('survived')\n")
    assert result.code == CANARY_DEATH, result
    assert "damaged canary" in result.err
    assert result.out == ""
    assert "0x" not in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("size", [1, 32, 4080, 4081, 4096])
@pytest.mark.parametrize("distance", [1, 16])
def test_one_byte_under_is_caught_when_the_writer_leaves(size: int, distance: int) -> None:
    """The first and the last byte of the canary, at sizes around the page."""
    must_die_of_the_canary(DAMAGE.format(size=size, backing="locked") + f"    flip(start - {distance})")


@pytest.mark.parametrize("distance", [17, 40, 4000])
def test_below_the_canary_is_caught_when_the_writer_leaves(distance: int) -> None:
    """A write that jumps over the canary lands in zeros that are checked with it."""
    must_die_of_the_canary(DAMAGE.format(size=32, backing="locked") + f"    flip(start - {distance})")


def test_every_bit_counts(backing: str) -> None:
    """One flipped bit is damage."""
    must_die_of_the_canary(
        DAMAGE.format(size=32, backing=backing) + "    ctypes.c_ubyte.from_address(start - 7).value ^= 1"
    )


@needs.unix
def test_it_cannot_be_caught() -> None:
    """Neither by except, nor by finally, nor by a handler for SIGABRT, nor with the signal blocked."""
    must_die_of_the_canary("""
signal.signal(signal.SIGABRT, lambda *_: print("handled"))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGABRT])
buffer = LockedBuffer(32, isolated=True)
try:
    with buffer.open("rw") as view:
        flip(address_of(view) - 1)
except BaseException:
    print("caught")
finally:
    print("finally")
""")


def test_damage_far_below_is_caught_at_destroy(backing: str) -> None:
    """Bytes between the lower guard and the canary are checked when the buffer ends."""
    damage = "    ctypes.memset(start - 17, 1, 1)\nbuffer.destroy()"
    must_die_of_the_canary(DAMAGE.format(size=32, backing=backing) + damage)


@pytest.mark.parametrize("end", ["buffer.destroy()", "del buffer; gc.collect()", "purge()", "sys.exit(0)"])
def test_damage_behind_our_back_is_caught_at_every_end(end: str) -> None:
    """Done without an open block (the page made writable by hand): destroy, the last reference, purge and exit."""
    code = (
        DAMAGE.format(size=32, backing="locked")
        + f"""
children.make_writable(start // 4096 * 4096)
flip(start - 1)
del view
{end}
"""
    )
    result = run(code)
    assert result.code == CANARY_DEATH, result
    assert "damaged canary" in result.err


def test_control_an_intact_canary_ends_well(backing: str) -> None:
    """The same steps without damage."""
    succeed(DAMAGE.format(size=32, backing=backing) + "    ctypes.memset(start, 0x5a, 32)\nbuffer.destroy()")


def test_canaries_differ_between_processes() -> None:
    """Drawn at random: one process's does not help against another's, and it is not zeros."""
    code = (
        "with LockedBuffer(32, isolated=True).open() as view: print(ctypes.string_at(address_of(view) - 16, 16).hex())"
    )
    drawn = {succeed(code).strip() for _ in range(3)}
    assert len(drawn) == 3
    assert "00" * 16 not in drawn


DAMAGES = {
    "leaving": "flip(places[0] - 1)",
    "destroy": "ctypes.memset(places[0] - 17, 1, 1)",
}


@needs.linux
@pytest.mark.parametrize("when", DAMAGES)
def test_everything_is_wiped_before_the_process_ends(when: str) -> None:
    """Seen from outside: the process is stopped at its SIGABRT and its memory is read.

    A damaged buffer, an undamaged closed one and an undamaged open one are zeros by then. Before the damage all three
    are read with their content, and ordinary memory still has it after (controls).
    """
    with Live(
        f"""
        content = os.read(0, 32)
        ordinary = ctypes.create_string_buffer(content)
        damaged, closed, opened = buffers = [LockedBuffer(32, backing="locked", isolated=True) for _ in range(3)]
        places = []
        for buffer in buffers:
            with buffer.open("rw") as view:
                view[:] = content
                places.append(address_of(view))
        access = opened.open("rw"); inside = access.__enter__()
        print(*places, ctypes.addressof(ordinary), flush=True)
        os.read(0, 1)
        with damaged.open("rw"):
            {DAMAGES[when]}
        damaged.destroy()
    """,
        stderr=subprocess.DEVNULL,
    ) as child:
        mark = bytes(range(70, 102))
        child.send(mark)
        *places, ordinary = map(int, child.line().split())
        with Memory(child.pid) as memory:
            assert [memory.read(place, 32) for place in (*places, ordinary)] == [mark] * 4
            child.trace()
            child.go()
            child.wait_signalled(signal.SIGABRT)
            assert [memory.read(place, 32) for place in places] == [bytes(32)] * 3
            assert memory.read(ordinary, 32) == mark
        assert child.resume(signal.SIGABRT) == -signal.SIGABRT


@needs.linux
def test_the_key_and_open_rooms_are_wiped_too() -> None:
    """What no buffer of the user's shows: the sealing key, and the room that an opened secret lies in."""
    with Live(
        """
        keys = children.locked_and_recorded()
        content = os.read(0, 32)
        secret = Secret.build(32, lambda view: view.__setitem__(slice(None), content))
        access = secret.open(); inside = access.__enter__()
        (key,) = keys
        print(address_of(inside), key._layout()[1] - 32, flush=True)
        os.read(0, 1)
        with LockedBuffer(32).open("rw") as view:
            flip(address_of(view) - 1)
    """,
        stderr=subprocess.DEVNULL,
    ) as child:
        mark = bytes(range(70, 102))
        child.send(mark)
        room, key = map(int, child.line().split())
        with Memory(child.pid) as memory:
            assert memory.read(room, 32) == mark
            assert memory.read(key, 32) not in (None, bytes(32))
            child.trace()
            child.go()
            child.wait_signalled(signal.SIGABRT)
            assert memory.read(room, 32) == bytes(32)
            assert memory.read(key, 32) == bytes(32)
        assert child.resume(signal.SIGABRT) == -signal.SIGABRT


HANDLERS = {
    "faulthandler": "import faulthandler; faulthandler.enable()",
    "a C function": "libc.signal(signal.SIGABRT, ctypes.cast(libc._exit, ctypes.c_void_p))",
    "a C function on a stack of its own": """
class Stack(ctypes.Structure):
    _fields_ = [("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]
room = ctypes.create_string_buffer(1 << 16)
assert libc.sigaltstack(ctypes.byref(Stack(ctypes.addressof(room), 0, 1 << 16)), None) == 0
class Action(ctypes.Structure):  # as Linux's C libraries have it on 64 bits
    _fields_ = [("handler", ctypes.c_void_p), ("mask", ctypes.c_ulong * 16), ("flags", ctypes.c_int)]
action = Action(ctypes.cast(libc._exit, ctypes.c_void_p).value, (ctypes.c_ulong * 16)(), 0x08000000)  # SA_ONSTACK
assert libc.sigaction(signal.SIGABRT, ctypes.byref(action), None) == 0
""",
    "harden()": "harden(wipe_on_signals=[signal.SIGABRT])",
    "everything at once": """
import faulthandler
signal.signal(signal.SIGABRT, lambda *_: print("handled"))
libc.signal(signal.SIGABRT, ctypes.cast(libc._exit, ctypes.c_void_p))
faulthandler.enable()
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
sys.excepthook = sys.unraisablehook = lambda *_: print("hooked")
""",
}


@needs.linux
@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("where", ["main", "thread"])
def test_no_handler_of_any_kind_runs(handler: str, where: str) -> None:
    """Whoever handles SIGABRT, in whichever thread it happens: one line on standard error, and the end."""
    code = f"""
libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
{HANDLERS[handler]}
def work():
    with LockedBuffer(32).open("rw") as view:
        flip(address_of(view) - 1)
    print("survived", flush=True)
if {where!r} == "main":
    work()
else:
    thread = threading.Thread(target=work); thread.start(); thread.join()
"""
    result = run("import atexit\natexit.register(print, 'atexit ran')\n" + code)
    assert result.code == CANARY_DEATH, result
    assert result.out == ""
    assert len(result.err.splitlines()) == 1
    assert "damaged canary" in result.err


@needs.unix
def test_a_full_standard_error_does_not_delay_the_end() -> None:
    """Nobody reads the pipe it would tell: it ends all the same, without waiting."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    for piece in (b"." * 4096, b"."):
        while True:
            try:
                os.write(writing, piece)
            except BlockingIOError:
                break
    os.set_blocking(writing, True)
    code = DAMAGE.format(size=32, backing="locked") + "    flip(start - 1)"
    try:
        with Live(code, stderr=writing) as child:
            assert child.process.wait(DEADLINE_SECONDS) == CANARY_DEATH
    finally:
        os.close(reading)
        os.close(writing)


def core_of(tmp_path: Path, code: str) -> list[Path]:
    """Run code with cores allowed and return the core files it left."""
    import resource  # Unix only

    _soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as file:
        pattern = file.read().strip()
    if hard == 0 or not pattern or pattern.startswith("|") or "/" in pattern:
        pytest.skip("cores go elsewhere here: needs 'ulimit -H -c' above 0 and a relative kernel.core_pattern")
    allow = "resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)\n"
    tmp_path.mkdir(exist_ok=True)
    plain = tmp_path.with_name("plain")
    plain.mkdir(exist_ok=True)
    subprocess.run([sys.executable, "-c", f"import os, resource\n{allow}os.abort()"], cwd=plain, check=False)
    if not list(plain.iterdir()):
        pytest.skip(f"no program leaves a core in {plain}: needs a file system with space that takes one")
    assert run(allow + code, cwd=tmp_path).code == -signal.SIGABRT
    return list(tmp_path.iterdir())


@needs.unix
def test_there_is_no_core(tmp_path: Path) -> None:
    """A process that ends by a damaged canary leaves none; one that calls abort() itself does (control)."""
    assert core_of(tmp_path / "control", "os.abort()") != []
    damaged = DAMAGE.format(size=32, backing="locked") + "    flip(start - 1)"
    assert core_of(tmp_path / "ours", damaged) == []


def test_standard_error_may_be_closed() -> None:
    """Nobody to tell is no reason to live on."""
    ended = run("os.close(2)\n" + DAMAGE.format(size=32, backing="locked") + "    flip(start - 1)")
    assert ended.code == CANARY_DEATH
