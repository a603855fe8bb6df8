"""What the native layer asks before it makes a block, and when the system refuses one.

In: the size, the words the user gave, the policy. Out: which backing, whether another may stand in, which steps must
succeed. Everything here runs once per block and never on the way to a secret. What a block needs, and what an error
needs, is imported before there is one: a child that was forked while another thread imports something waits for that
import for ever (CPython keeps a lock for each module), and by the time of an error the process may have given up the
right to read Python's own files.
"""

from __future__ import annotations

import errno
import warnings

from strongroom import _native, guarantees
from strongroom._os import LOCKS_INACCESSIBLE_PAGES, PLATFORM, limits, power
from strongroom.buffers import evidence, settings
from strongroom.buffers import keepers as search
from strongroom.buffers.promises import STEP_OF
from strongroom.buffers.waiting import is_limit
from strongroom.exceptions import (
    NO_SUCH_CALL,
    LockLimitError,
    StrongroomError,
    StrongroomWarning,
    SystemCallError,
    UnsupportedError,
)
from strongroom.policy import PLAIN, Policy

__all__ = [
    "DEFAULT_REQUIRE",
    "SMALL_MAX_SIZE",
    "keepers",
    "keeps_from_hibernating",
    "plan",
    "refusal",
    "steps_for",
    "unlocked_requires",
    "unmet_by",
    "verify",
]

#: Up to this many bytes ``backing="auto"`` prefers secret memory. A page of it costs ~20 us to fault in and splits the
#: kernel's own map of RAM for good: too low, and keys and passwords lose the stronger backing; too high, and one large
#: buffer slows the machine down for everybody.
SMALL_MAX_SIZE = 64 * 1024

#: What every isolated block has by its layout.
_BY_LAYOUT = frozenset({guarantees.GUARDED} | ({guarantees.CLOSED_AT_REST} if LOCKS_INACCESSIBLE_PAGES else set()))
#: What only secret memory has.
_BY_SECRETMEM = frozenset({guarantees.UNREADABLE_BY_OTHERS, guarantees.NO_MIGRATION, guarantees.NEVER_WRITTEN})

#: What a policy without ``require`` means on each system.
DEFAULT_REQUIRE = {
    "linux": frozenset({guarantees.LOCKED, guarantees.NO_DUMP, guarantees.NOT_IN_CHILD}),
    "windows": frozenset({guarantees.LOCKED}),  # NOT_IN_CHILD without asking: there is no fork
    "darwin": frozenset({guarantees.LOCKED, guarantees.NOT_IN_CHILD}),
}
_DEFAULT = DEFAULT_REQUIRE.get(PLATFORM, frozenset({guarantees.LOCKED, guarantees.NOT_IN_CHILD}))


def steps_for(names: frozenset[str]) -> int:
    """The native layer's bit mask of the steps that bring these guarantees about."""
    steps = {STEP_OF[name] for name in names if name in STEP_OF}
    return sum(1 << index for index, step in enumerate(_native.STEPS) if step in steps)


_DEFAULT_STEPS = steps_for(_DEFAULT)

#: For remembering which promises the system's listing bore out. The last bit says that somebody has looked at all.
_BIT_OF = {name: 1 << index for index, name in enumerate(guarantees.ALL)}
_LOOKED_AT = 1 << len(guarantees.ALL)


def _bits(names: frozenset[str]) -> int:
    return _LOOKED_AT + sum(_BIT_OF[name] for name in names)


_DEFAULT_BITS = _bits(_DEFAULT)


def _auto_is_secretmem(size: int) -> bool:
    return PLATFORM == "linux" and size <= SMALL_MAX_SIZE and not power.can_hibernate()


def keeps_from_hibernating(policy: Policy) -> bool:
    """Whether a policy wants this machine kept from hibernating, which it may do."""
    return policy.hibernation == "block" and (PLATFORM != "linux" or power.can_hibernate())


def _required(policy: Policy) -> frozenset[str]:
    """The names that a policy stands for, here and now.

    Where the machine may hibernate, to keep it from doing so is to require what only secret memory has.
    """
    names = _DEFAULT if policy.require is None else policy.require
    if keeps_from_hibernating(policy):
        names |= {guarantees.NEVER_WRITTEN}
    return names


#: Backings that nothing locks, and what they have of their own.
_UNLOCKED = {
    "droppable": frozenset({guarantees.NEVER_WRITTEN}),
    "partial": frozenset({guarantees.NEVER_WRITTEN}),
    "file": frozenset(),
}


