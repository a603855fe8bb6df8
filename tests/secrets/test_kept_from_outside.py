"""What a second process finds of kept secrets and their keys: in the parent, and in children that have served.

All memory is ``locked`` in most of these, so that the reader can read it; secret memory it cannot. Keys are found as
the kernel shows them, not as strongroom says: at the end of each locked page that is read-only.
"""

import contextlib
import os
import secrets
import signal
from collections.abc import Iterator

import numpy as np
import pytest

import needs
from children import Live
from observed import KEPT_OUT, Memory

pytestmark = [needs.linux, needs.fork]
SIZE = 32

#: Makes a kept and a forgotten secret of what comes in, then has children do what it is sent; they say their numbers.
PARENT = """
kept, forgotten = Secret.build(32, take, in_children="keep"), Secret.build(32, take)
def served():
    "As a worker does; and what it was not given it has not."
    for _ in range(100):
        with kept.open() as view:
            assert len(view) == 32
    try:
        forgotten.open()
    except ForkedError:
        return
    raise AssertionError("a forgotten secret opens")
def served_by_its_child():
    served()
    if os.fork():
        os._exit(0)
    served()
def copied_key():
    "What strongroom never does: the control."
    (end,) = [m.end for m in observed.mappings() if "lo" in m.flags and m.permissions[:3] == "r--"]
    return bytearray(ctypes.string_at(end - 32, 32))
def masked_key():
    "A mask and what it masks, both left lying about."
    pad = bytearray(os.urandom(32))
    return pad, bytearray(one ^ other for one, other in zip(pad, copied_key()))
def opened():
    access = kept.open()
    return access, access.__enter__()
def refused():
    "After its pipe was emptied."
    try:
        kept.open()
    except ForkedError as error:
        assert "the pipe ended" in str(error)
        return
    raise AssertionError("a key came from nowhere")
def child(work):
    if os.fork() == 0:
        try:
            result = work()                     # stays: whoever looks shall find it
            print(os.getpid(), flush=True)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        time.sleep(600)
        os._exit(0)
print("ready", flush=True)
while True:
    exec(os.read(0, 1 << 16).decode())
"""
#: Reads what is in the pipe at the moment of the fork: registered earlier, it runs after strongroom's own handler.
TAP = """
seen = []
def read_pipes():
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and os.path.realpath(f"/proc/self/fd/{name}").partition(":")[0].endswith("pipe"):
            seen.append(os.read(int(name), 1 << 16))
os.register_at_fork(before=read_pipes)
"""
#: Makes all of that lie where the reader can see it.
ALL_LOCKED = "children.locked_and_recorded()\n"


class Seen:
    """The parent, or one of its children, as a second process sees it."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.locked = [mapping for mapping in memory.mappings() if "lo" in mapping.flags]

    def all_keys(self) -> set[bytes | None]:
        """Return what may be keys: the last bytes of each locked page that can only be read."""
        return {self.memory.read(m.end - SIZE, SIZE) for m in self.locked if m.permissions == "r--p"}

    def places(self, needle: bytes) -> tuple[int, int]:
        """How often it lies in locked memory, and how often elsewhere.

        Each half counts: ciphers keep their key in two registers, and what saves those need not put them in order.
        """
        in_locked, elsewhere = [0, 0], [0, 0]
        halves = [needle[: SIZE // 2], needle[SIZE // 2 :]]
        for _address, found, mapping in self.memory.find_all(halves):
            (in_locked if "lo" in mapping.flags else elsewhere)[halves.index(found)] += 1
        return max(in_locked), max(elsewhere)

    def has_masked(self, key: bytes) -> bool:
        """Whether two places, aligned as the heap aligns things, make the key when one masks the other."""
        contents = [
            self.memory.read(m.start, m.end - m.start) or b"" for m in self.memory.mappings() if "w" in m.permissions
        ]
        words, parts = np.frombuffer(b"".join(contents), np.uint64), np.frombuffer(key, np.uint64)
        found = np.flatnonzero(np.isin(words ^ parts[0], words) & (words != 0))
        pairs = set(zip(words[found].tolist(), words[(found + 1) % len(words)].tolist(), strict=True))
        first, second = parts[:2].tolist()
        return any((one ^ first, other ^ second) in pairs for one, other in pairs)


class Family:
    """A parent with its two secrets, and children, which are ended."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.kept, self.forgotten = secrets.token_bytes(SIZE), secrets.token_bytes(SIZE)
        live.send(self.kept + self.forgotten)
        assert live.line() == "ready"

    @contextlib.contextmanager
    def child(self, work: str) -> Iterator[Seen]:
        """Fork, and give the child once it has done its work."""
        self.live.send(f"child({work})".encode())
        said = self.live.line()
        assert said.isdigit(), said
        try:
            with Memory(int(said)) as memory:
                yield Seen(memory)
        finally:
            os.kill(int(said), signal.SIGKILL)

    @contextlib.contextmanager
    def parent(self) -> Iterator[Seen]:
        """Give the parent."""
        with Memory(self.live.pid) as memory:
            yield Seen(memory)

    def key(self) -> bytes:
        """Return the key that children have, as it lies in one of them."""
        with self.child("served") as child:
            (key,) = child.all_keys()
        assert key is not None
        assert len(set(key)) > 8
        return key


