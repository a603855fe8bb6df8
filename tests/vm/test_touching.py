"""read, write and fill: what is forbidden is an error with a reason, never a crash, whoever forbade it."""

import pytest

import pages
from pages import PAGE, Index, letters, needs_proc
from strongroom import AccessError, LockedBuffer, UnsupportedError, vm

READABLE = (vm.READ_ONLY, vm.READ_WRITE, vm.EXECUTE, vm.EXECUTE_READ, vm.EXECUTE_READ_WRITE)
WRITABLE = (vm.READ_WRITE, vm.EXECUTE_READ_WRITE)
POSSIBLE = (vm.NO_ACCESS, *READABLE)

#: Each way to touch the second page of three.
TOUCHES = {
    "read": lambda region: region.read(PAGE, 4),
    "write": lambda region: region.write(PAGE, b"1337"),
    "fill": lambda region: region.fill(PAGE, 4, 0x31),
}


@pytest.mark.parametrize("protection", POSSIBLE, ids=vm.protection_name)
@pytest.mark.parametrize("touch", TOUCHES)
def test_what_each_protection_allows(touch: str, protection: int) -> None:
    """Reading needs a readable page, writing a writable one; the refusal names the page and its protection."""
    with vm.allocate(3 * PAGE) as region:
        region.write(PAGE, b"abcd")
        region.protect(PAGE, PAGE, protection)
        if protection in (READABLE if touch == "read" else WRITABLE):
            assert TOUCHES[touch](region) in (b"abcd", 4, None)
            expected = {"read": b"abcd", "write": b"1337", "fill": b"1111"}[touch]
        else:
            name = vm.protection_name(protection)
            with pytest.raises(AccessError, match=f"{touch}: the page at offset 0x1000 is {name}, which forbids that"):
                TOUCHES[touch](region)
            expected = b"abcd"
        region.protect(PAGE, PAGE, vm.READ_ONLY)
        assert expected == region.read(PAGE, 4)


@pytest.mark.parametrize("touch", TOUCHES)
def test_reserved_pages_cannot_be_touched(touch: str) -> None:
    """The refusal says what the page lacks."""
    with vm.reserve(3 * PAGE) as region, pytest.raises(AccessError, match="offset 0x1000 is reserved, not committed"):
        TOUCHES[touch](region)


def test_a_touch_that_is_refused_changes_nothing() -> None:
    """One forbidden page at the end of a range, and not a byte before it is written."""
    with vm.allocate(3 * PAGE) as region:
        region.protect(2 * PAGE, PAGE, vm.READ_ONLY)
        with pytest.raises(AccessError, match="offset 0x2000 is READ_ONLY"):
            region.write(0, b"x" * 3 * PAGE)
        with pytest.raises(AccessError, match="offset 0x2000 is READ_ONLY"):
            region.fill(0, None, 7)
        assert bytes(3 * PAGE) == region.read()


