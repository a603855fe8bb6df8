"""``stats()``: its numbers are the system's, it tells of every arena, and it says so in a table."""

import gc
import json
import os

import needs
from children import forked, succeed
from strongroom import LockedBuffer, Secret, stats


def test_it_counts_what_is_made(backing: str) -> None:
    """One more shared, one more isolated; both gone again afterwards."""
    gc.collect()  # what other tests left in cycles is not to go in between
    before = stats()
    small, large = LockedBuffer(32, backing=backing), LockedBuffer(9000, backing=backing)
    during = stats()
    assert during.slots == before.slots + 1
    assert during.isolated == before.isolated + 1
    size_before, size_during = (getattr(told, f"{backing}_size") for told in (before, during))
    assert size_during - size_before in (12288, 12288 + 4096)  # the small one may have needed a page
    small.destroy()
    large.destroy()
    after = stats()
    assert (after.slots, after.isolated) == (before.slots, before.isolated)


def test_arenas_say_how_full_they_are(backing: str) -> None:
    """Each has its backing, the size of its slots, its pages and what is taken; together all slots there are."""
    kept = [LockedBuffer(size, backing=backing) for size in (10, 30, 60, 100, 200, 500, 1000)]
    told = stats()
    sizes = {arena.slot_size for arena in told.arenas if arena.backing == backing and arena.taken}
    assert sizes >= {16, 32, 64, 128, 256, 512, 1024}
    assert told.slots == sum(arena.taken for arena in told.arenas) >= len(kept)
    for arena in told.arenas:
        assert 0 <= arena.taken <= arena.slots
        assert arena.slots * (arena.slot_size + 16) <= arena.size


@needs.linux
def test_its_sizes_are_the_systems() -> None:
    """What it says is locked is VmLck, in a process that locks nothing else."""
    told = json.loads(
        succeed("""
            kept = [LockedBuffer(32, backing="locked") for _ in range(500)]
            kept += [LockedBuffer(5000, backing="locked"), LockedBuffer(32, backing="locked", isolated=True)]
            told = stats()
            print(json.dumps([told.locked_size, told.locked_now, observed.status_size("VmLck"), told.unlocked_size]))
        """)
    )
    assert told[0] == told[1] == told[2] > 500 * 48 + 8192
    assert told[3] == 0


@needs.linux
def test_what_a_policy_let_pass_is_told() -> None:
    """Bytes that could not be locked are counted apart."""
    told = json.loads(
        succeed("""
            children.limit_locks(0)
            kept = [LockedBuffer(size, policy=Policy(on_shortfall="allow")) for size in (32, 5000)]
            told = stats()
            print(json.dumps([told.unlocked_size, told.locked_size, told.locked_now, told.lock_limit]))
        """)
    )
    assert told == [4096 + 8192, 4096 + 8192, 0, 0]


@needs.fork
def test_a_child_counts_its_own() -> None:
    """The parent's buffers are not in a child, nor in its numbers."""
    kept = [LockedBuffer(32), LockedBuffer(9000)]
    Secret.random(8).reveal()
    assert stats().idle_rooms >= 1

    def look() -> str:
        first = stats()
        if first.idle_rooms:
            return f"{first.idle_rooms} idle rooms of the parent's"
        own = LockedBuffer(32)
        second = stats()
        del own
        return f"{first.slots} {first.isolated} {len(first.arenas)} {second.slots}"

    assert forked(look) == "0 0 0 1"
    assert stats().slots >= len(kept) - 1
    assert os.getpid() > 0


def test_the_table_has_every_field() -> None:
    """``str()`` is for people: a line for each number, a line for each arena."""
    kept = LockedBuffer(32)
    told = stats()
    lines = str(told).splitlines()
    words = [line.split()[0] for line in lines]
    assert [word for word in words if word != "arena"] == [name for name in told._fields if name != "arenas"]
    assert words.count("arena") == len(told.arenas) >= 1
    del kept
