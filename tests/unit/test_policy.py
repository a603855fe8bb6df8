"""What a Policy takes and refuses, and how a plan follows from it."""

import pytest

from strongroom import LockedBuffer, Policy, UnsupportedError, guarantees
from strongroom._os import PLATFORM
from strongroom.buffers import planning
from strongroom.exceptions import NO_SUCH_CALL


def test_defaults() -> None:
    """Nothing named means the kind's own default, and a shortfall raises."""
    assert (Policy().require, Policy().on_shortfall) == (None, "raise")


def test_equal_policies_are_equal_and_hash_alike() -> None:
    """Order does not matter; another word does."""
    one, other = Policy(require=["LOCKED", "NO_DUMP"]), Policy(require={"NO_DUMP", "LOCKED"})
    assert one == other
    assert hash(one) == hash(other)
    assert one != Policy(require={"LOCKED"})
    assert one != "LOCKED"
    assert repr(one) == "Policy(require=['LOCKED', 'NO_DUMP'], on_shortfall='raise')"


@pytest.mark.parametrize("require", ["LOCKED", {"LOCKD"}, ["locked"]])
def test_unknown_guarantees_are_refused(require: object) -> None:
    """A typing mistake must not weaken the policy, and a bare string is one."""
    with pytest.raises(ValueError, match="guarantee"):
        Policy(require=require)  # type: ignore[arg-type]


@pytest.mark.parametrize("word", ["ignore", "", "RAISE"])
def test_unknown_words_for_a_shortfall_are_refused(word: str) -> None:
    """The message lists the words there are."""
    with pytest.raises(ValueError, match="raise, warn, allow"):
        Policy(on_shortfall=word)


def test_a_policy_does_not_change() -> None:
    """It may be shared between threads and buffers."""
    with pytest.raises(AttributeError):
        Policy().require = frozenset()  # type: ignore[misc]


#: What ordinary locked memory has on Linux and not here, and the word that says so.
LACKING = (
    {"NO_DUMP": "MADV_DONTDUMP", "NO_MERGE": "MADV_UNMERGEABLE", "CLOSED_AT_REST": "CLOSED_AT_REST"}
    if PLATFORM == "windows"
    else {}
)


@pytest.mark.parametrize("name", sorted(guarantees.ALL))
def test_locked_memory_that_cannot_have_a_guarantee_refuses_before_it_is_made(name: str) -> None:
    """What the locked backing never has is an UnsupportedError naming it; the rest is made."""
    policy = Policy(require={name})
    if name in {"UNREADABLE_BY_OTHERS", "NO_MIGRATION", "NEVER_WRITTEN", "FIXED_LAYOUT"} | LACKING.keys():
        with pytest.raises(UnsupportedError, match=LACKING.get(name, name)):
            LockedBuffer(32, backing="locked", policy=policy)
    else:
        with LockedBuffer(32, backing="locked", policy=policy) as buffer:
            told = {"verified"} if PLATFORM == "linux" else {"verified", "requested"}
            assert buffer.guarantees()[name].state in told


def test_what_only_secret_memory_has_decides_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    """A required guarantee beats the machine's ability to hibernate, and forbids the fall back."""
    monkeypatch.setattr(planning, "_can_hibernate", True)
    if PLATFORM != "linux":
        pytest.skip("secret memory needs Linux")
    assert planning.plan(32, "auto", None, None)[0] is False
    assert planning.plan(32, "auto", None, Policy(require={"NO_MIGRATION"}))[:2] == (True, False)
    monkeypatch.setattr(planning, "_can_hibernate", False)
    assert planning.plan(32, "auto", None, None)[:2] == (True, True)
    assert planning.plan(planning.SMALL_MAX_SIZE + 1, "auto", None, None)[0] is False


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"backing": "file"}, ValueError),
        ({"backing": None}, TypeError),
        ({"isolated": 1.5}, TypeError),
        ({"policy": "warn"}, TypeError),
    ],
)
def test_other_arguments_are_checked(arguments: dict[str, object], error: type[Exception]) -> None:
    """The message names the argument."""
    with pytest.raises(error, match=next(iter(arguments))):
        LockedBuffer(32, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("call", ["memfd_secret", "madvise(MADV_DONTDUMP)"])
def test_a_call_that_this_system_lacks_is_unsupported(call: str) -> None:
    """Not a failed call: there is none to fail, whether as a backing or for a required guarantee."""
    refusal = planning.refusal(call, NO_SUCH_CALL, False, 4096)
    assert isinstance(refusal, UnsupportedError)
    assert call in str(refusal)
