"""Small buffers share pages: what the system says of them, what one sees of another, how they are given back."""

import gc

import pytest

import needs
from children import succeed
from observed import KEPT_OUT, PAGE, address_of, mapping_at, mappings
from strongroom import AccessError, LockedBuffer, Policy, UnsupportedError, guarantees

SLOT_MAX_SIZE = 1024
SIZES = [1, 15, 16, 17, 31, 32, 33, 64, 65, 100, 128, 256, 500, 512, 513, 1000, SLOT_MAX_SIZE]


def address(buffer: LockedBuffer) -> int:
    with buffer.open() as view:
        return address_of(view)


@pytest.mark.parametrize("size", SIZES)
def test_every_small_size_holds_its_bytes(size: int, backing: str) -> None:
    """Zeros at first, then exactly what was written, in pages that the system locks and leaves out."""
    with LockedBuffer(size, backing=backing) as buffer, LockedBuffer(size, backing=backing) as other:
        content = bytes(range(1, 256)) * 5
        with buffer.open("rw") as view, other.open("rw") as theirs:
            assert bytes(view) == bytes(size)
            view[:] = content[:size]
            theirs[:] = content[1 : size + 1]
        with buffer.open() as view, other.open() as theirs:
            assert bytes(view) == content[:size]
            assert bytes(theirs) == content[1 : size + 1]
        mapping = mapping_at(address(buffer))
        assert mapping is not None
        assert mapping.flags >= KEPT_OUT
        assert mapping.permissions.startswith("rw-")


def test_what_is_small(backing: str) -> None:
    """1,024 bytes share pages, one more has its own; isolated says otherwise, and cannot make a large one share."""
    assert not LockedBuffer(SLOT_MAX_SIZE, backing=backing).is_isolated
    assert LockedBuffer(SLOT_MAX_SIZE + 1, backing=backing).is_isolated
    assert LockedBuffer(1, backing=backing, isolated=True).is_isolated
    assert not LockedBuffer(1, backing=backing, isolated=False).is_isolated
    with pytest.raises(ValueError, match=r"isolated=False is for up to 1,024 bytes, not 1,025"):
        LockedBuffer(SLOT_MAX_SIZE + 1, backing=backing, isolated=False)
    for wrong in (0, 1, "no", 2.0):
        with pytest.raises(TypeError, match="isolated"):
            LockedBuffer(1, isolated=wrong)  # type: ignore[arg-type]


def test_three_dozen_and_more_share_a_page() -> None:
    """Of a process's first 200 buffers of 32 bytes at least 80 lie in one page: a key does not cost a page."""
    out = succeed("""
        kept = [LockedBuffer(32) for _ in range(200)]
        pages = {}
        for buffer in kept:
            with buffer.open() as view:
                page = address_of(view) // observed.PAGE
            pages[page] = pages.get(page, 0) + 1
        print(max(pages.values()), len(pages))
    """)
    most, count = map(int, out.split())
    assert most >= 80
    assert count <= 5


def test_inaccessible_pages_lie_around_them(backing: str) -> None:
    """What lies before and after the shared pages faults, as the system's list says."""
    buffer = LockedBuffer(32, backing=backing)
    listing = mappings()
    mapping = mapping_at(address(buffer), listing)
    assert mapping is not None
    below, above = mapping_at(mapping.start - 1, listing), mapping_at(mapping.end, listing)
    assert below is not None
    assert above is not None
    assert below.permissions[:3] == above.permissions[:3] == "---"
    del buffer


def test_guarantees_say_what_shared_pages_lack(backing: str) -> None:
    """GUARDED and CLOSED_AT_REST are not claimed, and the words say how to get them; the rest is as for own pages."""
    shared = LockedBuffer(32, backing=backing).guarantees()
    own = LockedBuffer(32, backing=backing, isolated=True).guarantees()
    for name in (guarantees.GUARDED, guarantees.CLOSED_AT_REST):
        assert shared[name].state == guarantees.UNAVAILABLE
        assert "isolated=True" in shared[name].source
    differing = {name for name in shared if shared[name].state != own[name].state}
    assert differing <= {guarantees.GUARDED, guarantees.CLOSED_AT_REST}


def test_a_policy_that_requires_guards_gets_them() -> None:
    """By own pages, unless sharing was asked for: then it is refused before anything is made."""
    policy = Policy(require=[guarantees.LOCKED, guarantees.GUARDED])
    assert LockedBuffer(32, policy=policy).is_isolated
    with pytest.raises(UnsupportedError, match="in shared pages cannot give GUARDED; isolated=True can"):
        LockedBuffer(32, isolated=False, policy=policy)


@needs.linux
def test_the_error_says_which_argument_would_do() -> None:
    """Of what cannot be given it names the way that can, and only arguments that make a difference."""
    stronger = Policy(require=[guarantees.UNREADABLE_BY_OTHERS])
    with pytest.raises(UnsupportedError, match="cannot give UNREADABLE_BY_OTHERS; backing='secretmem' can"):
        LockedBuffer(32, backing="locked", policy=stronger)
    both = Policy(require=[guarantees.UNREADABLE_BY_OTHERS, guarantees.GUARDED])
    with pytest.raises(UnsupportedError, match="isolated=True and backing='secretmem' can"):
        LockedBuffer(32, backing="locked", isolated=False, policy=both)
    with pytest.raises(UnsupportedError, match="nothing can on this system; the Policy can require less"):
        LockedBuffer(32, policy=Policy(require=[guarantees.FIXED_LAYOUT]))


