"""Our own copying between protected places leaves nothing on the ordinary stack or heap."""

import random

import pytest

from children import Live
from observed import Memory

#: Given through a pipe, so that no argument or source line holds it; of no bytes that occur by themselves.
MARK = random.Random(7).randbytes(48)

FILL = {
    "slice assignment": """
        with first.open("rw") as view: take(view)
        with first.open() as view, second.open("rw") as other: other[:] = view
    """,
    "build from a View": """
        with first.open("rw") as view: take(view)
        with first.open() as view:
            secret = Secret.build(48, lambda place: place.__setitem__(slice(None), view))
        secret == secret
        secret.destroy()
    """,
}


@pytest.mark.parametrize("way", FILL)
def test_nothing_is_left_in_ordinary_memory(way: str) -> None:
    """After destroying both ends not even half of the content is where another process can read it; then a control."""
    code = f"""
        first, second = LockedBuffer(48), LockedBuffer(48)
        {FILL[way].strip()}
        first.destroy(); second.destroy()
        print("done", flush=True)
        os.read(0, 1)
        import random
        control = random.Random(7).randbytes(48)
        print("control", flush=True)
        os.read(0, 1)
    """
    with Live(code) as child:
        child.send(MARK)
        assert child.line() == "done"
        with Memory(child.pid) as memory:
            assert memory.count(MARK[:24]) == 0
            child.go()
            assert child.line() == "control"
            assert memory.count(MARK[:24]) > 0
