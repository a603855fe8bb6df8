"""One system call refused again and again: each attempt must end alike, and nothing may be left of any.

Attempts run in a child under a seccomp filter (faultinject). What is left is counted by the system's own lists.
"""

import json

import pytest

import faultinject
from children import succeed

needs_injection = pytest.mark.skipif(
    not faultinject.is_supported(), reason="fault injection needs Linux on x86_64 or aarch64"
)

#: mmap(2), madvise(2): the same numbers on both architectures.
MAP_SHARED = 1
DONTFORK, UNMERGEABLE, NOHUGEPAGE, DONTDUMP = 10, 13, 15, 16

ATTEMPTS = 20
#: The heap may grow by as many mappings meanwhile.
_GROWTH = 2

#: Two attempts are made before the count: the path of an error imports modules and grows the heap once.
_SCENE = """
from faultinject import deny
{before}
def count():
    gc.collect()
    listing = observed.mappings()
    marked = [m for m in listing if {{"lo", "dd", "dc", "dp"}} & m.flags]
    files = [m for m in listing if {files!r} in m.path]
    left = [len(marked), len(files), observed.status_size("VmLck"), observed.descriptors(), stats().volatile_size]
    return len(listing), left
def outcome():
    try:
        return attempted()
    except StrongroomError as error:
        return [type(error).__name__, getattr(error, "call", None), getattr(error, "errno", None)]
outcome()
deny({call!r}, {code}, arg_equals={condition})
outcome()
mappings, there = count()
results = [outcome() for _ in range({attempts})]
mappings_now, now = count()
print(json.dumps([results, mappings_now - mappings, there, now, bool({afterwards})]))
"""


def attempt(
    before: str, files: str, call: str, code: int, condition: tuple[int, int] | None, afterwards: str = "True"
) -> list[object]:
    """Return what each attempt gave, or [error type, call, errno].

    Args:
        before: Code that defines ``attempted()``, which returns a list.
        files: What is in the name of every mapped file that an attempt makes.
        call: The refused call.
        code: The errno it gets.
        condition: Of its arguments, which has to have which value; without it all such calls are refused.
        afterwards: An expression that has to be true in the end.
    """
    scene = _SCENE.format(
        before=before,
        files=files,
        call=call,
        code=code,
        condition=condition,
        attempts=ATTEMPTS,
        afterwards=afterwards,
    )
    results, grown, there, now, is_well = json.loads(succeed(scene))
    assert results == [results[0]] * ATTEMPTS
    assert now == there, "marked mappings, files, locked bytes or descriptors were left behind"
    assert grown <= _GROWTH, "mappings that are left over, one for each attempt; the heap may have grown"
    assert is_well, afterwards
    told: list[object] = results[0]
    return told
