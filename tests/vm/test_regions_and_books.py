"""What strongroom's own books add to the system's listing of this process, and who is said to know what."""

import pytest

import pages
from pages import PAGE, needs_proc
from strongroom import vm


def test_a_region_is_cut_where_our_books_change() -> None:
    """Reserved, committed, guard, locked and secured pages are rows of their own, whatever the kernel joins."""
    with vm.reserve(16 * PAGE) as region:
        region.commit(2 * PAGE, 8 * PAGE)
        region.protect(2 * PAGE, PAGE, vm.NO_ACCESS)
        region.protect(3 * PAGE, PAGE, vm.READ_WRITE | vm.GUARD)
        region.lock(5 * PAGE, PAGE)
        region.lock(5 * PAGE, PAGE)
        with region.secure(7 * PAGE, 2 * PAGE, vm.READ_ONLY), region.secure(8 * PAGE, PAGE, vm.READ_WRITE):
            at, end = region.address, region.address + region.size
            seen = [
                ((row.address - at) // PAGE, row.size // PAGE, row.state, row.protection, row.locks, row.secured)
                for row in vm.regions()
                if at <= row.address < end
            ]
    writable = vm.READ_WRITE
    assert seen == [
        (0, 2, "reserved", 0, 0, 0),
        (2, 1, "committed", vm.NO_ACCESS, 0, 0),
        (3, 1, "committed", writable | vm.GUARD, 0, 0),
        (4, 1, "committed", writable, 0, 0),
        (5, 1, "committed", writable, 2, 0),
        (6, 1, "committed", writable, 0, 0),
        (7, 1, "committed", writable, 0, vm.READ_ONLY),
        (8, 1, "committed", writable, 0, vm.READ_WRITE),
        (9, 1, "committed", writable, 0, 0),
        (10, 6, "reserved", 0, 0, 0),
    ]


@needs_proc
def test_what_others_changed_is_the_systems_answer() -> None:
    """A page that other code opened, closed or unmapped shows as what it is."""
    with vm.reserve(6 * PAGE) as region:
        region.commit(0, 3 * PAGE)
        at = region.address
        assert pages.others_protect(at + PAGE, PAGE, pages.PROT_READ) == 0
        assert pages.others_protect(at + 4 * PAGE, PAGE, pages.PROT_READ_WRITE) == 0
        assert pages.others_unmap(at + 2 * PAGE, PAGE) == 0
        states = [(info.state, info.protection, info.size // PAGE) for info in vm.pages(at, 6 * PAGE)]
    assert states == [
        ("committed", vm.READ_WRITE, 1),
        ("committed", vm.READ_ONLY, 1),
        ("free", 0, 1),
        ("reserved", 0, 1),
        ("committed", vm.READ_WRITE, 1),
        ("reserved", 0, 1),
    ]


@needs_proc
def test_gaps_of_a_range_are_free() -> None:
    """The runs of vm.pages are the whole range; the end of everything included."""
    with vm.reserve(4 * PAGE) as region:
        at = region.address
        assert pages.others_unmap(at + PAGE, 2 * PAGE) == 0
        infos = vm.pages(at, 4 * PAGE)
        assert [(info.state, info.size) for info in infos] == [
            ("reserved", PAGE),
            ("free", 2 * PAGE),
            ("reserved", PAGE),
        ]
        assert infos[1].known_by("state") == "system"
    top = (1 << 64) - PAGE
    assert [(info.address, info.size, info.state) for info in vm.pages(top, PAGE - 1)] == [(top, PAGE, "free")]
    (everything,) = {sum(info.size for info in vm.pages(0, (1 << 64) - 1))}
    assert everything == 1 << 64


@needs_proc
def test_who_knows() -> None:
    """The system, strongroom's books, or an inference; for what nobody told nobody."""
    with vm.reserve(4 * PAGE) as region:
        region.commit(0, 2 * PAGE, vm.READ_ONLY)
        region.protect(0, PAGE, vm.READ_ONLY | vm.GUARD)
        guard, plain, reserved = (vm.pages(region.address, region.size)[i] for i in range(3))
        said = [
            [info.known_by(field) for field in ("state", "protection", "allocation")]
            for info in (guard, plain, reserved)
        ]
        assert said == [["strongroom"] * 3, ["system", "system", "strongroom"], ["strongroom"] * 3]
        assert [plain.known_by(field) for field in ("locks", "secured", "path")] == [
            "strongroom",
            "strongroom",
            "system",
        ]
        assert vm.query(region.address).known_by("resident_size") is None
    image = next(row for row in vm.regions() if row.type == "image")
    assert [image.known_by(field) for field in ("type", "allocation", "secured")] == ["inferred", "inferred", None]
    with pytest.raises(ValueError, match="resident_size"):
        image.known_by("nothing")
