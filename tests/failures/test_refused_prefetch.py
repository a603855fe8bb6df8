"""PrefetchVirtualMemory where the kernel refuses the advice: Windows' code for what it said, and nothing changed."""

import errno

import pytest

import faultinject
from children import succeed

pytestmark = pytest.mark.skipif(
    not faultinject.is_supported(), reason="fault injection needs Linux on x86_64 or aarch64"
)

#: Two pages with something in them, and the code of a prefetch of each by itself.
SCENE = """
from faultinject import deny
from strongroom.vm.win32 import *
place = VirtualAlloc(None, 8192, MEM_COMMIT, PAGE_READWRITE)
RtlMoveMemory(place, b"1337" * 2048, 8192)
def told():
    try:
        ranges = [WIN32_MEMORY_RANGE_ENTRY(place, 4096), WIN32_MEMORY_RANGE_ENTRY(place + 4096, 1)]
        return PrefetchVirtualMemory(-1, 2, ranges, 0)
    except Win32Error as error:
        assert "madvise(MADV_WILLNEED)" in str(error), error
        return error.winerror
assert told() is True
"""
WILLNEED = 3


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (errno.EPERM, "ERROR_ACCESS_DENIED"),
        (errno.EACCES, "ERROR_ACCESS_DENIED"),
        (errno.EINVAL, "ERROR_INVALID_PARAMETER"),
        (errno.ENOSYS, "ERROR_NOT_SUPPORTED"),
        (errno.EIO, "ERROR_NOT_ENOUGH_MEMORY"),
        (errno.ENOMEM, "True"),
        (errno.EBADF, "True"),
    ],
)
def test_the_advice_refused(refusal: int, code: str) -> None:
    """The code is for what the kernel said. That nothing is mapped, or that there is no swap, is no refusal."""
    succeed(f"""{SCENE}
deny("madvise", {refusal}, arg_equals=(2, {WILLNEED}))
assert told() == {code}, told()
held = bytearray(8192)
RtlMoveMemory(held, place, 8192)
assert held == b"1337" * 2048
assert VirtualFree(place, 0, MEM_RELEASE)
""")


def test_one_advice_for_each_range_and_no_other_call() -> None:
    """Neither the books nor mincore(2) are asked, so that what they would refuse is no hindrance."""
    succeed(f"""{SCENE}
for call in ("mincore", "mprotect", "process_vm_readv", "openat", "pread64"):
    deny(call, errno.EPERM)
deny("madvise", errno.EPERM, arg_equals=(2, 22))
assert told() is True
""")