@pytest.fixture
def family() -> Iterator[Family]:
    """A parent that waits, with memory that can be read."""
    with Live(ALL_LOCKED + PARENT, env={"PYTHONWARNINGS": "ignore"}) as live:
        yield Family(live)


@pytest.mark.parametrize("work", ["served", "served_by_its_child"])
def test_a_child_has_one_key_in_its_own_locked_memory(family: Family, work: str) -> None:
    """It is one of the parent's two, on a page of the child's; in no other place is it, masked or not.

    Nor is the other key, or any plaintext.
    """
    with family.parent() as parent:
        keys, pages = parent.all_keys(), {mapping.start for mapping in parent.locked}
    assert len(keys) == 2
    with family.child(work) as child:
        (key,) = child.all_keys()
        assert key is not None
        (other,) = keys - {key}
        assert other is not None
        assert child.places(key) == (1, 0)
        assert not child.has_masked(key)
        for absent in (other, family.kept, family.forgotten):
            assert child.places(absent) == (0, 0)
        assert not pages & {mapping.start for mapping in child.locked}
        assert all(mapping.flags >= KEPT_OUT for mapping in child.locked)


def test_the_parent_has_no_more_of_it_after_forks(family: Family) -> None:
    """Its two keys, each once on a locked page, after twenty forks as before; no mask with what it masked."""
    key = family.key()
    for _ in range(20):
        with family.child("served"):
            pass
    family.live.send(b"kept == forgotten; print('opened', flush=True)")
    assert family.live.line() == "opened"
    with family.parent() as parent:
        keys = parent.all_keys()
        assert len(keys) == 2
        assert key in keys
        assert [parent.places(one) for one in keys if one] == [(1, 0)] * 2
        assert not parent.has_masked(key)
        assert parent.places(family.kept) == parent.places(family.forgotten) == (0, 0)


def test_while_a_child_has_it_open_only_a_room_of_its_own_holds_it(family: Family) -> None:
    """The plaintext lies once, in locked memory; the parent's memory has none of it."""
    with family.child("opened") as child:
        assert child.places(family.kept) == (1, 0)
        assert child.places(family.forgotten) == (0, 0)
        with family.parent() as parent:
            assert parent.places(family.kept) == (0, 0)


def test_what_goes_through_the_pipe_is_masked() -> None:
    """As many bytes as a key has, never one of the keys, and others at each fork; what masked them is gone afterwards.

    The bytes read from the pipe are kept in the parent: that they are found there is the control.
    """
    with Live(TAP + ALL_LOCKED + PARENT, env={"PYTHONWARNINGS": "ignore"}) as live:
        family = Family(live)
        for _ in range(2):
            with family.child("refused"):
                pass
        with family.child("refused") as child, family.parent() as parent:
            live.send(b"print(*(one.hex() for one in seen), flush=True)")
            contents = [bytes.fromhex(word) for word in live.line().split()]
            keys = [key for key in parent.all_keys() if key]
            assert len(keys) == 2
            assert [len(content) for content in contents] == [SIZE] * 3
            assert len({*contents, *keys}) == 5
            assert all(parent.places(content)[1] >= 1 for content in contents)
            for key in keys:  # one of them is the one that was masked
                for content in contents:
                    mask = bytes(one ^ other for one, other in zip(key, content, strict=True))
                    assert parent.places(mask) == child.places(mask) == (0, 0)


def test_control_what_a_child_copies_is_found(family: Family) -> None:
    """The same reader finds plaintext, key, and a masked key with its mask, when they lie in ordinary memory."""
    key = family.key()
    with family.child("kept.reveal") as child:
        assert child.places(family.kept)[1] >= 1
    with family.child("copied_key") as child:
        assert child.places(key)[1] >= 1
    with family.child("masked_key") as child:
        assert child.has_masked(key)


def test_the_childs_key_takes_the_strongest_backing_there_is(has_secretmem: bool) -> None:
    """As the machine allows, it is secret memory, which this reader cannot read; locked in any case."""
    backing = "secretmem" if has_secretmem else "locked"
    code = f"from strongroom.buffers import planning\nplanning.power.can_hibernate = lambda: {not has_secretmem}\n"
    with Live(code + PARENT, env={"PYTHONWARNINGS": "ignore"}) as live:
        family = Family(live)
        with family.child("served") as child:
            pages = [mapping for mapping in child.locked if mapping.permissions[:3] == "r--"]
            assert len(pages) == 1
            assert ("secretmem" if "secretmem" in pages[0].path else "locked") == backing
            assert pages[0].flags >= KEPT_OUT
            assert child.places(family.kept) == (0, 0)
            assert (child.all_keys() == set()) == has_secretmem
