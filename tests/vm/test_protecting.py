"""Protections: the eight and their modifiers, what each becomes, and how changes are taken back."""

import ctypes
import platform

import pytest

from pages import BASES, LETTERS, MODIFIERS, PAGE, letters, needs_proc
from strongroom import AccessError, SecuredError, UnsupportedError, vm

#: Machine code of "return 42".
RETURN_42 = {
    "x86_64": b"\xb8\x2a\x00\x00\x00\xc3",  # mov eax, 42; ret
    "AMD64": b"\xb8\x2a\x00\x00\x00\xc3",
    "aarch64": b"\x40\x05\x80\x52\xc0\x03\x5f\xd6",  # mov w0, #42; ret
}


def expected_of(base: str, modifier: str) -> "str | type[Exception]":
    """What the manual says of a combination: letters of maps, or the error."""
    if base == "NO_ACCESS" and modifier != "plain":
        return ValueError
    if base in ("WRITE_COPY", "EXECUTE_WRITE_COPY") or modifier in ("NO_CACHE", "WRITE_COMBINE"):
        return UnsupportedError
    return "---" if modifier == "GUARD" else LETTERS[BASES[base]]


@needs_proc
@pytest.mark.parametrize("modifier", MODIFIERS)
@pytest.mark.parametrize("base", BASES)
def test_what_each_protection_becomes(base: str, modifier: str) -> None:
    """The system shows it, through commit, protect and allocate alike, or all three refuse it and change nothing."""
    protection = BASES[base] | MODIFIERS[modifier]
    expected = expected_of(base, modifier)
    with vm.reserve(3 * PAGE) as region:
        region.commit(PAGE, PAGE)
        if isinstance(expected, str):
            assert vm.is_possible(protection)
            region.commit(0, PAGE, protection)
            assert region.protect(PAGE, PAGE, protection) == vm.READ_WRITE
            assert protection == region.protect(PAGE, PAGE, protection)
            assert [expected, expected, "---"] == letters(region)
            with vm.allocate(PAGE, protection) as other:
                assert [expected] == letters(other)
                assert protection == vm.query(other.address).protection
            return
        for attempt in (region.commit, region.protect):
            with pytest.raises(expected, match=base):
                attempt(0, 2 * PAGE, protection)
        with pytest.raises(expected, match=base):
            vm.allocate(PAGE, protection)
        assert letters(region) == ["---", "rw-", "---"]
        if expected is UnsupportedError:
            assert not vm.is_possible(protection)


@pytest.mark.parametrize(
    "protection", [0, 3, 0x100, 0x900, 0x304, 0x704, -4, 1 << 64, vm.NO_ACCESS | vm.GUARD], ids=hex
)
def test_what_is_no_protection_is_refused_by_name(protection: int) -> None:
    """None of the eight, two of them, modifiers that exclude each other: ValueError, by everything that takes one."""
    with vm.allocate(PAGE) as region:
        for attempt in (region.commit, region.protect, lambda *a: region.protected(*a).__enter__()):
            with pytest.raises(ValueError, match=f"{protection:#x}|GUARD"):
                attempt(0, PAGE, protection)
        with pytest.raises(ValueError, match=f"{protection:#x}|GUARD"):
            vm.is_possible(protection)
        assert region.pages()[0].protection == vm.READ_WRITE


def test_protections_have_windows_values_and_names() -> None:
    """The constants are memoryapi.h's, and protection_name() says them."""
    values = [1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x100, 0x200, 0x400]
    assert values == [*BASES.values(), *(value for value in MODIFIERS.values() if value)]
    assert vm.protection_name(vm.READ_WRITE | vm.GUARD) == "READ_WRITE | GUARD"
    assert vm.protection_name(0) == "reserved"


def test_protecting_needs_committed_pages() -> None:
    """One reserved page in the range is an error that names it, and nothing is changed."""
    with vm.reserve(3 * PAGE) as region:
        region.commit(0, 2 * PAGE)
        with pytest.raises(AccessError, match="offset 0x2000 is reserved, not committed"):
            region.protect(0, 3 * PAGE, vm.READ_ONLY)
        assert region.pages()[0].protection == vm.READ_WRITE


def test_contents_survive_protection() -> None:
    """What was written is there whatever the pages were in between."""
    with vm.allocate(2 * PAGE) as region:
        region.write(PAGE - 2, b"1337")
        for protection in (vm.NO_ACCESS, vm.READ_ONLY, vm.EXECUTE_READ, vm.READ_WRITE | vm.GUARD, vm.READ_WRITE):
            region.protect(0, None, protection)
        assert region.read(PAGE - 2, 4) == b"1337"


def test_the_old_protection_is_the_first_pages() -> None:
    """protect() returns what the first page of the range had."""
    with vm.allocate(3 * PAGE) as region:
        region.protect(PAGE, PAGE, vm.NO_ACCESS)
        assert region.protect(PAGE, 2 * PAGE, vm.READ_ONLY) == vm.NO_ACCESS
        assert region.protect(0, None, vm.READ_ONLY) == vm.READ_WRITE


