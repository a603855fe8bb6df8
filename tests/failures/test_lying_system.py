"""A system that says yes and does nothing: what was required is read back, and missed."""

import json
from typing import Any

import pytest

import faultinject
from children import succeed

pytestmark = pytest.mark.skipif(
    not faultinject.is_supported(), reason="fault injection needs Linux on x86_64 or aarch64"
)

#: The kernel answers these calls with success, without making them (seccomp(2), SECCOMP_RET_ERRNO with 0).
LIES = {
    "LOCKED": 'deny("mlock", 0)',
    "NO_DUMP": 'deny("madvise", 0, arg_equals=(2, 16))',
    "NOT_IN_CHILD": 'deny("madvise", 0, arg_equals=(2, 10))',
}
FLAG = {"LOCKED": "lo", "NO_DUMP": "dd", "NOT_IN_CHILD": "dc"}
START = """
from faultinject import deny
import warnings
warnings.simplefilter("always")
told = dict(read=0)
def count(event, arguments):
    told["read"] += event == "open" and arguments[0] == "/proc/self/smaps"
sys.addaudithook(count)
def make(**fields):
    with warnings.catch_warnings(record=True) as caught:
        try:
            buffer = LockedBuffer(32, backing="locked", policy=Policy(**fields) if fields else None, isolated=True)
        except StrongroomError as error:
            return f"{type(error).__name__}: {error}"
    return [str(one.message) for one in caught]
"""


def told(code: str) -> dict[str, Any]:
    """Return what the code put into ``told``."""
    result: dict[str, Any] = json.loads(succeed(f"{START}\n{code}\nprint(json.dumps(told))"))
    return result


@pytest.mark.parametrize("name", LIES)
def test_by_default_no_buffer_is_made(name: str) -> None:
    """The error names the guarantee and what the kernel's listing lacks; the next try is no different."""
    got = told(f"{LIES[name]}\ntold['errors'] = [make(), make()]\ntold['locked'] = observed.status_size('VmLck')")
    for error in got["errors"]:
        assert error.startswith("UnsupportedError: this system did not do what it said it did.")
        assert f"{name}: /proc/self/smaps" in error
        assert f"lacks {FLAG[name]}" in error
    assert got["locked"] == 0


@pytest.mark.parametrize("name", LIES)
def test_what_is_not_required_may_be_a_lie(name: str) -> None:
    """Only what the policy names decides."""
    others = sorted(LIES.keys() - {name})
    assert told(f"{LIES[name]}\ntold['got'] = make(require={others!r})")["got"] == []


def test_warn_and_allow_decide_as_for_a_refusal() -> None:
    """Each buffer warns of what it goes without, or none does."""
    got = told(f"""
{LIES["LOCKED"]}
told["warn"] = [make(on_shortfall="warn"), make(on_shortfall="warn")]
told["allow"] = make(on_shortfall="allow")
""")
    assert got["warn"] == [["this buffer goes without LOCKED"]] * 2
    assert got["allow"] == []


@pytest.mark.parametrize("lacks", ["", 'deny("memfd_secret", errno.ENOSYS)'], ids=["all calls", "no secret memory"])
def test_nobody_takes_pages_for_each_that_goes_without(lacks: str) -> None:
    """Where the lock is not done, and need not be, buffers share pages as ever, also where these are second choice."""
    got = told(f"""
{LIES["LOCKED"]}
{lacks}
kept = [LockedBuffer(32, policy=Policy(on_shortfall="allow")) for _ in range(40)]
told["arenas"] = len(strongroom.stats().arenas)
""")
    assert got["arenas"] <= 2


def test_first_reads_once_for_a_recipe(has_secretmem: bool) -> None:
    """The first buffer of a kind is read back, the next hundred are not; another kind is read by itself."""
    got = told("""
for _ in range(100):
    assert make() == []
told["locked"] = told["read"]
try:
    LockedBuffer(32, backing="secretmem", isolated=True), LockedBuffer(32, backing="secretmem", isolated=True)
    told["both"] = told["read"]
except UnsupportedError:
    told["both"] = told["read"]
assert make(require=["LOCKED"]) == []
told["required less"] = told["read"]
assert make(require=["LOCKED", "NO_MERGE"]) == []
told["required more"] = told["read"]
""")
    assert (got["locked"], got["both"]) == (1, 1 + has_secretmem)
    assert got["required less"] == got["both"]
    assert got["required more"] == got["both"] + 1


def test_a_system_that_starts_to_lie_is_noticed_by_each() -> None:
    """``first`` trusts what it has seen once, ``each`` does not: that is the difference that is paid for."""
    got = told(f"""
assert make() == []
{LIES["LOCKED"]}
told["first"] = make()
told["each"] = [make(verify="each"), make(verify="each", on_shortfall="warn")]
""")
    assert got["first"] == []
    assert got["each"][0].startswith("UnsupportedError: this system did not do what it said it did. LOCKED")
    assert got["each"][1] == ["this buffer goes without LOCKED"]


def test_each_reads_every_time() -> None:
    """One reading for each buffer; what is contradicted is read once more before it is believed."""
    got = told(f"""
for _ in range(5):
    assert make(verify="each") == []
told["honest"] = told["read"]
{LIES["LOCKED"]}
make(verify="each")
told["lying"] = told["read"] - told["honest"]
""")
    assert (got["honest"], got["lying"]) == (5, 2)


def test_without_a_listing_the_calls_are_believed() -> None:
    """No /proc: nothing contradicts, so a buffer is made, and its guarantees are only requested."""
    got = told("""
deny("openat", errno.ENOENT)
told["got"] = [make(), make(verify="each")]
told["states"] = sorted({one.state for one in LockedBuffer(32, backing="locked", isolated=True).guarantees().values()})
""")
    assert got["got"] == [[], []]
    assert "verified" not in got["states"]


def test_the_sealing_key_and_rooms_are_read_back_too() -> None:
    """They are buffers that nobody names a policy for: a secret is not made where the system lies."""
    got = told(f"""
from strongroom.buffers import planning
planning.power.can_hibernate = lambda: True
{LIES["LOCKED"]}
try:
    Secret.random(32)
    told["got"] = "made"
except UnsupportedError as error:
    told["got"] = str(error)
""")
    assert "LOCKED" in got["got"]