def unlocked_requires(policy: Policy, backing: str) -> frozenset[str]:
    """The names that a policy stands for where nothing is locked: by default what locked memory has but the lock."""
    if policy.require is not None:
        return policy.require
    return (_DEFAULT - {guarantees.LOCKED}) | _UNLOCKED[backing]


def _refuse_nonsense(size: int, backing: str, isolated: bool | None, policy: Policy | None) -> None:
    if isolated is not None and not isinstance(isolated, bool):
        raise TypeError(f"isolated must be True, False or None, not {type(isolated).__name__}")
    if isolated is False and size > _native.SLOT_MAX_SIZE:
        raise ValueError(
            f"isolated=False is for up to {_native.SLOT_MAX_SIZE:,} bytes, not {size:,}: larger ones have pages of "
            "their own (isolated=None or True)"
        )
    if policy is not None and not isinstance(policy, Policy):
        raise TypeError(f"policy must be a Policy or None, not {type(policy).__name__}")
    if not isinstance(backing, str):
        raise TypeError(f"backing must be 'auto', 'locked' or 'secretmem', not {type(backing).__name__}")
    if backing not in ("auto", "locked", "secretmem"):
        raise ValueError("backing must be 'auto', 'locked' or 'secretmem', and nothing else")


def unmet_by(names: frozenset[str], backing: str, is_slot: bool) -> frozenset[str]:
    """Which of these guarantees a backing and a layout cannot give, however the system answers."""
    if backing in _UNLOCKED:
        return names - (frozenset(STEP_OF) | _BY_LAYOUT | _UNLOCKED[backing])
    has_secretmem = PLATFORM == "linux" and backing != "locked"
    by_layout = frozenset() if is_slot else _BY_LAYOUT
    return names - (frozenset(STEP_OF) | by_layout | (_BY_SECRETMEM if has_secretmem else frozenset()))


def _remedy(unmet: frozenset[str], backing: str, is_slot: bool, policy: Policy) -> str:
    """What an error says of guarantees that no answer of the system can bring about."""
    what = f"a buffer with backing={backing!r}" + (" in shared pages" if is_slot else "")
    why = " (hibernation='block' requires NEVER_WRITTEN)" if policy.hibernation == "block" else ""
    ways = {
        "backing='secretmem'": unmet_by(unmet, "secretmem", is_slot),
        "isolated=True": unmet_by(unmet, backing, is_slot=False),
        "isolated=True and backing='secretmem'": unmet_by(unmet, "secretmem", is_slot=False),
    }
    enough = next((way for way, left in ways.items() if not left), None)
    less = "nothing can on this system; the Policy can require less, or allow shortfalls"
    return f"{what} cannot give {', '.join(sorted(unmet))}{why}; {f'{enough} can' if enough else less}"


def plan(size: int, backing: str, isolated: bool | None, policy: Policy | None) -> tuple[bool, bool, int, bool, int]:
    """Return ``(is_secretmem, may_fall_back, required_steps, is_slot, proven)`` for ``size`` bytes.

    The last is 0, or the same answer is good for every other small buffer of which nothing special is asked, in pages
    that are known to keep what these bits stand for.
    """
    default = settings.default()  # in any case: the first use settles it, and says if the operator's words are wrong
    is_usual = policy is None and backing == "auto" and isolated is None
    if policy is None:
        policy = default
    is_small = size <= _native.SLOT_MAX_SIZE
    if policy is PLAIN and is_usual:  # by far the most common
        return _auto_is_secretmem(size), True, _DEFAULT_STEPS, is_small, _DEFAULT_BITS if is_small else 0
    _refuse_nonsense(size, backing, isolated, policy)
    names = _required(policy)
    may_fall_short = policy.on_shortfall != "raise"
    is_slot = isolated is False or (isolated is None and is_small and not names & _BY_LAYOUT)
    if not may_fall_short and (unmet := unmet_by(names, backing, is_slot)):
        raise UnsupportedError(_remedy(unmet, backing, is_slot, policy))
    needs_secretmem = bool(names & _BY_SECRETMEM)
    is_secretmem = backing == "secretmem" or (backing == "auto" and (needs_secretmem or _auto_is_secretmem(size)))
    may_fall_back = backing == "auto" and (may_fall_short or not needs_secretmem)
    is_repeatable = is_usual and is_slot and not may_fall_short and policy.verify == "first"
    proven = _bits(names) if is_repeatable else 0
    return is_secretmem, may_fall_back, 0 if may_fall_short else steps_for(names), is_slot, proven


