"""permanent=True: the kernel itself refuses, for good, so each of these has a process of its own."""

import pytest

import children
import faultinject
from pages import PAGE, needs_proc
from strongroom import UnsupportedError, vm

pytestmark = needs_proc

START = """
    from strongroom import vm
    import pages
    from pages import PAGE
    region = vm.allocate(4 * PAGE)
    region.write(PAGE, b"1337")
    try:
        handle = region.secure(PAGE, 2 * PAGE, vm.READ_WRITE, permanent=True)
    except UnsupportedError as error:
        children.skip(str(error))
    middle = region.address + PAGE
    def flags():
        return mapping_at(middle).flags
"""


def test_the_kernel_refuses_other_code() -> None:
    """mprotect, munmap and a fixed mmap over the range fail with EPERM; beside it they work (the control)."""
    children.succeed(
        START
        + """
    assert "sl" in flags()
    for size in (PAGE, 2 * PAGE):
        for protection in (pages.PROT_NONE, pages.PROT_READ, 7):
            assert errno.EPERM == pages.others_protect(middle, size, protection)
        assert errno.EPERM == pages.others_unmap(middle, size)
    assert errno.EPERM == pages.others_unmap(region.address, region.size)
    assert 0 == pages.others_protect(region.address, PAGE, pages.PROT_READ)
    assert 0 == pages.others_unmap(middle + 2 * PAGE, PAGE)
    assert ["r--", "rw-", "rw-", "gone"] == pages.letters(region)
    assert b"1337" == region.read(PAGE, 4)
    """
    )


def test_so_does_strongroom() -> None:
    """SecuredError from whatever would change the range, a more permissive protection included; the rest is free."""
    children.succeed(
        START
        + """
    for attempt in (
        lambda: region.protect(PAGE, PAGE, vm.NO_ACCESS),
        lambda: region.protect(PAGE, PAGE, vm.EXECUTE_READ_WRITE),
        lambda: region.protect(PAGE, PAGE, vm.READ_WRITE),
        lambda: region.commit(0, None),
        lambda: region.decommit(),
        lambda: region.release(),
        lambda: handle.unsecure(),
    ):
        try:
            attempt()
        except SecuredError as error:
            assert "permanent" in str(error), error
        else:
            raise SystemExit("nothing was raised")
    region.decommit(0, PAGE)
    region.protect(3 * PAGE, PAGE, vm.READ_ONLY)
    region.write(PAGE, b"abcd")
    assert handle.is_permanent and handle.is_held
    assert "permanent" in repr(handle)
    with handle:
        pass
    assert handle.is_held
    address = region.address
    import warnings
    warnings.simplefilter("error")
    del handle, region                 # no ResourceWarning: it was meant to stay
    gc.collect()
    assert "rw-" == protection_at(address + PAGE)
    """
    )


def test_what_it_does_not_stop() -> None:
    """Writing, emptying, unlocking, dumping, keeping from children, and writing past protections: the docs say so."""
    children.succeed(
        START
        + """
    region.lock(PAGE, PAGE)
    assert 0 == pages.others_unlock(middle, PAGE)
    assert "lo" not in flags()
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    assert 0 == libc.madvise(middle, PAGE, 16)   # MADV_DONTDUMP
    assert "dd" in flags()
    assert 0 == libc.madvise(middle, PAGE, 17)   # MADV_DODUMP
    assert "dd" not in flags()
    region.write(PAGE, b"abcd")
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(middle)
        memory.write(b"efgh")
    assert b"efgh" == region.read(PAGE, 4)
    assert 0 == libc.madvise(middle, PAGE, 4)    # MADV_DONTNEED
    assert bytes(4) == region.read(PAGE, 4)
    assert 0 == libc.madvise(middle, PAGE, 10)   # MADV_DONTFORK
    assert "dc" in flags()
    """
    )


def test_a_child_inherits_the_seal() -> None:
    """There too the kernel refuses, and strongroom knows."""
    children.succeed(
        START
        + """
    def look():
        assert errno.EPERM == pages.others_unmap(middle, PAGE)
        try:
            region.decommit()
        except SecuredError:
            return "refused"
    assert "refused" == children.forked(look)
    """
    )


def test_a_range_that_cannot_be_secured_is_not_sealed() -> None:
    """One page that does not satisfy the mode, and the kernel refuses nothing afterwards."""
    children.succeed("""
        from strongroom import vm
        import pages
        from pages import PAGE
        region = vm.allocate(2 * PAGE)
        region.protect(PAGE, PAGE, vm.READ_ONLY)
        try:
            region.secure(permanent=True)
        except AccessError:
            pass
        else:
            raise SystemExit("no error")
        assert 0 == pages.others_protect(region.address, 2 * PAGE, pages.PROT_NONE)
        region.release()
    """)


@pytest.mark.skipif(
    not faultinject.is_supported(), reason="making system calls fail is written for Linux x86_64, aarch64"
)
def test_a_kernel_without_it_is_named() -> None:
    """UnsupportedError that says since when there is one; nothing is secured. (Here the call is made to fail.)"""
    children.succeed("""
        import faultinject
        from strongroom import vm
        region = vm.allocate(1)
        faultinject.deny("mseal", errno.ENOSYS)
        try:
            region.secure(permanent=True)
        except UnsupportedError as error:
            assert "Linux 6.10" in str(error), error
        else:
            raise SystemExit("no error")
        region.decommit()
    """)


def test_this_kernel_has_it_or_says_so() -> None:
    """The control of the skips above: an UnsupportedError only where the kernel is older than 6.10."""
    import os
    import re

    release = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
    if release < (6, 10):
        with vm.allocate(PAGE) as region, pytest.raises(UnsupportedError):
            region.secure(permanent=True)
    else:
        assert children.succeed(START + "    print('sealed')\n") == "sealed\n"
