"""Buffers that nobody destroys: wiped when collected, and in development mode a warning says whose they were."""

import pytest

import needs
from children import Live, run, succeed
from observed import Memory

DEV = {"PYTHONDEVMODE": "1"}
#: Line numbers count from the first line of the prelude that children have.
FORGET = """
def here():
    return sys._getframe(1).f_lineno
def forget():
    buffer = LockedBuffer(32); made.append(here())
    with buffer.open("rw") as view:
        view[:] = b"tracer-" * 4 + b"tail"
made = []
"""


@needs.linux
@pytest.mark.parametrize(
    "way", ["del buffer", "cycle = [buffer]; cycle.append(cycle); del buffer, cycle; gc.collect()"]
)
def test_a_collected_buffer_is_wiped_before_it_is_unmapped(way: str) -> None:
    """munmap is made to fail, so that what it would have unmapped can be looked at: zeros."""
    faultinject = pytest.importorskip("faultinject")
    if not faultinject.is_supported():
        pytest.skip("making calls fail is written for Linux x86_64, aarch64")
    with Live(
        f"""
        import faultinject
        sys.unraisablehook = lambda *_: None
        buffer = LockedBuffer(32, backing="locked")
        with buffer.open("rw") as view:
            take(view)
            place = address_of(view)
        del view
        print(place, flush=True)
        os.read(0, 1)
        faultinject.deny("munmap", errno.ENOMEM)
        {way}
        print("collected", flush=True)
        os.read(0, 1)
    """
    ) as child:
        mark = bytes(range(100, 132))
        child.send(mark)
        place = int(child.line())
        with Memory(child.pid) as memory:
            assert memory.read(place, 32) == mark
            child.go()
            assert child.line() == "collected"
            assert memory.read(place, 32) == bytes(32)


def test_a_collected_buffer_gives_its_memory_back() -> None:
    """Its pages are gone; those of a small one may serve the next. What reads the listing may be put in their place."""
    out = succeed("""
        buffer = LockedBuffer(32, isolated=True)
        with buffer.open() as view:
            place = address_of(view)
        def is_ours():
            mapping = mapping_at(place)
            return mapping is not None and mapping.flags >= observed.KEPT_OUT
        del view
        print(is_ours())
        del buffer
        print(is_ours())
    """)
    assert out.split() == ["True", "False"]


def test_the_warning_says_where_and_nothing_else() -> None:
    """File and line of the call that made it; its size; not a byte of it, not its address."""
    result = run(FORGET + "forget()\nprint(made[0])", env=DEV)
    assert result.code == 0, result
    assert f"ResourceWarning: a LockedBuffer of 32 bytes made at <string>:{int(result.out)} was never" in result.err
    assert result.err.count("ResourceWarning") == 1
    assert "tracer" not in result.err
    assert "0x" not in result.err


def test_a_subclass_and_a_helper() -> None:
    """The name is the class's own; the line is that of whoever calls the class, even inside a super().__init__."""
    result = run(
        """
class Key(LockedBuffer):
    pass
def make():
    return Key(5)
make()
""",
        env=DEV,
    )
    assert "a Key of 5 bytes made at <string>:" in result.err


def test_no_warning_without_development_mode() -> None:
    """Nothing is kept and nothing is said, whatever the warning filters are."""
    result = run(FORGET + "forget()", env={"PYTHONWARNINGS": "always"})
    assert (result.code, result.err) == (0, "")


ENDED = {
    "destroy()": "buffer = LockedBuffer(3); buffer.destroy(); del buffer",
    "a with block": "with LockedBuffer(3) as buffer: pass\ndel buffer",
    "an exception in a with block": """
try:
    with LockedBuffer(3) as buffer, buffer.open():
        raise KeyError
except KeyError:
    del buffer
""",
    "purge()": "buffer = LockedBuffer(3); purge(); del buffer",
    "the end of the process": "kept = LockedBuffer(3)",
    "secrets, rooms and keys": """
for turn in range(3):
    secrets = [Secret.random(size) for size in (1, 32, 9000) for _ in range(2)]
    accesses = [secret.open() for secret in secrets]
    for access in accesses: access.__enter__()
    for access in accesses: access.__exit__(None, None, None)
    del secrets, accesses, access
    purge()
""",
    "one that could not be made": """
try:
    LockedBuffer(3, backing="locked", policy=Policy(require={"NEVER_WRITTEN"}))
except UnsupportedError:
    print("refused")
""",
    "an address that is used again": """
for _ in range(50):
    LockedBuffer(3).destroy()
    secret = Secret.random(9000)
    secret.reveal()
""",
}


@pytest.mark.parametrize("end", ENDED)
def test_what_was_ended_is_not_forgotten(end: str) -> None:
    """No warning for anything that somebody ended, nor for memory that strongroom makes for itself."""
    result = run(ENDED[end] + "\ngc.collect()", env=DEV)
    assert (result.code, result.err) == (0, "")


@needs.fork
def test_a_child_is_silent_about_its_parents_buffers() -> None:
    """They are not in it: nothing is forgotten there."""
    result = run(
        """
buffer = LockedBuffer(3)
pid = os.fork()
if pid == 0:
    del buffer
    gc.collect()
    os._exit(0)
os.waitpid(pid, 0)
buffer.destroy()
""",
        env={**DEV, "PYTHONWARNINGS": "default,ignore::DeprecationWarning"},
    )
    assert (result.code, result.err) == (0, "")


def test_a_warning_made_an_error_is_reported_and_changes_nothing() -> None:
    """Nobody can catch it where it happens; the memory is given back all the same."""
    result = run(FORGET + "forget()\nprint('lives')", env={**DEV, "PYTHONWARNINGS": "error::ResourceWarning"})
    assert result.code == 0, result
    assert result.out.split() == ["lives"]
    assert "ResourceWarning" in result.err


def test_noting_where_never_fails() -> None:
    """A thread without a line of Python, and modules with strange names, make buffers in development mode too."""
    result = run(
        """
        import _thread
        done = []
        class Made(LockedBuffer):
            def __init__(self, *arguments):
                done.append(1)
        _thread.start_new_thread(Made, (32,))
        while not done: time.sleep(0.01)
        exec("LockedBuffer(32).destroy()", {"__name__": 5, "LockedBuffer": LockedBuffer})
        print("fine")
        """,
        env=DEV,
    )
    assert result.out.strip() == "fine", result