def test_the_longest_free_is_taken_next() -> None:
    """A pointer kept past the end shows zeros for as long as possible: other slots are used up first."""
    out = succeed("""
        kept = [LockedBuffer(32) for _ in range(85)]
        def address(buffer):
            with buffer.open() as view:
                return address_of(view)
        given = [address(kept[i]) for i in (40, 3, 77)]
        for i in (40, 3, 77):
            kept[i].destroy()
        again = [LockedBuffer(32) for _ in range(3)]
        print([address(buffer) for buffer in again] == given, len(set(given)))
    """)
    assert out.split() == ["True", "3"]


@pytest.mark.parametrize(
    "how", ["buffer.destroy()", "del buffer, view; gc.collect()", "buffer.__exit__(None, None, None)"]
)
def test_given_back_is_wiped(how: str, backing: str) -> None:
    """The bytes and what was before them are zeros the moment the buffer goes, while the page stays."""
    out = succeed(f"""
        keep = LockedBuffer(32, backing={backing!r})
        buffer = LockedBuffer(32, backing={backing!r})
        with buffer.open("rw") as view:
            view[:] = b"w" * 32
            where = address_of(view)
        print(ctypes.string_at(where, 32) == b"w" * 32, any(ctypes.string_at(where - 16, 16)))
        {how}
        print(any(ctypes.string_at(where - 16, 48)), protection_at(where))
    """)
    assert out.split() == ["True", "True", "False", "rw-"]


def test_a_kept_buffer_keeps_its_slot() -> None:
    """A slot of which a memoryview is kept is never handed to anybody else, and goes back when that ends."""
    buffer = LockedBuffer(32)
    with pytest.raises(BufferError, match="kept past the block"), buffer.open("rw") as view:  # noqa: PT012
        view[:] = b"k" * 32
        where = address_of(view)
        kept = memoryview(view)[3:9]
    del view
    assert bytes(kept) == b"k" * 6
    buffer.destroy()
    assert bytes(kept) == bytes(6)
    others = [LockedBuffer(32) for _ in range(300)]
    for other in others:
        with other.open("rw") as view:
            view[:] = b"o" * 32
        assert address(other) != where
    assert bytes(kept) == bytes(6)
    del kept, view
    gc.collect()
    more: list[LockedBuffer] = []
    while len(more) < 20_000 and (not more or address(more[-1]) != where):
        more.append(LockedBuffer(32))
    assert address(more[-1]) == where


def test_views_of_small_buffers_end_with_their_block() -> None:
    """As for own pages: a View used later raises, also when the slot is somebody else's by then."""
    buffer = LockedBuffer(32)
    with buffer.open() as view:
        pass
    buffer.destroy()
    with pytest.raises(AccessError):
        view[0]


@needs.linux
@needs.much_locked
def test_pages_are_given_back() -> None:
    """Of 5,000 buffers that are gone no page stays but what is kept for the next; the system's count says so."""
    out = succeed("""
        def held():
            return observed.status_size("VmLck"), len(observed.mappings())
        first = LockedBuffer(32, backing="locked")
        before = held()
        kept = [LockedBuffer(32, backing="locked") for _ in range(5000)]
        during = held()
        del kept
        gc.collect()
        after = held()
        print(before[0], during[0], after[0], after[1] - before[1])
    """)
    before, during, after, more = map(int, out.split())
    assert during - before >= 5000 * 48
    assert after - before <= 256 * 1024
    assert more <= 4


@needs.linux
def test_nobody_gets_pages_that_were_not_read_back() -> None:
    """A small buffer of which nothing special is asked lies in pages whose every default guarantee was read back."""
    out = succeed("""
        from strongroom import _native
        from strongroom.buffers import planning
        read = []
        original = planning.evidence.read_back
        planning.evidence.read_back = lambda *a: read.append(a[0]) or original(*a)
        weak = LockedBuffer(32, policy=Policy(require=[]))
        start = weak._layout()[0]
        print(start in read)
        usual = LockedBuffer(32)
        print(usual._layout()[0] in read)
        count = len(read)
        kept = [LockedBuffer(32) for _ in range(50)]
        print(len(read) == count, all(buffer._layout()[0] in read for buffer in kept))
        kept += [LockedBuffer(32) for _ in range(500)]
        pages = {buffer._layout()[0] for buffer in kept}
        print(pages <= set(read), len(set(read)) == len(pages))
    """)
    assert out.split() == ["False", "True", "True", "True", "True", "True"]


@pytest.mark.parametrize("align", [1, 2, 8, 16, 32, 64, PAGE])
def test_the_first_byte_lies_where_it_is_asked_for(align: int, backing: str) -> None:
    """At a multiple of align, whatever the size; above 16 in pages of its own. All of the size can be used."""
    for size in (1, 7, 16, 33, 100, 1000, 1024, 5000):
        buffer = LockedBuffer(size, backing=backing, align=align)
        assert len(buffer) == size
        assert address(buffer) % align == 0
        assert buffer.is_isolated is (align > 16 or size > SLOT_MAX_SIZE or -(-size // align) * align > SLOT_MAX_SIZE)
        content = bytes(range(1, 101)) * 50
        buffer.copy_from(content[:size])
        assert buffer == content[:size]
        buffer.destroy()


@pytest.mark.parametrize("wrong", [0, -8, 3, 24, 2 * PAGE, 2**70, 8.0, "8", None, True])
def test_what_is_no_alignment(wrong: object) -> None:
    """The error names the value; shared pages say what they can do."""
    with pytest.raises((ValueError, TypeError), match="align"):
        LockedBuffer(32, align=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="align to 16 bytes at most, not 32"):
        LockedBuffer(32, isolated=False, align=32)
