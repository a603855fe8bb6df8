"""Sub-interpreters, and what becomes of buffers when the interpreter goes: clear errors, never a crash."""

import pytest

from children import run, succeed

SUB = """
try:
    import _interpreters as interpreters
except ImportError:
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        children.skip("this Python has no sub-interpreters")
def inside(code):
    "What code raises in a sub-interpreter, as text."
    number = interpreters.create()
    try:
        failure = interpreters.run_string(number, code)
        return "nothing" if failure is None else str(getattr(failure, "formatted", failure))
    except Exception as error:
        return str(error)
    finally:
        interpreters.destroy(number)
"""


def test_a_sub_interpreter_is_refused() -> None:
    """ImportError there, also the second time; the main interpreter's buffers go on."""
    out = succeed(
        SUB
        + """
buffer = LockedBuffer(32)
buffer.copy_from(b"m" * 32)
for _ in range(2):
    print(inside("import strongroom\\nstrongroom.LockedBuffer(32)"))
print(buffer == b"m" * 32, len(Secret.random(8).reveal()))
"""
    )
    lines = out.splitlines()
    assert all("ImportError" in line for line in lines[:2]), out
    assert lines[-1] == "True 8"


def test_it_is_refused_before_the_main_one_has_it_too() -> None:
    """The one that comes first does not get it either, and is told why: it may end before the process does."""
    code = f"""
import sys
class children:
    def skip(reason): print(reason); sys.exit(77)
{SUB}
print(inside("import strongroom"))
"""
    out = succeed(f"import subprocess\nprint(subprocess.run([sys.executable, '-c', {code!r}], capture_output=True))")
    assert "works in the main interpreter of a process only" in out or "has no sub-interpreters" in out, out


def test_what_was_refused_there_works_here() -> None:
    """The main interpreter can still have it, as the error says."""
    code = f"""
import sys
class children:
    def skip(reason): print("works"); sys.exit()
{SUB}
inside("import strongroom")
import strongroom
strongroom.LockedBuffer(8).destroy()
print("works")
"""
    out = succeed(f"import subprocess\nprint(subprocess.run([sys.executable, '-c', {code!r}], capture_output=True))")
    assert "stdout=b'works" in out, out


@pytest.mark.parametrize(
    "kept",
    [
        "sys.kept = buffer",
        "sys.kept = buffer.open(); sys.kept.__enter__()",
        "sys.kept = memoryview(buffer.open().__enter__())",
        "threading.Thread(target=lambda: (buffer.open('rw').__enter__(), time.sleep(60)), daemon=True).start()",
        "import atexit; atexit.register(lambda: (buffer.copy_from(b'e' * 8), LockedBuffer(8).destroy()))",
        "import weakref; weakref.finalize(buffer, print, 'gone')",
        "gc.disable(); ring = [buffer]; ring.append(ring)",
    ],
)
@pytest.mark.parametrize("isolated", [True, False])
def test_what_is_alive_when_the_interpreter_ends(kept: str, isolated: bool) -> None:
    """A normal exit, whatever still refers to a buffer then."""
    result = run(f"""
        buffer = LockedBuffer(8, isolated={isolated})
        secret = Secret.random(8)
        {kept}
        print("end", flush=True)
    """)
    assert result.code == 0, result
    assert result.out.split()[0] == "end"
    assert "Error" not in result.err
