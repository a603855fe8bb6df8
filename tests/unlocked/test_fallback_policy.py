"""Where a fallback comes from, what a policy with one still requires, and what it never gives in to."""

from pathlib import Path

import pytest

import needs
from without_locks import limited

pytestmark = needs.linux


def test_the_operators_words(tmp_path: Path) -> None:
    """STRONGROOM_POLICY turns it on for a program that knows nothing of it."""
    told = limited(
        """
told["made"] = [backing(warned(lambda: LockedBuffer(size))) for size in (32, 5000)]
told["named"] = backing(warned(lambda: LockedBuffer(5000, policy=Policy())))
""",
        tmp_path,
        env={"STRONGROOM_POLICY": f"fallback=volatile,file directory={tmp_path}"},
    )
    made, named = told["made"], told["named"]
    assert isinstance(made, list)
    assert made[0] in ("droppable", "partial")
    assert made[1] == "file"
    assert named == "LockLimitError"


WRONG = {
    "fallback=file": "fallback 'file' needs directory=",
    "fallback=volatile require=LOCKED": "require names LOCKED, which no fallback gives",
    "fallback=disk": "cannot take 'fallback=disk'",
    "directory=here": "cannot take 'directory=here'",
}


@pytest.mark.parametrize("text", WRONG)
def test_the_operators_mistakes_name_the_variable(tmp_path: Path, text: str) -> None:
    """ValueError at the first use, also where each word is right and together they are not; nothing is made."""
    told = limited(
        """
for _ in range(2):
    made = warned(lambda: LockedBuffer(32))
told["error"] = [type(made[0]).__name__, str(made[0])]
""",
        tmp_path,
        env={"STRONGROOM_POLICY": text},
    )
    kind, words = told["error"]
    assert kind == "ValueError"
    assert words.startswith("STRONGROOM_POLICY: ")
    assert WRONG[text] in words


def test_the_operators_words_and_the_programs_together(tmp_path: Path) -> None:
    """configure(policy=) has the fallback and the operator the place; or they contradict each other, which is said."""
    code = """
strongroom.configure(policy=Policy({program}))
made = warned(lambda: LockedBuffer(5000))
told["made"] = [backing(made), str(made[0]) if isinstance(made[0], Exception) else ""]
"""
    env = {"STRONGROOM_POLICY": f"fallback=file directory={tmp_path}"}
    assert limited(code.format(program="wait_seconds=0.01"), tmp_path, env=env)["made"] == ["file", ""]
    kind, words = limited(code.format(program="require={'LOCKED'}"), tmp_path, env=env)["made"]
    assert kind == "ValueError"
    assert words == "STRONGROOM_POLICY: require names LOCKED, which no fallback gives: leave out the one or the other"


def test_the_operator_requires_the_lock_that_the_programs_fallback_goes_without(tmp_path: Path) -> None:
    """The ValueError names the program's fallback and what switches it off; with these words the lock is required."""
    code = """
strongroom.configure(policy=policy("volatile", "file"))
made = warned(lambda: LockedBuffer(32))
told["made"] = [backing(made), str(made[0])]
"""
    kind, words = limited(code, tmp_path, env={"STRONGROOM_POLICY": "require=LOCKED"})["made"]
    assert kind == "ValueError"
    assert words.startswith("STRONGROOM_POLICY: require names LOCKED")
    assert "the program's own policy has fallback=volatile,file: fallback=none beside it switches that off" in words
    kind, words = limited(code, tmp_path, env={"STRONGROOM_POLICY": "fallback=none require=LOCKED"})["made"]
    assert kind == "LockLimitError"


def test_the_operator_switches_the_programs_off(tmp_path: Path) -> None:
    """fallback=none: what the program configured serves nobody any more; a policy of a call's own counts as ever.

    Control: without the variable the same program is served.
    """
    code = """
strongroom.configure(policy=policy("volatile", "file"))
made = warned(lambda: LockedBuffer(32))
told["made"] = [backing(made), made[1] == [], "NOT LOCKED" in repr(made[0])]
told["words"] = str(made[0]) if isinstance(made[0], Exception) else ""
told["own"] = backing(warned(lambda: LockedBuffer(32, policy=policy("file"))))
told["plain"] = str(warned(lambda: LockedBuffer(32, policy=Policy()))[0])
"""
    off = limited(code, tmp_path, env={"STRONGROOM_POLICY": "fallback=none"})
    assert off["made"] == ["LockLimitError", True, False]
    assert off["words"].endswith(
        "VolatileBuffer and FileBuffer need no lock. That one stands in is switched off here: STRONGROOM_POLICY has "
        "fallback=none, and only a policy that the call itself names comes before that."
    )
    assert "Policy(fallback=...)" not in off["words"]
    assert off["own"] == "file"
    assert "with backing='auto' Policy(fallback=...) lets them stand in" in off["plain"]
    backing, is_quiet, says_so = limited(code, tmp_path)["made"]
    assert (backing in ("droppable", "partial"), is_quiet, says_so) == (True, False, True)


