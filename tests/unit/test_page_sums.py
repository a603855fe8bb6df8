"""What Windows says of pages as fields: by answers that are made up, as Windows and as Wine give them."""

import pytest

from strongroom import _native
from strongroom._os import mappings
from strongroom.exceptions import NO_SUCH_CALL, SystemCallError
from strongroom.vm import PAGE_SIZE as PAGE
from strongroom.vm import PageInfo, listing

Run = tuple[int, int, bool, int | None, bool | None]


def row(start: int, count: int, state: str = "committed", kind: str = "private") -> PageInfo:
    """Pages from a number on, of which nothing more is known."""
    return PageInfo(start * PAGE, count * PAGE, state, 4, 0, 4, kind, 0, None, False, "", *(None,) * 13)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """A system that tells pages as Windows does; the answers, in numbers of pages."""
    told: list[Run] = []

    def runs(pid: int, start: int, end: int) -> list[Run]:
        cut = [
            (max(first * PAGE, start), min(last * PAGE, end), is_there, shares, is_locked)
            for first, last, is_there, shares, is_locked in told
        ]
        return [run for run in cut if run[0] < run[1]]

    monkeypatch.setattr(mappings, "KNOWS_RESERVATIONS", True)
    monkeypatch.setattr(mappings, "KNOWS_SWAPPED_PAGES", False)
    monkeypatch.setattr(_native, "page_runs", runs)
    return told


def fields(rows: list[PageInfo]) -> list[tuple[object, ...]]:
    return [
        (r.address // PAGE, r.size // PAGE, r.resident_size, r.swapped_size, r.shared_size, r.is_locked, r.share_count)
        for r in rows
    ]


def test_pages_as_windows_tells_them(windows: list[Run]) -> None:
    """Locked, shared by three or by one, and not there: committed pages that are not there may be in a page file."""
    windows += [(1, 2, True, 1, True), (2, 3, True, 3, False), (3, 5, False, None, False), (9, 10, True, 7, False)]
    rows, unread = listing._by_pages([row(1, 4), row(5, 2, "reserved"), row(9, 1, kind="image")], 0)
    assert unread == ()
    assert fields(rows) == [
        (1, 1, PAGE, 0, 0, True, 1),
        (2, 1, PAGE, 0, PAGE, False, 3),
        (3, 2, 0, None, 0, False, None),
        (5, 2, 0, 0, 0, False, None),
        (9, 1, PAGE, 0, PAGE, False, 7),
    ]


def test_sums_as_windows_tells_them(windows: list[Run]) -> None:
    """Of a row the sizes of its pages; what is so for a part of it only is nobody's yes or no."""
    windows += [
        *[(1, 2, True, 1, True), (2, 3, True, 3, False), (3, 5, False, None, False)],
        *[(7, 9, True, 1, True), (9, 10, True, 7, False)],
    ]
    given = [row(1, 4), row(5, 2, "reserved"), row(7, 2), row(9, 1, kind="image")]
    rows, unread = listing._by_sums(given, 0)
    assert unread == ()
    assert fields(rows) == [
        (1, 4, 2 * PAGE, None, PAGE, None, None),
        (5, 2, 0, 0, 0, False, None),
        (7, 2, 2 * PAGE, 0, 0, True, None),
        (9, 1, PAGE, 0, PAGE, False, None),
    ]
    assert [r[:14] for r in rows] == [r[:14] for r in given]


def test_pages_as_wine_tells_them(windows: list[Run]) -> None:
    """Whether they are there, and nothing else: None, and why."""
    windows += [(1, 2, True, None, None)]
    rows, unread = listing._by_sums([row(1, 2), row(5, 2, "reserved")], 0)
    assert fields(rows) == [(1, 2, PAGE, None, None, None, None), (5, 2, 0, 0, 0, False, None)]
    assert unread == (mappings.LOCKS_UNTOLD,)


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize(
    ("code", "expected"),
    [(NO_SUCH_CALL, "cannot be asked like this"), (1450, "QueryWorkingSetEx")],
)
def test_pages_that_may_not_be_asked_about(monkeypatch: pytest.MonkeyPatch, code: int, expected: str) -> None:
    """The rows as they were, and the reason."""

    def refuse(pid: int, start: int, end: int) -> list[Run]:
        raise SystemCallError("QueryWorkingSetEx", code)

    monkeypatch.setattr(_native, "page_runs", refuse)
    given = [row(1, 2), row(5, 2, "reserved")]
    rows, unread = listing._by_sums(given, 7)
    assert rows == given
    assert [expected in reason for reason in unread] == [True]
