"""Evidence that was read back holds until a fork, and what is remembered of it no longer."""

import pytest

from strongroom import Evidence, Guarantees
from strongroom import guarantees as words


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
