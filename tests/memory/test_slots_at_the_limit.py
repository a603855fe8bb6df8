"""Small buffers under a 64 KiB lock limit, without privilege: over a thousand, then an error, and nothing lost."""

import json

import pytest

import needs
from children import succeed

LIMIT = 64 << 10
PROMISED = 1000

pytestmark = needs.linux

#: The key, a room and its secret exist before. Each buffer holds its own number.
FILL = """
children.limit_locks({limit})
told = {{}}
secret = Secret.random(32)
assert len(secret.reveal()) == 32
kept = []
def fill():
    try:
        while True:
            buffer = LockedBuffer(32, backing={backing!r})
            with buffer.open("rw") as view:
                view[:] = len(kept).to_bytes(4, "big") * 8
            kept.append(buffer)
    except LockLimitError as error:
        return error
def intact():
    return all(buffer == number.to_bytes(4, "big") * 8 for number, buffer in enumerate(kept) if not buffer.is_destroyed)
error = fill()
told["made"] = len(kept)
told["error"] = str(error)
told["numbers"] = [error.requested, error.limit, error.locked_now]
told["intact"] = intact()
"""


def limited(code: str, backing: str) -> dict[str, object]:
    told: dict[str, object] = json.loads(
        succeed(f"{FILL.format(limit=LIMIT, backing=backing)}\n{code}\nprint(json.dumps(told))").splitlines()[-1]
    )
    return told


def test_a_thousand_keys_and_each_page_is_locked(backing: str) -> None:
    """Every page that one of them lies in has the kernel's own flag; request, limit and remedies are in the error."""
    told = limited(
        """
listing = observed.mappings()
flags = set()
for buffer in kept:
    with buffer.open() as view:
        mapping = mapping_at(address_of(view), listing)
        flags.add("lo" in mapping.flags and "dd" in mapping.flags and "dc" in mapping.flags)
told["flags"] = sorted(flags)
told["locked"] = observed.status_size("VmLck")
""",
        backing,
    )
    assert int(str(told["made"])) >= PROMISED
    assert told["flags"] == [True]
    assert told["intact"] is True
    assert told["numbers"] == [4096, LIMIT, LIMIT]
    assert told["locked"] == LIMIT
    for word in ("4,096", "65,536", "ulimit -l"):
        assert word in str(told["error"])


def test_one_that_goes_makes_room_for_one(backing: str) -> None:
    """After each destroy exactly one more fits; a hundred refusals cost nothing and harm nobody."""
    told = limited(
        """
results = []
for turn in range(50):
    kept[turn * 7].destroy()
    made = LockedBuffer(32, backing=kept[1].backing)
    results.append(made == bytes(32))
    kept.append(made)
    made.copy_from((len(kept) - 1).to_bytes(4, "big") * 8)
    try:
        LockedBuffer(32, backing=kept[1].backing)
        results.append(False)
    except LockLimitError:
        pass
told["results"] = all(results)
told["intact"] = intact()
told["locked"] = observed.status_size("VmLck")
""",
        backing,
    )
    assert told["results"] is True
    assert told["intact"] is True
    assert told["locked"] == LIMIT


def test_a_slot_of_another_size_stands_in(backing: str) -> None:
    """A smaller buffer takes a larger slot that is free rather than nothing."""
    told = limited(
        """
for buffer in kept[:340]: buffer.destroy()
for buffer in kept[340:]: buffer.destroy()
kept.clear()
large = [LockedBuffer(1024, backing=BACKING) for _ in range(2)]
error = fill()
count = len(kept)
large.pop().destroy()
made = LockedBuffer(32, backing=BACKING)
made.copy_from(b"s" * 32)
told["stood in"] = made == b"s" * 32
made.destroy()
large.append(LockedBuffer(1024, backing=BACKING))
told["intact"] = intact()
""".replace("BACKING", repr(backing)),
        backing,
    )
    assert told["stood in"] is True
    assert told["intact"] is True


def test_what_another_thread_left_free_is_used(backing: str) -> None:
    """Threads have pages of their own to take from; at the limit they take what is free in the others'."""
    told = limited(
        """
for buffer in kept[:10]: buffer.destroy()
made = []
def take():
    for _ in range(10):
        made.append(LockedBuffer(32, backing=kept[20].backing))
thread = threading.Thread(target=take)
thread.start(); thread.join()
told["elsewhere"] = len(made)
told["intact"] = intact()
""",
        backing,
    )
    assert told["elsewhere"] == 10
    assert told["intact"] is True


@pytest.mark.parametrize("what", ["LockedBuffer(4000, backing=BACKING)", "LockedBuffer(500, backing=BACKING)"])
def test_pages_that_small_buffers_left_serve_others(what: str, backing: str) -> None:
    """Pages of which no slot is taken any more go to whoever needs a page: another size, or a page of its own."""
    told = limited(
        f"""
BACKING = {backing!r}
for buffer in kept: buffer.destroy()
kept.clear()
made = [{what} for _ in range(3)]
told["others"] = len(made)
""",
        backing,
    )
    assert told["others"] == 3


@needs.much_locked
def test_control_without_the_limit_there_is_no_error() -> None:
    """The same process, before its limit, makes ten times as many."""
    assert succeed("kept = [LockedBuffer(32) for _ in range(10 * 1365)]\nprint(len(kept))").strip() == "13650"


def test_a_waiter_gets_the_slot_that_another_thread_frees(backing: str) -> None:
    """It is woken by the destroy, long before its deadline and without looking, and gets zeros in that very place."""
    told = limited(
        f"""
victim = kept[500]
with victim.open() as view:
    place = address_of(view)
from strongroom.buffers import waiting
waiting.POLL_SECONDS = 60
giver = children.once_a_thread_waits(victim.destroy)
begun = time.monotonic()
made = LockedBuffer(32, backing={backing!r}, policy=Policy(wait_seconds=50))
told["seconds"] = time.monotonic() - begun
giver.join()
with made.open() as view:
    told["place"] = address_of(view) == place
    told["zeros"] = not any(view)
begun = time.monotonic()
try:
    LockedBuffer(32, backing={backing!r}, policy=Policy(wait_seconds=0.1))
except LockLimitError as error:
    told["refused"] = time.monotonic() - begun
told["intact"] = intact()
""",
        backing,
    )
    assert 0.1 <= float(str(told["seconds"])) < 30
    assert float(str(told["refused"])) >= 0.1
    assert told["place"] is True
    assert told["zeros"] is True
    assert told["intact"] is True
