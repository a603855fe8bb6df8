"""Evidence that was read back holds until a fork, and what is remembered of it no longer."""

from collections.abc import Iterator

import pytest

from strongroom import Evidence, Guarantees, _native
from strongroom import guarantees as words
from strongroom.buffers import evidence


class Witness:
    """Say whether evidence is current, until told otherwise."""

    is_current = True

    def __call__(self) -> bool:
        return self.is_current


def test_verified_is_requested_once_it_is_outdated() -> None:
    """State, source, table and equality follow at once; the time stays that of the reading."""
    witness = Witness()
    one = Evidence(words.VERIFIED, "VmFlags has lo", 7.0, witness)
    table = Guarantees(LOCKED=one)
    assert (one.state, one.source) == (words.VERIFIED, "VmFlags has lo")
    assert one == Evidence(words.VERIFIED, "VmFlags has lo", 7.0)
    witness.is_current = False
    assert (one.state, one.time) == (words.REQUESTED, 7.0)
    assert "before a fork" in one.source
    assert "VmFlags has lo" in one.source
    assert str(table).split()[:2] == ["LOCKED", "requested"]
    assert one != Evidence(words.VERIFIED, "VmFlags has lo", 7.0)
    assert "verified" not in repr(one)


@pytest.mark.parametrize("state", [words.REQUESTED, words.UNAVAILABLE, words.REFUSED])
def test_what_was_not_verified_stays_what_it_was(state: str) -> None:
    """A fork makes no refusal better and no request worse."""
    witness = Witness()
    witness.is_current = False
    one = Evidence(state, "a call", 1.0, witness)
    assert (one.state, one.source) == (state, "a call")


def test_evidence_without_a_witness_is_a_record() -> None:
    """Made by hand or from a report, it says what it was given."""
    assert Evidence(words.VERIFIED, "a report", 1.0).state == words.VERIFIED


def test_a_hash_lasts() -> None:
    """In a set, evidence is found again after it was outdated."""
    witness = Witness()
    one = Evidence(words.VERIFIED, "VmFlags has lo", 7.0, witness)
    kept = {one}
    witness.is_current = False
    assert one in kept


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Stand in for the count of forks; afterwards nothing of the test is remembered."""
    count = [3]
    monkeypatch.setattr(_native, "forks", lambda: count[0])
    yield count
    for key in (-1, -2):
        evidence.forget(key)


class Reader:
    """Read back something new each time, and count."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Guarantees:
        self.times += 1
        return Guarantees(LOCKED=Evidence(words.VERIFIED, "a listing", float(self.times)))


def test_what_was_read_is_remembered_by_key(forks: list[int]) -> None:
    """One reading for any number of questions, each arena for itself."""
    one, other = Reader(), Reader()
    assert [evidence.recall(-1, one)["LOCKED"].time for _ in range(3)] == [1.0] * 3
    evidence.recall(-2, other)
    assert (one.times, other.times) == (1, 1)


def test_a_fork_makes_it_read_anew(forks: list[int]) -> None:
    """The first question after a fork reads, and forgets what else was read before it."""
    reader, other = Reader(), Reader()
    evidence.recall(-1, reader)
    evidence.recall(-2, other)
    forks[0] += 1
    assert evidence.recall(-1, reader)["LOCKED"].time == 2.0
    assert -2 not in evidence._remembered
    evidence.recall(-1, reader)
    assert reader.times == 2


def test_a_fork_while_it_is_read_makes_it_outdated(forks: list[int]) -> None:
    """What a fork overtook is not remembered as what was read after it."""
    reader = Reader()

    def overtaken() -> Guarantees:
        forks[0] += 1
        return reader()

    evidence.recall(-1, overtaken)
    evidence.recall(-1, reader)
    assert reader.times == 2


def test_forgetting_makes_it_read_anew(forks: list[int]) -> None:
    """An arena that is gone, or changed, leaves nothing behind; forgetting twice is fine."""
    reader = Reader()
    evidence.recall(-1, reader)
    evidence.forget(-1)
    evidence.forget(-1)
    evidence.recall(-1, reader)
    assert reader.times == 2


def test_a_reading_that_fails_is_not_remembered(forks: list[int]) -> None:
    """The error reaches whoever asked, and the next one reads."""

    def failing() -> Guarantees:
        raise OSError("no /proc")

    with pytest.raises(OSError, match="no /proc"):
        evidence.recall(-1, failing)
    reader = Reader()
    evidence.recall(-1, reader)
    assert reader.times == 1


def test_what_was_given_out_can_be_changed(forks: list[int]) -> None:
    """A caller that adds to its copy changes nobody else's."""
    reader = Reader()
    del evidence.recall(-1, reader)["LOCKED"]
    assert "LOCKED" in evidence.recall(-1, reader)
