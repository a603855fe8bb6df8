"""Under a 64 KiB lock limit and without privilege: up to the limit, then an error that helps, and nothing harmed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import needs
from children import succeed

LIMIT = 64 << 10
LOCK_CALL = "VirtualLock" if needs.WINDOWS else "mlock"
REMEDIES = ["SetProcessWorkingSetSize"] if needs.WINDOWS else ["65,536", "ulimit -l", "LimitMEMLOCK", "docker"]
#: Of a buffer that could be locked.
OF_LOCKED = "requested" if needs.WINDOWS else "verified"
#: Of a buffer that could not.
OTHERS = ["unavailable", "verified", "verified"] if needs.WINDOWS else ["verified"] * 3


def limited(code: str) -> dict[str, object]:
    """Run code under the limit and return what it put into ``told``."""
    out = succeed(f"children.limit_locks({LIMIT})\ntold = {{}}\n{code}\nprint(json.dumps(told))")
    result: dict[str, object] = json.loads(out)
    return result


FILL = """
kept = []
try:
    while True:
        buffer = LockedBuffer(32, backing={backing!r}, isolated=True)
        with buffer.open("rw") as view:
            view[:] = bytes([len(kept)]) * 32
        kept.append(buffer)
except LockLimitError as error:
    told["error"] = str(error)
    told["numbers"] = [error.requested, error.limit, error.locked_now]
    told["call"] = error.call
told["made"] = len(kept)
told["locked"] = observed.status_size("VmLck")
def intact():
    for number, buffer in enumerate(kept):
        with buffer.open() as view:
            if view != bytes([number]) * 32:
                return False
    return True
told["intact"] = intact()
"""


def test_up_to_the_limit_and_no_further(backing: str) -> None:
    """16 pages fit; the 17th is refused with request, limit, what is locked and the remedies."""
    told = limited(FILL.format(backing=backing))
    assert told["made"] == LIMIT // 4096
    assert told["numbers"] == ([4096, None, None] if needs.WINDOWS else [4096, LIMIT, LIMIT])
    assert told["call"] == (LOCK_CALL if backing == "locked" else "mmap(secretmem)")
    assert told["intact"] is True
    for word in ("4,096", *REMEDIES, "Secret"):
        assert word in str(told["error"])


def test_after_one_destroy_the_next_succeeds(backing: str) -> None:
    """The budget is given back at once, and a hundred refusals cost nothing."""
    told = limited(
        FILL.format(backing=backing)
        + f"""
figures = []
for _ in range(3):
    for _ in range(100):
        try:
            LockedBuffer(32, backing={backing!r}, isolated=True)
        except LockLimitError:
            pass
    gc.collect()
    ours = [m for m in observed.mappings() if "lo" in m.flags or m.permissions.startswith("---")]
    figures.append([observed.status_size("VmLck"), len(ours)])
told["flat"] = figures[0] == figures[1] == figures[2] and figures[2][0] == told["locked"]
kept.pop().destroy()
kept.append(LockedBuffer(32, backing={backing!r}, isolated=True))
kept.pop()
told["intact"] = intact()
"""
    )
    assert told["flat"] is True
    assert told["intact"] is True


@needs.much_locked
def test_control_without_the_limit_there_is_no_error() -> None:
    """The same process, before its limit, makes more than 16."""
    assert (
        succeed("""
        kept = [LockedBuffer(32, backing="locked", isolated=True) for _ in range(20)]
        print(len(kept))
    """).strip()
        == "20"
    )


def test_ten_thousand_secrets_live_under_it() -> None:
    """Sealed secrets take no lock budget: only the key and open rooms do."""
    told = limited("""
secrets = [Secret.build(4, lambda view, n=n: view.__setitem__(slice(None), n.to_bytes(4, "big")))
           for n in range(10_000)]
told["right"] = all(int.from_bytes(secret.reveal(), "big") == n for n, secret in enumerate(secrets))
told["locked"] = observed.status_size("VmLck")
""")
    assert told["right"] is True
    assert int(str(told["locked"])) < LIMIT


def test_opens_beyond_the_limit_are_refused_and_end_well() -> None:
    """More secrets open at once than pages: LockLimitError for one of them, the open ones are unharmed."""
    told = limited("""
secrets = [Secret.build(4, lambda view, n=n: view.__setitem__(slice(None), n.to_bytes(4, "big"))) for n in range(40)]
accesses = []
try:
    for secret in secrets:
        access = secret.open()
        accesses.append((access, access.__enter__()))
except LockLimitError:
    told["opened"] = len(accesses)
told["right"] = all(bytes(view) == n.to_bytes(4, "big") for n, (_, view) in enumerate(accesses))
for access, _ in accesses:
    access.__exit__(None, None, None)
told["again"] = int.from_bytes(secrets[-1].reveal(), "big")
""")
    assert int(str(told["opened"])) == LIMIT // 4096 - 1  # the key has one
    assert told["right"] is True
    assert told["again"] == 39


def test_idle_rooms_are_given_up_for_a_buffer(backing: str) -> None:
    """Rooms kept for the next open are locked pages nobody needs: a buffer that needs one gets it."""
    told = limited(f"""
