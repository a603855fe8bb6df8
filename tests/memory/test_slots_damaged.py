"""Small buffers that share pages: what one byte too far breaks, and what is left to see after the end."""

import pytest

from children import CANARY_DEATH, run, succeed
from strongroom import DestroyedError, LockedBuffer

DAMAGE = {
    "the byte before": ("first", -1),
    "the farthest byte of the canary": ("first", -16),
    "the byte after, where another begins": ("first", 32),
    "the byte after, where nobody is": ("last", 32),
}
ENDS = {
    "a writer leaves": 'victim.open("rw").__enter__(); victim = None; gc.collect()',
    "destroy": "victim.destroy()",
    "garbage collection": "victim = None; gc.collect()",
    "purge": "purge()",
    "exit": "sys.exit(0)",
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("place", DAMAGE)
def test_a_byte_too_far_ends_the_process(place: str, end: str) -> None:
    """One byte outside a small buffer is found at the latest when it ends, everything wiped first; with the reason."""
    which, distance = DAMAGE[place]
    result = run(f"""
        first, second, last = LockedBuffer(32), LockedBuffer(32), LockedBuffer(32)
        victim = {which}
        with victim.open() as view:
            where = address_of(view)
        if {which == "first"}:
            with second.open() as view:
                assert address_of(view) == where + 48
        flip(where + {distance})
        first = last = view = None
        print("damaged", flush=True)
        {ENDS[end]}
        print("survived", flush=True)
    """)
    assert result.code == CANARY_DEATH, result
    assert result.out.split() == ["damaged"]
    assert "damaged canary" in result.err


def test_control_inside_nothing_happens() -> None:
    """The same flips within the buffer are its own business."""
    out = succeed("""
        buffer = LockedBuffer(32)
        with buffer.open() as view:
            where = address_of(view)
        flip(where)
        flip(where + 31)
        buffer.destroy()
        print("fine")
    """)
    assert out.strip() == "fine"


def test_writing_after_the_end_is_found_when_the_slot_is_taken() -> None:
    """Use after destroy through a raw pointer ends the process before the next secret lies there."""
    result = run("""
        keep = LockedBuffer(32)
        buffer = LockedBuffer(32)
        with buffer.open() as view:
            where = address_of(view)
        buffer.destroy()
        poke(where + 5, 1)
        kept = []
        for _ in range(85):
            kept.append(LockedBuffer(32))
        print("survived")
    """)
    assert result.code == CANARY_DEATH, result
    assert "use after destroy" in result.err
    assert "survived" not in result.out


def test_one_byte_past_the_last_slot_faults(backing: str) -> None:
    """The last slot of shared pages ends where an inaccessible page begins."""
    result = run(f"""
        kept = [LockedBuffer(32, backing={backing!r}) for _ in range(85)]
        def address(buffer):
            with buffer.open() as view:
                return address_of(view)
        last = max(address(buffer) for buffer in kept)
        assert (last + 32) % 4096 == 0
        peek(last + 31)
        print("so far", flush=True)
        peek(last + 32)
    """)
    assert result.out.split() == ["so", "far"]
    assert result.code in (-11, -7, 0xC0000005), result


def test_after_the_end() -> None:
    """Every use raises and says what happened; destroying again is fine."""
    buffer = LockedBuffer(32)
    access = buffer.open()
    buffer.destroy()
    buffer.destroy()
    assert buffer.is_destroyed
    assert not buffer.is_isolated
    assert "destroyed" in repr(buffer)
    uses = (lambda: buffer.open().__enter__(), access.__enter__, buffer.guarantees, buffer.freeze, buffer.melt)
    for use in (*uses, buffer.__enter__):
        with pytest.raises(DestroyedError):
            use()
    with pytest.raises(DestroyedError):
        buffer.copy_from(b"x")


def test_looking_at_everything_of_a_destroyed_buffer() -> None:
    """What debuggers do, to buffers that were destroyed and in a child that has not got them: errors at most."""
    result = run("""
        import inspect
        made = [LockedBuffer(32), LockedBuffer(32, isolated=True), LockedBuffer(32), LockedBuffer(32, isolated=True)]
        made[0].destroy(), made[1].destroy()
        def look():
            for buffer in made:
                for name in dir(buffer):
                    try:
                        value = getattr(buffer, name)
                        if callable(value) and name.startswith("_") and not name.startswith("__"):
                            value()
                    except Exception:
                        pass
                for call in (
                    lambda: buffer._prove(1),
                    lambda: buffer._distrust(1),
                    lambda: buffer.move_from(bytearray(1)),
                ):
                    try:
                        call()
                    except (DestroyedError, ForkedError):
                        pass
        look()
        if hasattr(os, "fork"):
            pid = os.fork()
            look()
            if pid == 0:
                LockedBuffer(32)
                look()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        print("fine")
    """)
    assert result.out.strip() == "fine", result


@pytest.mark.parametrize("isolated", [True, False])
def test_the_gap_behind_an_aligned_buffer_is_watched(isolated: bool) -> None:
    """One byte past the end ends the process when the block does, as without alignment."""
    result = run(f"""
        buffer = LockedBuffer(33, isolated={isolated}, align=16)
        with buffer.open("rw") as view:
            view[32] = 1
        print("fine", flush=True)
        with buffer.open("rw") as view:
            poke(address_of(view) + 33, 1)
            print("damaged", flush=True)
        print("survived")
    """)
    assert result.out.split() == ["fine", "damaged"]
    assert result.code == CANARY_DEATH, result