@pytest.mark.parametrize("isolated", [True, False])
def test_without_the_fallback_the_programs_shortfall_decides(tmp_path: Path, isolated: bool) -> None:
    """With "allow" it is ordinary memory without a word, its evidence is true of that; raise beside none forbids it."""
    code = f"""
strongroom.configure(policy=policy("volatile", on_shortfall="allow"))
made = warned(lambda: LockedBuffer(32, isolated={isolated}))
told["made"] = [backing(made), made[1], repr(made[0])]
if backing(made) == "locked":
    told["found"] = {{name: [one.state, one.source] for name, one in made[0].guarantees().items()}}
    with made[0].open() as view:
        told["flags"] = sorted(mapping_at(address_of(view)).flags)
"""
    told = limited(code, tmp_path, env={"STRONGROOM_POLICY": "fallback=none"})
    shown = "<LockedBuffer 32 bytes, locked, closed, NOT LOCKED (the policy allowed it)>"
    assert told["made"] == ["locked", [], shown]
    assert "lo" not in told["flags"]
    state, source = told["found"]["LOCKED"]
    assert state == "refused"
    assert source.startswith("mlock: ")
    assert "The policy lets it go without: " in source
    assert "ulimit -l" in source
    state, source = told["found"]["NEVER_WRITTEN"]
    assert state == "unavailable"
    assert "not locked" in source
    assert not [name for name, (_, source) in told["found"].items() if "locked pages" in source]
    pair = limited(code, tmp_path, env={"STRONGROOM_POLICY": "fallback=none on_shortfall=raise"})
    assert pair["made"][:2] == ["LockLimitError", []]


def test_what_is_required_is_required_of_a_stand_in_too(tmp_path: Path) -> None:
    """A fallback that cannot give it is left out, and the error says of each what it lacks."""
    told = limited(
        """
def made(*names, fallback=("volatile", "file"), size=32):
    made = warned(lambda: LockedBuffer(size, isolated=True, policy=policy(*fallback, require=names)))
    return [backing(made), str(made[0]) if isinstance(made[0], Exception) else ""]
told["kept"] = made("NO_DUMP", "GUARDED", "CLOSED_AT_REST")[0]
told["never written"] = [made("NEVER_WRITTEN")[0], made("NEVER_WRITTEN", size=5000)]
""",
        tmp_path,
    )
    assert told["kept"] in ("droppable", "partial", "locked", "secretmem")
    first, (kind, words) = told["never written"]
    assert first in ("droppable", "partial", "LockLimitError", "SystemCallError", "UnsupportedError", "secretmem")
    assert kind in ("LockLimitError", "UnsupportedError", "SystemCallError", "secretmem"), words


def test_a_machine_that_may_hibernate(tmp_path: Path) -> None:
    """hibernation="block" wants secret memory and nothing else: no stand-in, and each is told to lack NEVER_WRITTEN."""
    told = limited(
        """
from strongroom._os import power
power.can_hibernate = lambda: True
made = warned(lambda: LockedBuffer(32, policy=policy("volatile", "file", hibernation="block")))
told["blocked"] = [backing(made), str(made[0]), made[1]]
made = warned(lambda: LockedBuffer(32, policy=policy("volatile", "file")))
told["allowed"] = [backing(made), made[0].guarantees()["NEVER_WRITTEN"].state]
power.can_hibernate = lambda: False
made = warned(lambda: LockedBuffer(32, policy=policy("volatile", "file", hibernation="block")))
told["cannot"] = backing(made)
""",
        tmp_path,
    )
    kind, words, warnings = told["blocked"]
    assert kind in ("LockLimitError", "UnsupportedError")
    assert warnings == []
    if kind == "LockLimitError":
        assert words.count("cannot give NEVER_WRITTEN") == 3
        assert words.count("hibernation='block' wants secret memory") == 3
    assert told["allowed"] in (["droppable", "requested"], ["partial", "requested"])
    assert told["cannot"] in ("droppable", "partial")


def test_each_one_is_read_back_where_the_policy_says_so(tmp_path: Path) -> None:
    """verify="each" reads smaps for every stand-in; what the listing denies is an error and leaves nothing behind."""
    told = limited(
        """
from strongroom._os import procfs
readings, read = [], procfs.read_smaps
def counted():
    readings.append(1)
    return read()
procfs.read_smaps = counted
def made(**more):
    return backing(warned(lambda: LockedBuffer(32, policy=policy("file", **more))))
told["first"] = [made(), len(readings), made(), len(readings)]
del readings[:]
told["each"] = [made(verify="each"), len(readings), made(verify="each"), len(readings)]
def lying():
    listing = read()
    for mapping in listing:
        mapping.flags = mapping.flags - {"dd"}
    return listing
procfs.read_smaps = lying
made = warned(lambda: LockedBuffer(32, policy=policy("file", verify="each")))
told["denied"] = [type(made[0]).__name__, str(made[0])]
made = None
gc.collect()
told["left"] = stats().file_size
""",
        tmp_path,
    )
    first, each = told["first"], told["each"]
    assert isinstance(first, list)
    assert isinstance(each, list)
    assert first[0] == first[2] == each[0] == each[2] == "file"
    assert first[1] >= 1
    assert first[3] == first[1]
    assert each[3] > each[1] >= 1
    kind, words = told["denied"]
    assert kind == "UnsupportedError"
    assert "NO_DUMP" in words
    assert told["left"] == 0