secrets = [Secret.random(8) for _ in range(6)]
accesses = [secret.open() for secret in secrets]
for access in accesses: access.__enter__()
for access in accesses: access.__exit__(None, None, None)
del access, accesses
told["idle"] = observed.status_size("VmLck") // 4096 - 1
kept = []
try:
    while True:
        kept.append(LockedBuffer(32, backing={backing!r}, isolated=True))
except LockLimitError:
    pass
told["made"] = len(kept)
kept.clear()
told["after"] = len(secrets[0].reveal())
""")
    assert int(str(told["idle"])) >= 1
    assert told["made"] == LIMIT // 4096 - 1
    assert told["after"] == 8


def test_idle_rooms_are_given_up_before_a_shortfall_is_allowed() -> None:
    """A policy that would have the buffer unlocked does not get it so as long as rooms lie idle."""
    told = limited("""
secrets = [Secret.random(8) for _ in range(4)]
kept = []
try:
    while True:
        kept.append(LockedBuffer(32, backing="locked", isolated=True))
except LockLimitError:
    pass
for _ in range(4): kept.pop()
accesses = [secret.open() for secret in secrets]
for access in accesses: access.__enter__()
for access in accesses: access.__exit__(None, None, None)
allowing = Policy(on_shortfall="allow")
made = [LockedBuffer(32, backing="locked", policy=allowing, isolated=True) for _ in range(5)]
told["states"] = [buffer.guarantees()["LOCKED"].state for buffer in made]
""")
    assert told["states"] == [OF_LOCKED] * 4 + ["refused"]


def test_ended_accesses_and_views_hold_no_locked_memory() -> None:
    """What is left of a block after its end (a variable named view) does not use up the budget."""
    told = limited("""
secrets = [Secret.random(8) for _ in range(15)]
accesses = [secret.open() for secret in secrets]
views = [access.__enter__() for access in accesses]
for access in accesses: access.__exit__(None, None, None)
kept = []
try:
    while True:
        kept.append(LockedBuffer(32, isolated=True))
except LockLimitError:
    pass
told["made"] = len(kept)
""")
    assert told["made"] == LIMIT // 4096 - 1


@pytest.mark.parametrize("word", ["allow", "warn"])
@pytest.mark.parametrize("kind", ["locked", "auto"])
def test_a_policy_that_allows_it_makes_the_buffer_unlocked(kind: str, word: str) -> None:
    """Created, said so in guarantees(), and with "warn" said once more, at the line that asked."""
    told = limited(f"""
import warnings
kept = [LockedBuffer(32, backing="locked", isolated=True) for _ in range(16)]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    buffer = LockedBuffer(32, backing={kind!r}, policy=Policy(on_shortfall={word!r}), isolated=True)
told["warnings"] = [str(warning.message) for warning in caught]
told["locked"] = buffer.guarantees()["LOCKED"].state
told["others"] = [buffer.guarantees()[name].state for name in ("NO_DUMP", "NOT_IN_CHILD", "GUARDED")]
with buffer.open("rw") as view:
    view[:] = b"u" * 32
    told["flag"] = "lo" in mapping_at(address_of(view)).flags
""")
    assert told["locked"] == "refused"
    assert told["flag"] is False
    assert told["others"] == OTHERS
    assert told["warnings"] == (["this buffer goes without LOCKED"] if word == "warn" else [])


@needs.linux
def test_the_limit_is_told_in_a_user_namespace() -> None:
    """Root of a namespace of its own (a rootless container) has every capability but the limit binds all the same."""
    code = """
import sys
sys.path.insert(0, sys.argv[1])
from strongroom import *
kept = []
try:
    while len(kept) < 64: kept.append(LockedBuffer(32, backing="locked", isolated=True))
except LockLimitError as error:
    print(len(kept), error.limit, "ulimit" in error.remedies)
"""
    import strongroom

    where = str(Path(strongroom.__file__).parents[1])
    limited = ["prlimit", "--memlock=65536:65536", "setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"]
    command = [*limited, "unshare", "-Ur", sys.executable, "-c", code, where]
    if os.geteuid() != 0:
        command = ["prlimit", "--memlock=65536:65536", "unshare", "-Ur", sys.executable, "-c", code, where]
    try:
        in_english = {**os.environ, "LC_ALL": "C.UTF-8"}
        ran = subprocess.run(command, env=in_english, capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError as error:
        pytest.skip(f"needs {error.filename}: install util-linux")
    if ran.stderr.startswith(("prlimit: failed", "setpriv: ")) or "Permission denied" in ran.stderr:
        pytest.skip(f"needs a lock limit that may be 64 KiB, and what root may do by default: {ran.stderr.strip()}")
    if "unshare failed" in ran.stderr or "write failed" in ran.stderr:
        pytest.skip("needs user namespaces: sysctl kernel.unprivileged_userns_clone=1 or run as root")
    assert ran.stdout.split() == ["16", "65536", "True"], ran