def test_bytes_go_where_they_are_sent() -> None:
    """Any offset, across pages, and nothing beside them."""
    with vm.allocate(3 * PAGE) as region:
        data = bytes(range(256)) * (PAGE // 256)
        assert region.write(PAGE - 7, data) == PAGE
        region.fill(2 * PAGE, 3, 255)
        expected = bytearray(3 * PAGE)
        expected[PAGE - 7 : 2 * PAGE - 7] = data
        expected[2 * PAGE : 2 * PAGE + 3] = b"\xff" * 3
        assert expected == region.read()
        assert data[:9] == region.read(PAGE - 7, 9)


def test_nothing_is_written_with_nothing() -> None:
    """An empty write is fine, wherever it is; an empty read or fill is a range without bytes."""
    with vm.allocate(PAGE) as region:
        assert region.write(0, b"") == 0
        for attempt in (region.read, region.fill):
            with pytest.raises(ValueError, match="size must be at least 1 byte"):
                attempt(0, 0)


def test_whatever_has_bytes_can_be_written() -> None:
    """Buffers of any kind, the region's own View included; text and objects without a buffer are not bytes."""
    with vm.allocate(2 * PAGE) as region:
        for source in (b"1337", bytearray(b"1337"), memoryview(b"1337")):
            region.fill()
            assert region.write(1, source) == 4
            assert region.read(1, 4) == b"1337"
        with region.view(1, 4) as view:
            assert region.write(2, view) == 4  # it overlaps itself
        assert region.read(1, 5) == b"11337"
        for wrong in ("1337", 1337, None):
            with pytest.raises(TypeError):
                region.write(0, wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["locked", "secretmem"])
def test_a_secret_can_be_written(kind: str) -> None:
    """The View of a buffer goes in like any bytes, whatever memory it is in."""
    try:
        buffer = LockedBuffer(8, backing=kind)
    except UnsupportedError as error:
        pytest.skip(str(error))
    with vm.allocate(PAGE) as region, buffer, buffer.open("rw") as view:
        view[:] = b"strongly"
        assert region.write(PAGE - 8, view) == 8
        assert region.read(PAGE - 8) == b"strongly"


@pytest.mark.parametrize(("byte", "error"), [(-1, ValueError), (256, ValueError), (1.0, TypeError), (True, TypeError)])
def test_fill_takes_a_byte(byte: object, error: type[Exception]) -> None:
    """From 0 to 255, and the message names what came instead."""
    with vm.allocate(PAGE) as region:
        with pytest.raises(error, match=f"byte must be .*{byte}"):
            region.fill(0, None, byte)  # type: ignore[arg-type]
        region.fill(0, None, Index(255))  # type: ignore[arg-type]
        assert region.read() == b"\xff" * PAGE


# ---- pages that other code has changed behind our back ----


@needs_proc
@pytest.mark.parametrize("act", ["protect", "unmap"])
@pytest.mark.parametrize("touch", TOUCHES)
def test_what_others_forbid_is_an_error_too(touch: str, act: str) -> None:
    """The kernel checks each page at the time of the call: the refusal says that other code did it."""
    with vm.allocate(3 * PAGE) as region:
        if act == "protect":
            assert pages.others_protect(region.address + PAGE, PAGE, pages.PROT_NONE) == 0
        else:
            assert pages.others_unmap(region.address + PAGE, PAGE) == 0
        with pytest.raises(AccessError, match=f"{touch}: the system forbids it.*other code"):
            TOUCHES[touch](region)


@needs_proc
def test_what_others_made_read_only_is_not_written() -> None:
    """It can still be read."""
    with vm.allocate(PAGE) as region:
        region.write(0, b"1337")
        assert pages.others_protect(region.address, PAGE, pages.PROT_READ) == 0
        for touch in (lambda: region.write(0, b"abcd"), lambda: region.fill(0, 4, 1)):
            with pytest.raises(AccessError, match="other code"):
                touch()
        assert region.read(0, 4) == b"1337"


@needs_proc
def test_protecting_again_overrules_others() -> None:
    """A page that other code made inaccessible is accessible after the next protect()."""
    with vm.allocate(PAGE) as region:
        region.write(0, b"1337")
        assert pages.others_protect(region.address, PAGE, pages.PROT_NONE) == 0
        region.protect(0, None, vm.READ_ONLY)
        assert region.read(0, 4) == b"1337"


# ---- guard pages ----

GUARDED = tuple(protection | vm.GUARD for protection in READABLE)


@needs_proc
@pytest.mark.parametrize("protection", GUARDED, ids=vm.protection_name)
@pytest.mark.parametrize("touch", TOUCHES)
def test_a_guard_page_guards_once(touch: str, protection: int) -> None:
    """The first touch is refused and ends the guarding of that page alone; then its own protection counts."""
    with vm.allocate(3 * PAGE) as region:
        region.write(PAGE, b"abcd")
        region.protect(0, None, protection)
        assert letters(region) == ["---"] * 3
        with pytest.raises(AccessError, match=f"{touch}: the page at offset 0x1000 was a guard page"):
            TOUCHES[touch](region)
        plain = protection & ~vm.GUARD
        assert [protection, plain, protection] == [run.protection for run in region.pages()]
        assert ["---", pages.LETTERS[plain], "---"] == letters(region)
        if touch == "read":
            assert region.read(PAGE, 4) == b"abcd"


@pytest.mark.parametrize("mode", ["r", "rw"])
def test_a_view_touches_a_guard_page(mode: str) -> None:
    """Entering the block is the touch; entering it again works."""
    with vm.allocate(2 * PAGE, vm.READ_WRITE | vm.GUARD) as region:
        with pytest.raises(AccessError, match="was a guard page"):
            region.view(PAGE, 4, mode).__enter__()
        with region.view(PAGE, 4, mode) as view:
            assert len(view) == 4
        assert [run.protection for run in region.pages()] == [vm.READ_WRITE | vm.GUARD, vm.READ_WRITE]


@pytest.mark.parametrize("name", ["lock", "secure"])
def test_locking_and_securing_are_no_touches(name: str) -> None:
    """They are refused on a guard page, and it guards on."""
    with vm.allocate(PAGE, vm.READ_WRITE | vm.GUARD) as region:
        with pytest.raises(AccessError, match=r"is READ_WRITE \| GUARD"):
            getattr(region, name)()
        assert region.pages()[0].protection == vm.READ_WRITE | vm.GUARD


def test_each_guard_page_of_a_range_is_a_touch_of_its_own() -> None:
    """A range over two of them is refused twice, and allowed the third time."""
    with vm.allocate(2 * PAGE, vm.READ_WRITE | vm.GUARD) as region:
        for offset in (0, PAGE):
            with pytest.raises(AccessError, match=f"offset {offset:#x} was a guard page"):
                region.read()
        assert bytes(2 * PAGE) == region.read()
