"""Memory errors around a secret end the process at once: the child must die of them."""

import signal

import pytest

import needs
from children import FAULTS, run, succeed

#: A buffer opened by its owner; ``start`` is where its bytes lie and ``size`` how many there are.
OPENED = """
size = {size}
buffer = LockedBuffer(size, backing={backing!r}, isolated=True)
access = buffer.open({mode!r})
view = access.__enter__()
start = address_of(view)
print("before", flush=True)
"""
SIZES = [1, 4080, 4081, 4096, 10_000]


def must_die(code: str) -> None:
    """Require that code ends by a memory fault, and only in its last line."""
    result = run(code + "\nprint('survived')\n")
    assert result.code in FAULTS, result
    assert "before" in result.out
    assert "survived" not in result.out


@pytest.mark.parametrize("act", ["poke(start + size)", "peek(start + size)"])
def test_one_byte_over(backing: str, act: str) -> None:
    """Written or read one byte past the end: the guard page is right there."""
    must_die(OPENED.format(size=32, backing=backing, mode="rw") + act)


@pytest.mark.parametrize("size", SIZES)
def test_one_byte_over_at_any_size(size: int) -> None:
    """Whatever the size, rounding included."""
    act = "poke(start + size)"
    backing = "locked"
    must_die(OPENED.format(size=size, backing=backing, mode="rw") + act)


def test_the_last_byte_is_fine(backing: str) -> None:
    """Control: the same writes inside the bounds change the secret and nothing dies."""
    code = OPENED.format(size=32, backing=backing, mode="rw")
    assert "33 33" in succeed(
        code
        + """
poke(start, 33); poke(start + 31, 33)
print(view[0], view[31]); access.__exit__(None, None, None); buffer.destroy()
"""
    )


@pytest.mark.parametrize("act", ["poke(page - 1)", "peek(page - 1)"])
def test_below_the_pages(backing: str, act: str) -> None:
    """Far under: the lower guard page."""
    must_die(OPENED.format(size=32, backing=backing, mode="rw") + "page = start // 4096 * 4096\n" + act)


@pytest.mark.parametrize("act", ["poke(start)", pytest.param("peek(start)", marks=needs.closed_pages)])
def test_a_closed_buffer(backing: str, act: str) -> None:
    """While nobody has it open, reading and writing through an old pointer fault."""
    must_die(OPENED.format(size=32, backing=backing, mode="rw") + "access.__exit__(None, None, None)\n" + act)


def test_writing_to_a_buffer_opened_for_reading(backing: str) -> None:
    """Read-only is the kernel's, not the View's."""
    must_die(OPENED.format(size=32, backing=backing, mode="r") + "poke(start)")


def test_one_byte_under_a_buffer_opened_for_reading(backing: str) -> None:
    """The canary is in the same read-only page."""
    must_die(OPENED.format(size=32, backing=backing, mode="r") + "poke(start - 1)")


@pytest.mark.parametrize("act", ["poke(start)", "peek(start)"])
def test_a_destroyed_buffer(backing: str, act: str) -> None:
    """Its pages are gone."""
    must_die(
        OPENED.format(size=32, backing=backing, mode="rw")
        + "access.__exit__(None, None, None)\nbuffer.destroy()\n"
        + act
    )


@needs.fork
def test_a_forked_child_that_follows_the_pointer(backing: str) -> None:
    """The hole is inaccessible; the parent goes on."""
    out = succeed(
        OPENED.format(size=32, backing=backing, mode="rw")
        + """
pid = os.fork()
if pid == 0:
    ctypes.string_at(start, 1)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), view[0])
"""
    )
    assert out.splitlines()[-1] == f"{-signal.SIGSEGV} 0"
