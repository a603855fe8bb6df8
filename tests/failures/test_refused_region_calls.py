"""Each system call of each verb of a region refused by the kernel: the right error, and nothing changed or left.

A seccomp filter refuses *every* call of a number; tests/native/region_refused_test.c refuses the second of several.
"""

import errno
import json

import pytest

import faultinject
from children import succeed

pytestmark = pytest.mark.skipif(
    not faultinject.is_supported(), reason="fault injection needs Linux on x86_64 or aarch64"
)

CODES = [errno.ENOMEM, errno.EPERM, errno.EAGAIN, errno.EINVAL, errno.ENOSYS]
ATTEMPTS = 20

#: Each verb on one of two regions. The mixed one, by pages: 0-1 reserved, 2-3 writable, 4 readable, 5-6 locked, 7 a
#: guard page, 8 reserved, 9-10 writable, 11 closed. `plain` is four writable pages.
SCENE = """
from faultinject import deny
from strongroom import vm
P = vm.PAGE_SIZE
def make_mixed():
    region = vm.reserve(12 * P)
    region.commit(2 * P, 6 * P)
    region.commit(9 * P, 3 * P)
    region.write(2 * P, b"kept" * P)
    region.protect(4 * P, P, vm.READ_ONLY)
    region.lock(5 * P, 2 * P)
    region.protect(7 * P, P, vm.READ_WRITE | vm.GUARD)
    region.protect(11 * P, P, vm.NO_ACCESS)
    return region
ACTS = {
    "reserve": lambda mixed, plain: vm.reserve(5 * P),
    "reserve at": lambda mixed, plain: vm.reserve(5 * P, address=0x2000_0000_0000),
    "reserve near": lambda mixed, plain: vm.reserve(5 * P, near=0x2000_0000_0000),
    "reserve top down": lambda mixed, plain: vm.reserve(5 * P, top_down=True),
    "reserve aligned": lambda mixed, plain: vm.Region(5 * P, alignment=64 * P),
    "allocate": lambda mixed, plain: vm.allocate(5 * P),
    "commit fresh": lambda mixed, plain: mixed.commit(0, 2 * P),
    "commit mixed": lambda mixed, plain: mixed.commit(P, 10 * P, vm.EXECUTE_READ),
    "decommit": lambda mixed, plain: mixed.decommit(2 * P, P),
    "decommit mixed": lambda mixed, plain: mixed.decommit(P, 9 * P),
    "protect": lambda mixed, plain: mixed.protect(2 * P, P, vm.READ_ONLY),
    "protect mixed": lambda mixed, plain: mixed.protect(2 * P, 6 * P, vm.NO_ACCESS),
    "protected": lambda mixed, plain: mixed.protected(2 * P, 6 * P, vm.NO_ACCESS).__enter__(),
    "touch a guard page": lambda mixed, plain: mixed.read(7 * P, 1),
    "lock": lambda mixed, plain: plain.lock(),
    "lock mixed": lambda mixed, plain: mixed.lock(2 * P, 5 * P),
    "locked": lambda mixed, plain: plain.locked(P, P).__enter__(),
    "unlock": lambda mixed, plain: mixed.unlock(5 * P, P),
    "secure permanently": lambda mixed, plain: plain.secure(P, P, permanent=True),
    "read": lambda mixed, plain: plain.read(0, 3 * P),
    "write": lambda mixed, plain: plain.write(1, b"w" * 2 * P),
    "fill": lambda mixed, plain: plain.fill(0, 2 * P, 7),
    "view": lambda mixed, plain: plain.view(0, P, "rw").__enter__().__setitem__(0, 1),
    "leave behind": lambda mixed, plain: left.append(vm.reserve(5 * P)),
    "release": lambda mixed, plain: mixed.release(),
}
def look(regions):
    listing = observed.mappings()
    of_ours = [observed.pages(region.address, region.size) for region in regions]
    books = [None if region.is_released else region.pages() for region in regions]
    closed = sum(m.end - m.start for m in listing if m.permissions == "---p")
    return [books, of_ours, observed.status_size("VmLck"), observed.descriptors()], closed
left = []
def outcome(act):
    try:
        act()
    except StrongroomError as error:
        call = getattr(error, "call", None) or ("process_vm_readv" if "process_vm_readv" in str(error) else None)
        return [type(error).__name__, call, getattr(error, "errno", None)]
    return ["done", None, None]
def attempt(name, code):
    mixed, plain, other = make_mixed(), vm.allocate(4 * P), vm.allocate(P)
    act = lambda: ACTS[name](mixed, plain)
    before, _ = look([mixed, plain])
    refuse(code)
    first = outcome(act)
    after, count = look([mixed, plain])
    results = [outcome(act) for _ in range(ATTEMPTS)]
    again, count_again = look([mixed, plain])
    with other.view(mode="rw") as view:
        view[:5] = b"later"
        works = view == b"later" + bytes(P - 5) and vm.query(other.address).state == "committed"
    if not mixed.is_released and protection_at(mixed.address + 2 * P)[0] == "r":
        works = works and ctypes.string_at(mixed.address + 2 * P, 2 * P) == b"kept" * (P // 2)
    told = dict(first=first, results=results == [first] * ATTEMPTS, same=before == after == again,
        grown=count_again - count, works=works)
    return json.dumps(told)
print(json.dumps({name: [json.loads(children.forked(lambda: attempt(name, code))) for code in CODES]
                   for name in NAMES or ACTS}))
"""

