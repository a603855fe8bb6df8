"""What a Policy takes and refuses, and how a plan follows from it."""

import os
from pathlib import Path

import pytest

from strongroom import LockedBuffer, Policy, UnsupportedError, guarantees
from strongroom._os import PLATFORM, power
from strongroom.buffers import planning
from strongroom.exceptions import NO_SUCH_CALL

#: An absolute path, here.
PLACE = os.path.abspath(os.sep)


def test_defaults() -> None:
    """Nothing named means the kind's own default, a shortfall raises at once, and hibernation is left alone."""
    plain = Policy()
    fields = (plain.require, plain.on_shortfall, plain.wait_seconds, plain.verify, plain.hibernation)
    assert fields == (None, "raise", 0, "first", "allow")
    assert (plain.fallback, plain.directory) == ((), None)


def test_equal_policies_are_equal_and_hash_alike() -> None:
    """Order does not matter; another word does."""
    one, other = Policy(require=["LOCKED", "NO_DUMP"]), Policy(require={"NO_DUMP", "LOCKED"})
    assert one == other
    assert hash(one) == hash(other)
    assert one != Policy(require={"LOCKED"})
    assert one != "LOCKED"
    assert repr(one) == (
        "Policy(require=['LOCKED', 'NO_DUMP'], on_shortfall='raise', wait_seconds=0.0, verify='first', "
        "hibernation='allow', fallback=(), directory=None)"
    )
    assert eval(repr(one)) == one


OTHER = {
    "require": {"LOCKED"},
    "on_shortfall": "warn",
    "wait_seconds": 0.25,
    "verify": "each",
    "hibernation": "block",
    "fallback": ("volatile",),
    "directory": PLACE,
}


@pytest.mark.parametrize("field", OTHER)
def test_each_field_counts(field: str) -> None:
    """Two policies that differ in one field are two, and each field can be read back."""
    policy = Policy(**{field: OTHER[field]})  # type: ignore[arg-type]
    assert getattr(policy, field) == OTHER[field]
    assert policy != Policy()
    assert len({policy, Policy(), Policy(**{field: OTHER[field]})}) == 2  # type: ignore[arg-type]
    assert f"{field}=" in repr(policy)


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


@pytest.mark.parametrize(("field", "words"), [("verify", "first, each"), ("hibernation", "allow, block")])
def test_the_other_words_are_checked_too(field: str, words: str) -> None:
    """The message names the field and lists its words."""
    with pytest.raises(ValueError, match=f"{field} must be one of {words}, not 'never'"):
        Policy(**{field: "never"})  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [-1, -0.001, float("nan"), float("inf"), 10**400])
def test_a_time_to_wait_is_finite_and_not_negative(seconds: float) -> None:
    """Waiting for ever is no policy: a deadline is what keeps two waiters from hanging a program."""
    with pytest.raises(ValueError, match=r"wait_seconds must be from 0 .* finite"):
        Policy(wait_seconds=seconds)


@pytest.mark.parametrize("seconds", [None, "2", True, [1]])
def test_a_time_to_wait_is_a_number(seconds: object) -> None:
    """The message names the field and the type, not the value."""
    with pytest.raises(TypeError, match=f"wait_seconds must be a number of seconds, not {type(seconds).__name__}"):
        Policy(wait_seconds=seconds)  # type: ignore[arg-type]


@pytest.mark.parametrize("fallback", ["file", b"file", {"file"}, None, 3])
def test_a_fallback_has_an_order(fallback: object) -> None:
    """A set has none, and a bare string is a typing mistake: TypeError says what it is to be."""
    with pytest.raises(TypeError, match=r"fallback must be a tuple of words .* such as \('volatile',\), not "):
        Policy(fallback=fallback)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fallback", "why"),
    [(("disk",), "'disk'"), ([""], "''"), ([["file"]], r"\['file'\]"), (("file", "volatile", "file"), "'file' twice")],
)
def test_unknown_fallbacks_are_refused(fallback: object, why: str) -> None:
    """The message says which word it is; twice the same is a mistake too."""
    with pytest.raises(ValueError, match=f"fallback .*{why}"):
        Policy(fallback=fallback, directory=PLACE)  # type: ignore[arg-type]


