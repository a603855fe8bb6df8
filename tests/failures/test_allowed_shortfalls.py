"""Policy "allow" and "warn": the buffer is made without what the system refuses, and says so."""

import json
from typing import Any

import pytest

import faultinject
from children import succeed

pytestmark = pytest.mark.skipif(
    not faultinject.is_supported(), reason="fault injection needs Linux on x86_64 or aarch64"
)

REFUSALS = {
    "LOCKED": 'deny("mlock", errno.ENOMEM)',
    "NO_DUMP": 'deny("madvise", errno.EINVAL, arg_equals=(2, 16))',
    "NOT_IN_CHILD": 'deny("madvise", errno.EINVAL, arg_equals=(2, 10))',
}
MAKE = """
from faultinject import deny
import warnings
LockedBuffer(1, isolated=True)
{deny}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    buffer = LockedBuffer(32, backing="locked", policy=Policy(on_shortfall={word!r}), isolated=True)
    line = sys._getframe().f_lineno - 1
with buffer.open("rw") as view:
    view[:] = b"u" * 32
    flags = mapping_at(address_of(view)).flags
got = buffer.guarantees()
told = dict(
    states={{name: evidence.state for name, evidence in got.items()}},
    sources={{name: evidence.source for name, evidence in got.items()}},
    warnings=[(type(one.message).__name__, str(one.message), one.lineno == line) for one in caught],
    flags=sorted({{"lo", "dd", "dc"}} & flags),
)
{more}
print(json.dumps(told))
"""
FLAG = {"LOCKED": "lo", "NO_DUMP": "dd", "NOT_IN_CHILD": "dc"}


def made(deny: str, word: str, more: str = "") -> dict[str, Any]:
    """Return what a buffer made under a refusal says of itself, and what the kernel says."""
    told: dict[str, Any] = json.loads(succeed(MAKE.format(deny=deny, word=word, more=more)))
    return told


@pytest.mark.parametrize("name", REFUSALS)
def test_what_was_refused_shows_and_the_rest_holds(name: str) -> None:
    """One step refused: that guarantee says ``refused`` with the call, the kernel agrees, the others are verified."""
    told = made(REFUSALS[name], "allow")
    assert told["states"][name] == "refused"
    assert ("mlock" if name == "LOCKED" else "madvise") in told["sources"][name]
    for other in set(REFUSALS) - {name}:
        assert told["states"][other] == "verified"
    assert set(told["flags"]) == {flag for other, flag in FLAG.items() if other != name}
    assert told["warnings"] == []


@pytest.mark.parametrize("name", REFUSALS)
def test_warn_says_it_once_at_the_callers_line(name: str) -> None:
    """A StrongroomWarning that names the guarantee, filed under the line that made the buffer."""
    assert made(REFUSALS[name], "warn")["warnings"] == [["StrongroomWarning", f"this buffer goes without {name}", True]]


def test_everything_refused_at_once() -> None:
    """Still guarded and closed at rest: that is layout, which no call can refuse."""
    more = """
address = address_of(buffer.open("rw").__enter__())
told["guards"] = [protection_at(address + 32), protection_at(address // 4096 * 4096 - 1)]
"""
    everything = (
        "\n".join(REFUSALS.values())
        + """
deny("madvise", errno.EINVAL, arg_equals=(2, 15)); deny("madvise", errno.EINVAL, arg_equals=(2, 13))"""
    )
    told = made(everything, "allow", more)
    assert {name for name, state in told["states"].items() if state == "refused"} == set(REFUSALS)
    assert told["guards"] == ["---", "---"]
    assert (told["states"]["GUARDED"], told["states"]["CLOSED_AT_REST"]) == ("verified", "verified")


def test_memory_that_stays_in_a_child_is_emptied_there() -> None:
    """NOT_IN_CHILD refused and allowed: the at-fork handler takes the content out of the child all the same."""
    more = """
with buffer.open("rw") as view:
    address = address_of(view)
told["child"] = children.forked(lambda: protection_at(address))
with buffer.open() as view:
    told["parent"] = bytes(view).decode()
"""
    told = made(REFUSALS["NOT_IN_CHILD"], "allow", more)
    assert told["child"] in ("---", "gone")
    assert told["parent"] == "u" * 32


def test_raise_is_the_default() -> None:
    """Control: without a policy the same refusals are errors."""
    for name, deny in REFUSALS.items():
        out = succeed(f"""
            from faultinject import deny
            LockedBuffer(1, isolated=True)
            {deny}
            try:
                LockedBuffer(32, backing="locked", isolated=True)
                print("made")
            except SystemCallError as error:
                print(error.call)
        """)
        assert out.split()[0].startswith("mlock" if name == "LOCKED" else "madvise")