Told = dict[str, list[dict[str, object]]]


def attempts(deny: str, names: list[str], codes: list[int] = CODES) -> Told:
    """Return what each verb said under each errno, and whether anything changed."""
    header = f"NAMES, CODES, ATTEMPTS = {names}, {codes}, {ATTEMPTS}\ndef refuse(code):\n    {deny}\n"
    found: Told = json.loads(succeed(header + SCENE))
    return found


def refusals(told: Told) -> dict[str, list[object]]:
    """Return the verbs' outcomes, having made sure that nothing changed and nothing was left."""
    for name, outcomes in told.items():
        for one in outcomes:
            assert one["results"], f"{name}: the same thing done again ended otherwise"
            assert one["same"], f"{name}: pages, locks or descriptors changed"
            assert one["grown"] == 0, f"{name}: address space was left"
            assert one["works"], f"{name}: another region does not work any more, or contents were lost"
    return {name: [one["first"] for one in outcomes] for name, outcomes in told.items()}


REFUSED = [
    (
        "mmap",
        "arg_equals=(2, 0)",  # PROT_NONE: Python's own memory is mapped writable
        [
            "reserve",
            "reserve at",
            "reserve near",
            "reserve top down",
            "reserve aligned",
            "allocate",
            "decommit",
            "decommit mixed",
        ],
    ),
    (
        "mprotect",
        "",
        ["allocate", "commit fresh", "commit mixed", "protect", "protect mixed", "protected"],
    ),
    ("munmap", "", ["release"]),
    ("mlock", "", ["lock", "lock mixed", "locked"]),
    ("munlock", "", ["unlock"]),
    ("mseal", "", ["secure permanently"]),
]


def refusal_of(call: str, code: int) -> list[object]:
    """A kernel without mseal cannot seal, which is no failure of the call; the other calls no kernel lacks."""
    lacks = call == "mseal" and code == errno.ENOSYS
    return ["UnsupportedError", None, None] if lacks else ["SystemCallError", call, code]


@pytest.mark.parametrize(("call", "condition", "names"), REFUSED, ids=[one[0] for one in REFUSED])
def test_the_call_is_named_and_nothing_changed(call: str, condition: str, names: list[str]) -> None:
    """SystemCallError with call and errno, twenty times over; pages, mappings, locks and contents are as before."""
    found = refusals(attempts(f"deny({call!r}, code, {condition})", names))
    assert found == {name: [refusal_of(call, code) for code in CODES] for name in names}


def test_a_guard_page_that_cannot_be_opened() -> None:
    """The touch says which call failed, and the page still guards."""
    found = refusals(attempts("deny('mprotect', code)", ["touch a guard page"]))
    assert found == {"touch a guard page": [refusal_of("mprotect", code) for code in CODES]}


@pytest.mark.parametrize("code", CODES)
def test_copies_that_the_kernel_refuses(code: int) -> None:
    """A sandbox that forbids the call (ENOSYS, EPERM) is gone round; any other errno is an error that names it."""
    told = attempts("deny('process_vm_readv', code)", ["read", "write", "fill"], [code])
    is_done = code in (errno.ENOSYS, errno.EPERM)
    expected = ["done", None, None] if is_done else ["AccessError", "process_vm_readv", None]
    assert refusals(told) == {name: [expected] for name in ("read", "write", "fill")}


def test_locking_without_knowing_of_other_locks() -> None:
    """madvise refused: nobody can be asked whether a page is locked already, and the lock is made all the same."""
    told = attempts("deny('madvise', code)", ["lock", "lock mixed"])
    assert {one["first"][0] for outcomes in told.values() for one in outcomes} == {"done"}  # type: ignore[index]
    assert not any(one["same"] for outcomes in told.values() for one in outcomes)


def test_control_nothing_refused() -> None:
    """Every verb is done, and what it did is seen by the same looks that saw nothing above."""
    told = attempts("deny('userfaultfd', code)", [], [errno.EPERM])
    unseen = {name for name, outcomes in told.items() if outcomes[0]["same"]}
    left = {name for name, outcomes in told.items() if outcomes[0]["grown"]}
    undone = {name for name, outcomes in told.items() if outcomes[0]["first"] != ["done", None, None]}
    assert undone - {"secure permanently"} == {"touch a guard page"}  # which only Linux 6.10 does
    makes = {name for name in told if name.startswith(("reserve", "allocate"))}
    assert unseen - {"secure permanently"} == makes | {"read", "write", "fill", "view", "leave behind"}
    assert left == {"leave behind"}