def refusal(
    call: str, code: int, is_lock_limit: bool, requested: int, note: str = "", remedy: str = ""
) -> StrongroomError:
    """Return the exception for pages that the system refused.

    ``note`` says what came of waiting for them and of what was to stand in, ``remedy`` what helps but a higher limit.
    """
    if is_lock_limit and is_limit(call, requested):
        held = limits.locked_now()
        remedies = f"{limits.remedies()} {remedy}".rstrip()
        return LockLimitError(call, code, requested, limits.lock_limit(), held, remedies, note)
    if call == "memfd_secret" and code in (errno.ENOSYS, errno.EPERM, NO_SUCH_CALL):
        return UnsupportedError(
            "this kernel has no secret memory (memfd_secret(2): Linux 5.14, before 6.5 only when booted with "
            "secretmem.enable=1, and not inside some sandboxes). Use backing='auto' or 'locked'"
        )
    if code == NO_SUCH_CALL:
        return UnsupportedError(
            f"{call} is not available on this system, and what it brings about was required: name fewer guarantees in "
            "the Policy, or let it allow shortfalls"
        )
    if call in ("mmap", "mprotect", "mlock", "mremap(secretmem)"):
        return SystemCallError(
            call,
            code,
            f"{requested:,} bytes were asked for; memory, address space, or mappings "
            "(sysctl vm.max_map_count) may have run out",
        )
    return SystemCallError(call, code)


#: For each backing, what was read back of isolated blocks and not contradicted in this process: they are made alike.
#: Pages that small buffers share are read back one arena at a time, which keeps in mind itself what was borne out.
_borne_out: dict[str, int] = {}


def _known(block: _native.Block) -> int:
    return _borne_out.get(block.backing, 0) if block.is_isolated else block._proven()


def _remember(block: _native.Block, names: frozenset[str]) -> None:
    if block.is_isolated:
        _borne_out[block.backing] = _borne_out.get(block.backing, 0) | _bits(names)
    else:
        block._prove(_bits(names))


def _denied(start: int, end: int, steps: evidence.Steps, backing: str, names: frozenset[str]) -> dict[str, str]:
    """Which of these the system's own listing denies although the calls succeeded, and its words.

    The listing is read while other threads change what it lists, so a denial counts only if it was seen twice, and what
    the first reading did not show either way is looked for once more.
    """
    readings = []
    for _ in range(2):
        found = evidence.read_back(start, end, steps, backing)
        if all(found[name].state == guarantees.VERIFIED for name in names):
            return {}
        readings.append(found)
    return {
        name: readings[-1][name].source
        for name in names
        if all(found[name].state == guarantees.REFUSED for found in readings)
    }


def verify(block: _native.Block, policy: Policy | None) -> None:
    """Read back what was made, as often as the policy says, and raise or warn of what a new block does not have."""
    if policy is None:
        policy = settings.default()
    known = _known(block)
    if policy is PLAIN and known & _DEFAULT_BITS == _DEFAULT_BITS:  # the calls have succeeded, or there were no block
        return
    start, end, steps = block._layout()
    required = unlocked_requires(policy, block.backing) if block.backing in _UNLOCKED else _required(policy)
    refused = {name for name in required if name in STEP_OF and steps[STEP_OF[name]] is not None}
    unmet = unmet_by(required, block.backing, not block.is_isolated)
    asked = required - refused - unmet
    unknown = asked if policy.verify == "each" else frozenset(name for name in asked if not known & _BIT_OF[name])
    denied = _denied(start, end, steps, block.backing, unknown) if unknown else {}
    _remember(block, unknown - denied.keys())
    if denied:
        block._distrust(steps_for(frozenset(denied)))
    if denied and policy.on_shortfall == "raise":
        words = "; ".join(f"{name}: {source}" for name, source in sorted(denied.items()))
        raise UnsupportedError(
            f"this system did not do what it said it did. {words}. The Policy can require less, or allow shortfalls"
        )
    missing = sorted(refused | unmet | denied.keys())
    if missing and policy.on_shortfall == "warn":
        warnings.warn(f"this buffer goes without {', '.join(missing)}", StrongroomWarning, stacklevel=2)


def keepers(start: int, end: int) -> str:
    """Return words for what still refers to the memory from ``start`` up to ``end``."""
    try:
        return search.keepers(start, end)
    except Exception as error:  # looking at strangers' objects may fail in any way; the BufferError must not
        return f"an object that could not be found ({type(error).__name__} while searching)"
