"""Each system call of stores and windows refused by the kernel: the right error, and what was shown still is.

A seccomp filter refuses *every* call of a number; tests/native/store_refused_test.c refuses the second of several.
"""

import json

import pytest

import faultinject
from children import succeed

pytestmark = pytest.mark.skipif(
    not faultinject.is_supported(), reason="fault injection needs Linux on x86_64 or aarch64"
)

#: mmap(2): PROT_NONE is what hides, MAP_SHARED | MAP_FIXED what a locked store shows by.
SCENE = """
import json
from faultinject import deny
from strongroom import vm
from stores import booked, filled, numbers
P = vm.PAGE_SIZE
try:
    store = filled(BACKING, 8)
except UnsupportedError as error:
    children.skip(f"no {{BACKING}} pages here: {{error}}")
window = vm.window(4 * P)
window.map(store[0:3])
window.protect(P, P, vm.READ_ONLY)
def look():
    return [numbers(window), booked(window), [run.protection for run in window.pages()], observed.descriptors(),
            observed.status_size("VmLck"), len(store), store.is_released]
ACTS = {{
    "make": lambda: vm.physical(2 * P, backing=BACKING),
    "window": lambda: vm.window(P),
    "map": lambda: window.map(store[4:8]),
    "scatter": lambda: window.map(store[[5, 3, 7]], P),
    "unmap": lambda: window.unmap(0, 2 * P),
    "release window": lambda: vm.Window.release(window),
}}
before = look()
deny({deny})
told = []
for _ in range(5):
    try:
        ACTS[{act!r}]()
        told.append(["done", None, None])
    except StrongroomError as error:
        told.append([type(error).__name__, getattr(error, "call", None), getattr(error, "errno", None)])
now = look()
kept = [then in (page, None) for page, then in zip(before[0], now[0])]
print(json.dumps([told, now == before, all(kept) and now[1:4] == before[1:4]]))
"""
EVERY = [
    ("secretmem", "make", '"memfd_secret", errno.EPERM', ["UnsupportedError", None, None]),
    ("secretmem", "make", '"memfd_secret", errno.EMFILE', ["SystemCallError", "memfd_secret", 24]),
    ("secretmem", "make", '"memfd_secret", errno.ENOSYS', ["UnsupportedError", None, None]),
    ("secretmem", "make", '"ftruncate", errno.ENOMEM', ["SystemCallError", "ftruncate(secretmem)", 12]),
    ("secretmem", "make", '"mmap", errno.EAGAIN, arg_equals=(3, 1)', ["LockLimitError", "mmap(secretmem)", 11]),
    ("secretmem", "make", '"madvise", errno.EINVAL', ["SystemCallError", "madvise(MADV_DONTFORK)", 22]),
    ("secretmem", "map", '"mremap", errno.ENOMEM', ["SystemCallError", "mremap(secretmem)", 12]),
    ("secretmem", "map", '"mremap", errno.EAGAIN', ["LockLimitError", "mremap(secretmem)", 11]),
    ("secretmem", "scatter", '"mremap", errno.ENOMEM', ["SystemCallError", "mremap(secretmem)", 12]),
    ("locked", "make", '"memfd_create", errno.EMFILE', ["SystemCallError", "memfd_create", 24]),
    ("locked", "make", '"ftruncate", errno.ENOMEM', ["SystemCallError", "ftruncate(store)", 12]),
    ("locked", "make", '"mmap", errno.ENOMEM, arg_equals=(3, 1)', ["SystemCallError", "mmap(store)", 12]),
    (
        "locked",
        "make",
        '"madvise", errno.EINVAL, arg_equals=(2, 10)',
        ["SystemCallError", "madvise(MADV_DONTFORK)", 22],
    ),
    (
        "locked",
        "make",
        '"madvise", errno.EINVAL, arg_equals=(2, 16)',
        ["SystemCallError", "madvise(MADV_DONTDUMP)", 22],
    ),
    ("locked", "make", '"mlock", errno.EINVAL', ["SystemCallError", "mlock", 22]),
    ("locked", "map", '"mmap", errno.ENOMEM, arg_equals=(3, 17)', ["SystemCallError", "mmap(store)", 12]),
    ("locked", "scatter", '"mmap", errno.ENOMEM, arg_equals=(3, 17)', ["SystemCallError", "mmap(store)", 12]),
    ("locked", "window", '"mmap", errno.ENOMEM, arg_equals=(2, 0)', ["SystemCallError", "mmap", 12]),
    ("locked", "unmap", '"mmap", errno.ENOMEM, arg_equals=(2, 0)', ["SystemCallError", "mmap", 12]),
    ("secretmem", "unmap", '"mmap", errno.ENOMEM, arg_equals=(2, 0)', ["SystemCallError", "mmap", 12]),
    ("secretmem", "release window", '"munmap", errno.ENOMEM', ["SystemCallError", "munmap", 12]),
]


@pytest.mark.parametrize(("backing", "act", "deny", "expected"), EVERY, ids=[f"{b} {a} {d}" for b, a, d, _ in EVERY])
def test_a_refused_call(backing: str, act: str, deny: str, expected: list[object]) -> None:
    """The error names the call, five times alike; pages, protections, locks, descriptors are as before."""
    told, is_same, is_kept = json.loads(succeed(f"BACKING = {backing!r}\n" + SCENE.format(deny=deny, act=act)))
    assert told == [expected] * 5
    assert is_kept
    # Where the lock limit refuses, all is hidden first; and what is never shown again stays inaccessible.
    assert is_same is not (act == "map" and "EAGAIN" in deny)


@pytest.mark.parametrize("code", ["EPERM", "ENOSYS"])
def test_a_sandbox_without_secret_memory(code: str) -> None:
    """Where memfd_secret is forbidden or not there, a store that nobody chose a backing for is locked."""
    assert succeed(f"""
from faultinject import deny
from strongroom import vm
deny("memfd_secret", errno.{code})
store, window = vm.physical(4 * vm.PAGE_SIZE), vm.window(vm.PAGE_SIZE)
window.map(store[2])
window.write(0, b"1337")
print(store.backing)
""").split() == ["locked"]