MIXED = (vm.READ_WRITE, vm.READ_ONLY, vm.NO_ACCESS, vm.EXECUTE_READ, vm.READ_ONLY | vm.GUARD, vm.READ_WRITE)


def mixed() -> vm.Region:
    """A region of six pages that are all different."""
    region = vm.allocate(len(MIXED) * PAGE)
    for page, protection in enumerate(MIXED):
        region.protect(page * PAGE, PAGE, protection)
    return region


def protections(region: vm.Region) -> list[int]:
    """The protection of each page, as strongroom knows it."""
    return [run.protection for run in region.pages() for _ in range(run.size // PAGE)]


@needs_proc
@pytest.mark.parametrize("is_failing", [False, True])
def test_protected_brings_back_each_page(is_failing: bool) -> None:
    """A mixed range is as before after the block, also when an exception flies, which it lets through."""
    with mixed() as region:
        before = letters(region)
        try:
            with region.protected(0, None, vm.READ_WRITE) as same:
                assert same is region
                assert letters(region) == ["rw-"] * 6
                if is_failing:
                    raise KeyError("mine")
        except KeyError:
            assert is_failing
        assert before == letters(region)
        assert list(MIXED) == protections(region)


@needs_proc
@pytest.mark.parametrize("is_failing", [False, True])
def test_protected_restores_around_a_decommitted_page(is_failing: bool) -> None:
    """The page that is gone is told of, all others get theirs back, the run it was in the middle of included."""
    with vm.allocate(7 * PAGE) as region:
        error = KeyError if is_failing else AccessError
        with pytest.raises(error), region.protected(PAGE, 5 * PAGE, vm.NO_ACCESS):  # noqa: PT012
            region.decommit(3 * PAGE, PAGE)
            if is_failing:
                raise KeyError("mine")
        assert letters(region) == ["rw-", "rw-", "rw-", "---", "rw-", "rw-", "rw-"]
        assert protections(region) == [vm.READ_WRITE] * 3 + [0] + [vm.READ_WRITE] * 3


def test_protected_restores_around_a_secured_page() -> None:
    """What was secured meanwhile stays accessible; the rest becomes what it was."""
    with vm.allocate(3 * PAGE, vm.NO_ACCESS) as region:
        with pytest.raises(SecuredError, match="offset 0x1000"), region.protected(0, None, vm.READ_WRITE):
            handle = region.secure(PAGE, PAGE, vm.READ_WRITE)
        assert protections(region) == [vm.NO_ACCESS, vm.READ_WRITE, vm.NO_ACCESS]
        handle.unsecure()


def test_protected_changes_nothing_before_its_block() -> None:
    """Making the context manager does nothing; one that cannot be entered restores nothing."""
    with vm.reserve(2 * PAGE) as region:
        region.commit(0, PAGE)
        protected = region.protected(0, None, vm.READ_ONLY)
        with pytest.raises(AccessError, match="reserved"), protected:
            pass
        assert protections(region) == [vm.READ_WRITE, 0]
        region.commit(PAGE, PAGE)
        with protected, pytest.raises(RuntimeError, match="entered already"):
            protected.__enter__()
        assert protections(region) == [vm.READ_WRITE] * 2
        with protected:  # one after the other is fine
            assert protections(region) == [vm.READ_ONLY] * 2


@pytest.mark.parametrize("protection", [vm.EXECUTE, vm.EXECUTE_READ, vm.EXECUTE_READ_WRITE], ids=vm.protection_name)
def test_execute_really_executes(protection: int) -> None:
    """Code written into pages runs from them, and they can be read meanwhile."""
    code = RETURN_42.get(platform.machine())
    if code is None:
        pytest.skip("the code to run is only written for x86_64 and aarch64")
    with vm.allocate(PAGE) as region:
        region.write(0, code)
        region.protect(0, None, protection)
        assert code == region.read(0, len(code))
        if platform.machine() == "aarch64":  # the caches for data and for code are two: cacheflush
            ctypes.CDLL(None).__clear_cache(ctypes.c_void_p(region.address), ctypes.c_void_p(region.address + PAGE))
        assert ctypes.CFUNCTYPE(ctypes.c_int)(region.address)() == 42


@needs_proc
def test_without_execute_nothing_runs() -> None:
    """The control: the same code in READ_WRITE pages ends its process with SIGSEGV."""
    import signal

    import children

    if platform.machine() not in RETURN_42:
        pytest.skip("the code to run is only written for x86_64 and aarch64")
    result = children.run(
        f"""
        region = strongroom.vm.allocate(4096)
        region.write(0, {RETURN_42[platform.machine()]!r})
        ctypes.CFUNCTYPE(ctypes.c_int)(region.address)()
    """.replace("region =", "from strongroom import vm; region =").replace("strongroom.vm.", "vm.")
    )
    assert result.code == -signal.SIGSEGV
