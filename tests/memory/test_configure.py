"""What holds where a call names no policy: the program's word, the operator's, and when it is too late for either."""

import json
from typing import Any

import pytest

import needs
from children import run, succeed

#: At a lock limit that leaves nothing, what a buffer's maker gets shows which policy held.
START = """
import warnings
warnings.simplefilter("always")
told = {}
def fill():
    children.limit_locks(64 << 10)
    global kept
    plain, kept = Policy(), []
    try:
        while True:
            kept.append(LockedBuffer(32, backing="locked", policy=plain, isolated=True))
    except LockLimitError:
        pass
def outcome(**options):
    with warnings.catch_warnings(record=True) as caught:
        try:
            LockedBuffer(32, backing="locked", **options, isolated=True)
        except StrongroomError as error:
            return type(error).__name__
    return "warned" if caught else "made"
def settled(attempt):
    try:
        attempt()
    except SettledError as error:
        return "once" in str(error)
    return False
"""


def told(code: str, variable: str | None = None) -> dict[str, Any]:
    """Run code under the operator's variable, and return what it put into ``told``."""
    env = None if variable is None else {"STRONGROOM_POLICY": variable}
    result: dict[str, Any] = json.loads(succeed(f"{START}\n{code}\nprint(json.dumps(told))", env=env))
    return result


RAISE, WARN, ALLOW = "LockLimitError", "warned", "made"


@pytest.mark.parametrize(
    ("configured", "variable", "called", "expected"),
    [
        (None, None, None, RAISE),
        ("allow", None, None, ALLOW),
        (None, "on_shortfall=allow", None, ALLOW),
        (None, None, "allow", ALLOW),
        ("allow", "on_shortfall=warn", None, WARN),  # the operator before the program
        ("allow", "on_shortfall=warn", "raise", RAISE),  # the call before both
        ("warn", None, "allow", ALLOW),
        (None, "on_shortfall=allow", "warn", WARN),
        ("warn", "wait_seconds=0.1", None, WARN),  # a field that the operator does not name stays the program's
        ("warn", "", None, WARN),
    ],
)
def test_who_is_heard_first(configured: str | None, variable: str | None, called: str | None, expected: str) -> None:
    """The call, then the operator field by field, then the program, then the default."""
    code = "" if configured is None else f"configure(policy=Policy(on_shortfall={configured!r}))\n"
    options = "" if called is None else f"policy=Policy(on_shortfall={called!r})"
    assert told(f"{code}fill()\ntold['got'] = outcome({options})", variable)["got"] == expected


def test_secrets_follow_it_too() -> None:
    """The key and the rooms have no policy of their own: with the program's they are made unlocked, and it is said."""
    got = told("""
configure(policy=Policy(on_shortfall="warn"))
fill()
with warnings.catch_warnings(record=True) as caught:
    secret = Secret.random(8)
told["key and room"] = [str(one.message) for one in caught]
with secret.open() as view:
    told["locked"] = "lo" in mapping_at(address_of(view)).flags
""")
    assert got["key and room"] == ["this buffer goes without LOCKED"] * 2
    assert got["locked"] is False


FIRST_USES = {
    "a buffer": "LockedBuffer(1, isolated=True)",
    "a buffer with a policy": "LockedBuffer(1, policy=Policy(), isolated=True)",
    "a secret": "Secret.random(1)",
}


@pytest.mark.parametrize("what", FIRST_USES)
def test_after_the_first_use_it_is_too_late(what: str) -> None:
    """A clear error and no change; what needs no policy can still be set."""
    got = told(f"""
{FIRST_USES[what]}
told["settled"] = settled(lambda: configure(policy=Policy(on_shortfall="allow")))
configure(raise_lock_limit=False)
fill()
told["got"] = outcome()
""")
    assert got["settled"] is True
    assert got["got"] == RAISE


def test_a_policy_is_configured_once() -> None:
    """The second one, be it the same, is an error, and the first holds: nobody's rule is replaced behind their back."""
    got = told("""
mine = Policy(on_shortfall="warn")
configure(policy=mine)
told["same"] = settled(lambda: configure(policy=mine))
told["other"] = settled(lambda: configure(policy=Policy()))
fill()
told["got"] = outcome()
""")
    assert (got["same"], got["other"], got["got"]) == (True, True, WARN)


def test_looking_around_settles_nothing() -> None:
    """Importing, making a Policy and asking for limits are no first use, nor are regions, which follow no policy."""
    got = told("""
from strongroom import vm
vm.lock_limit(); Policy(); vm.reserve(1).release(); purge()
configure(policy=Policy(on_shortfall="allow"))
fill()
told["got"] = outcome()
""")
    assert got["got"] == ALLOW