def test_what_makes_no_sense_together() -> None:
    """Files need a place, and no fallback gives what LOCKED by name demands; an empty one goes with anything."""
    with pytest.raises(ValueError, match="fallback 'file' needs directory="):
        Policy(fallback=("volatile", "file"))
    with pytest.raises(ValueError, match="require names LOCKED, which no fallback gives"):
        Policy(fallback=("volatile",), require={"LOCKED", "NO_DUMP"})
    assert Policy(fallback=[], require={"LOCKED"}).fallback == ()
    assert Policy(fallback=["file", "volatile"], directory=PLACE).fallback == ("file", "volatile")


@pytest.mark.parametrize("place", [PLACE, os.fsencode(PLACE), Path(PLACE)])
def test_a_directory_is_any_kind_of_absolute_path(place: "str | bytes | Path") -> None:
    """It is kept as text, so that equal ones are equal."""
    assert Policy(directory=place) == Policy(directory=PLACE)
    assert Policy(directory=place).directory == PLACE


@pytest.mark.parametrize("place", ["", "here", "./here", b"here", PLACE + "a\0b"])
def test_a_directory_that_is_none_is_refused(place: "str | bytes") -> None:
    """A relative one would be another place after each chdir: the message shows it."""
    with pytest.raises(ValueError, match="directory must be an absolute path, not '"):
        Policy(directory=place)


@pytest.mark.parametrize("place", [3, ["/"], object()])
def test_a_directory_of_another_type_is_refused(place: object) -> None:
    """The message names the field and the type."""
    with pytest.raises(TypeError, match=f"directory must be a path or None, not {type(place).__name__}"):
        Policy(directory=place)  # type: ignore[arg-type]


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
    monkeypatch.setattr(power, "can_hibernate", lambda: True)
    if PLATFORM != "linux":
        pytest.skip("secret memory needs Linux")
    assert planning.plan(32, "auto", None, None)[0] is False
    assert planning.plan(32, "auto", None, Policy(require={"NO_MIGRATION"}))[:2] == (True, False)
    monkeypatch.setattr(power, "can_hibernate", lambda: False)
    assert planning.plan(32, "auto", None, None)[:2] == (True, True)
    assert planning.plan(planning.SMALL_MAX_SIZE + 1, "auto", None, None)[0] is False


BLOCK = Policy(hibernation="block")


@pytest.mark.skipif(PLATFORM != "linux", reason="secret memory needs Linux")
@pytest.mark.parametrize("size", [32, planning.SMALL_MAX_SIZE + 1])
def test_blocking_hibernation_takes_secret_memory_of_any_size(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Only that keeps the machine awake, so nothing may stand in for it; where it cannot hibernate nothing changes."""
    monkeypatch.setattr(power, "can_hibernate", lambda: True)
    assert planning.plan(size, "auto", None, Policy())[0] is False
    assert planning.plan(size, "auto", None, BLOCK)[:2] == (True, False)
    assert planning.plan(size, "auto", None, Policy(hibernation="block", on_shortfall="allow"))[:2] == (True, True)
    with pytest.raises(UnsupportedError, match=r"NEVER_WRITTEN.*hibernation='block'"):
        planning.plan(size, "locked", None, BLOCK)
    monkeypatch.setattr(power, "can_hibernate", lambda: False)
    assert planning.plan(size, "auto", None, BLOCK)[:2] == (size <= planning.SMALL_MAX_SIZE, True)
    assert planning.plan(size, "locked", None, BLOCK)[0] is False


@pytest.mark.skipif(PLATFORM == "linux", reason="about systems without secret memory")
def test_blocking_hibernation_is_a_shortfall_elsewhere() -> None:
    """No other system has memory that keeps the machine from hibernating: it is said, not skipped."""
    with pytest.raises(UnsupportedError, match="hibernation='block'"):
        LockedBuffer(32, policy=BLOCK)


def test_the_backing_is_decided_anew_for_each_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer about hibernation outlives the decision that it was asked for (but for the second in power)."""
    if PLATFORM != "linux":
        pytest.skip("secret memory needs Linux")
    answers = iter([True, False, True])
    monkeypatch.setattr(power, "can_hibernate", lambda: next(answers))
    assert [planning.plan(32, "auto", None, None)[0] for _ in range(3)] == [False, True, False]


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