@needs.fork
def test_a_child_inherits_what_holds() -> None:
    """Settled in the parent is settled in its children."""
    got = told("""
configure(policy=Policy(on_shortfall="warn"))
LockedBuffer(1, isolated=True)
told["child"] = children.forked(lambda: settled(lambda: configure(policy=Policy())))
""")
    assert got["child"] == "True"


@pytest.mark.parametrize("what", FIRST_USES)
def test_a_malformed_variable_is_an_error_at_first_use(what: str) -> None:
    """It names the variable, the word and what is known, each time; importing and looking around are not disturbed."""
    result = run(
        f"""
        from strongroom import vm
        vm.lock_limit()
        for _ in range(2):
            try:
                {FIRST_USES[what]}
                print("made")
            except ValueError as error:
                print(error)
        """,
        env={"STRONGROOM_POLICY": "wait_seconds=1 on_shortfal=warn"},
    )
    assert result.code == 0, result
    for line in (lines := result.out.splitlines()):
        for word in ("STRONGROOM_POLICY", "'on_shortfal=warn'", "on_shortfall=raise|warn|allow", "require=NAME,NAME"):
            assert word in line
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("arguments", "name"),
    [("policy='warn'", "policy"), ("policy=Policy", "policy"), ("raise_lock_limit=1", "raise_lock_limit")],
)
def test_other_arguments_are_checked(arguments: str, name: str) -> None:
    """A TypeError that names the argument, and nothing is configured by it."""
    got = told(f"""
try:
    configure({arguments})
except TypeError as error:
    told["error"] = str(error)
configure(policy=Policy(on_shortfall="allow"))
""")
    assert name in got["error"]


RAISED = """
children.limit_locks(128 << 10)
import resource
from strongroom import vm
resource.setrlimit(resource.RLIMIT_MEMLOCK, (64 << 10, 128 << 10))
def made():
    kept = []
    try:
        while len(kept) < 64: kept.append(LockedBuffer(32, backing="locked", isolated=True))
    except LockLimitError as error:
        told.setdefault("error", str(error))
    return len(kept)
told["before"] = made()
{how}
told["after"] = made()
told["system"] = resource.getrlimit(resource.RLIMIT_MEMLOCK)
told["limit"] = vm.lock_limit()[:2]
"""


@needs.unix
def test_the_lock_limit_is_raised_on_request() -> None:
    """To the hard limit and no further, also after the first buffer, as often as one likes; the system says so."""
    got = told(RAISED.format(how="configure(raise_lock_limit=True); configure(raise_lock_limit=True)"))
    assert (got["before"], got["after"]) == (16, 32)
    assert got["system"] == got["limit"] == [128 << 10, 128 << 10]
    assert (
        "raise its own limit from 65,536 bytes to 131,072 bytes: strongroom.configure(raise_lock_limit=True)"
        in (got["error"])
    )


@needs.unix
def test_and_never_without() -> None:
    """The control: configuring something else leaves the limit alone."""
    got = told(RAISED.format(how="configure(); configure(raise_lock_limit=False)"))
    assert (got["before"], got["after"]) == (16, 16)
    assert got["system"] == got["limit"] == [64 << 10, 128 << 10]


@needs.linux
@pytest.mark.parametrize(("variable", "expected"), [(None, "locked"), ("hibernation=block", "secretmem")])
def test_the_operator_may_keep_the_machine_awake(variable: str | None, expected: str, has_secretmem: bool) -> None:
    """On a machine that may hibernate buffers and rooms are locked memory, unless hibernation is to be blocked."""
    if not has_secretmem:
        pytest.skip("no secret memory: needs Linux 6.5, or 5.14 booted with secretmem.enable=1")
    got = told(
        """
from strongroom._os import power
power.can_hibernate = lambda: True
buffer = LockedBuffer(32, isolated=True)
told["backing"] = buffer.backing
with Secret.random(8).open() as view:
    told["room"] = mapping_at(address_of(view)).path
""",
        variable,
    )
    assert got["backing"] == expected
    assert ("secretmem" in got["room"]) == (expected == "secretmem")


def test_one_call_changes_nobody_elses_policy() -> None:
    """A buffer made under the plain policy, by the call's own wish, does not undo what was configured for all."""
    out = succeed("""
        from strongroom.policy import PLAIN
        configure(policy=Policy(require={"LOCKED", "GUARDED"}))
        print(LockedBuffer(32).is_isolated)
        for _ in range(3):
            print(LockedBuffer(32, policy=PLAIN).is_isolated, LockedBuffer(32).is_isolated)
    """)
    assert out.split() == ["True"] + ["False", "True"] * 3
