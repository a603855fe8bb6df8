"""secure(): ranges that are neither given back nor made stricter, by the Windows kernel's own rules."""

import copy
import gc
import pickle
import warnings
from pathlib import Path

import pytest

import securing
from pages import BASES, PAGE, letters, needs_fork, needs_proc
from strongroom import AccessError, DestroyedError, ForkedError, SecuredError, vm

DOCS = Path(__file__).resolve().parents[2] / "docs" / "vm" / "securing.md"


@pytest.mark.parametrize("change", securing.CHANGES)
@pytest.mark.parametrize("mode", securing.MODES)
def test_the_kernels_answer_is_ours(mode: str, change: str) -> None:
    """For each mode and each change: what Windows' kernel does. Copy on write is tried on views, which can have it."""
    assert securing.kernel(mode, change) == securing.ours(mode, change)


def test_the_kernel_is_never_laxer_than_the_letter() -> None:
    """Whoever relies on the documentation gets at least what it promises: what the letter refuses is refused."""
    for mode in securing.MODES:
        for change in securing.CHANGES:
            if securing.letter(mode, change) == "refused":
                assert securing.kernel(mode, change) == "refused"


def test_the_table_in_the_docs_is_this_one() -> None:
    """docs/vm/securing.md has the matrix as it is measured; python -c 'import securing; …table()' makes it anew."""
    assert securing.table() in DOCS.read_text(encoding="utf-8")


@needs_proc
@pytest.mark.parametrize("mode", securing.MODES)
def test_what_is_refused_changes_nothing(mode: str) -> None:
    """Protections, contents and state of the whole range are as before, whatever was tried over it."""
    with vm.allocate(3 * PAGE) as region:
        region.write(PAGE, b"1337")
        with region.secure(PAGE, PAGE, securing.MODES[mode]):
            for attempt in (
                lambda: region.protect(0, None, vm.NO_ACCESS),
                lambda: region.commit(0, None, vm.NO_ACCESS),
                lambda: region.commit(0, None, vm.READ_WRITE | vm.GUARD),
                lambda: region.protected(0, None, vm.NO_ACCESS).__enter__(),
                lambda: region.decommit(),
                lambda: region.release(),
            ):
                with pytest.raises(SecuredError, match=f"4,096 bytes from offset 0x1000 are secured as {mode}"):
                    attempt()
            assert letters(region) == ["rw-"] * 3
            assert region.read(PAGE, 4) == b"1337"
        region.decommit()


def test_the_rest_of_the_region_is_free() -> None:
    """Only the pages of the range are held: it is rounded to pages, not to the region."""
    with vm.allocate(4 * PAGE) as region, region.secure(2 * PAGE - 1, 2) as handle:
        assert (handle.offset, handle.size, handle.mode) == (PAGE, 2 * PAGE, vm.READ_WRITE)
        region.decommit(0, PAGE)
        region.protect(3 * PAGE, PAGE, vm.NO_ACCESS)
        for page in (1, 2):
            with pytest.raises(SecuredError):
                region.decommit(page * PAGE, PAGE)


def test_the_example_of_the_manual() -> None:
    """Probed as READ_WRITE, a buffer cannot become read-only; probed as READ_ONLY, it may become writable."""
    with vm.allocate(PAGE) as region:
        with region.secure(0, None, vm.READ_WRITE), pytest.raises(SecuredError):
            region.protect(0, None, vm.READ_ONLY)
        region.protect(0, None, vm.READ_ONLY)
        with region.secure(0, None, vm.READ_ONLY):
            assert region.protect(0, None, vm.READ_WRITE) == vm.READ_ONLY


@pytest.mark.parametrize("mode", securing.MODES)
@pytest.mark.parametrize("base", ["NO_ACCESS", "READ_ONLY", "READ_WRITE", "EXECUTE", "EXECUTE_READ"])
def test_pages_must_satisfy_the_mode_now(base: str, mode: str) -> None:
    """What the mode would not let a page become, it must not be already; then nothing is secured."""
    with vm.allocate(2 * PAGE) as region:
        region.protect(PAGE, PAGE, BASES[base])
        if securing.kernel(mode, base) == "allowed":
            with region.secure(0, None, securing.MODES[mode]) as handle:
                assert handle.is_held
        else:
            with pytest.raises(AccessError, match=f"secure: the page at offset 0x1000 is {base}"):
                region.secure(0, None, securing.MODES[mode])
        region.decommit()


@pytest.mark.parametrize("mode", securing.MODES)
def test_pages_must_be_committed(mode: str) -> None:
    """One reserved page in the range and none is secured."""
    with vm.reserve(3 * PAGE) as region:
        region.commit(0, 2 * PAGE)
        with pytest.raises(AccessError, match="secure: the page at offset 0x2000 is reserved"):
            region.secure(0, None, securing.MODES[mode])
        region.decommit()
    with pytest.raises(DestroyedError):
        region.secure(0, None, securing.MODES[mode])


def test_handles_overlap_and_the_strictest_wins() -> None:
    """Each is a promise of its own, ended in any order."""
    with vm.allocate(3 * PAGE) as region:
        low = region.secure(0, 2 * PAGE, vm.READ_ONLY)
        high = region.secure(PAGE, 2 * PAGE, vm.READ_WRITE)
        again = region.secure(PAGE, 2 * PAGE, vm.READ_WRITE)
        region.protect(0, PAGE, vm.READ_ONLY)
        for handle in (high, again):
            with pytest.raises(SecuredError, match="READ_WRITE"):
                region.protect(PAGE, PAGE, vm.READ_ONLY)
            handle.unsecure()
        region.protect(PAGE, PAGE, vm.READ_ONLY)
        region.decommit(2 * PAGE, PAGE)
        with pytest.raises(SecuredError, match="READ_ONLY"):
            region.decommit(PAGE, PAGE)
        low.unsecure()
        region.decommit()


def test_a_handle_is_a_block() -> None:
    """Held inside, ended after it, also when an exception flies or it was ended inside."""
    with vm.allocate(PAGE) as region:
        with pytest.raises(KeyError), region.secure() as handle:  # noqa: PT012
            assert handle.is_held
            raise KeyError
        assert not handle.is_held
        region.decommit()
        region.commit()
        with region.secure() as handle:
            handle.unsecure()
        with pytest.raises(AccessError, match="holds nothing any more"), handle:
            pass


def test_a_promise_ends_once() -> None:
    """unsecure() of what was ended is an error, and takes nobody else's promise away."""
    with vm.allocate(PAGE) as region:
        first, second = region.secure(), region.secure()
        first.unsecure()
        with pytest.raises(AccessError, match="ended already"):
            first.unsecure()
        with pytest.raises(SecuredError):
            region.decommit()
        second.unsecure()
        region.decommit()


def test_it_says_what_it_is() -> None:
    """repr() has range, mode and state."""
    with vm.allocate(2 * PAGE) as region:
        handle = region.secure(PAGE, 1, vm.READ_ONLY)
        assert repr(handle) == "<SecureHandle 4,096 bytes from offset 0x1000, READ_ONLY, held>"
        handle.unsecure()
        assert repr(handle) == "<SecureHandle 4,096 bytes from offset 0x1000, READ_ONLY, ended>"


def test_a_handle_stays_in_its_process() -> None:
    """It can be neither pickled, to be sent to another process, nor copied, nor made from nothing."""
    with vm.allocate(PAGE) as region, region.secure() as handle:
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="ends in the process that made it"):
                attempt(handle)
        with pytest.raises(TypeError, match="comes from secure"):
            type(handle)()
        hollow = type(handle).__new__(type(handle))
        assert not hollow.is_held
        with pytest.raises(AccessError):
            hollow.unsecure()


@needs_proc
def test_a_forgotten_handle_secures_until_the_end() -> None:
    """ResourceWarning; from then on the range cannot be given back, and it outlives its region's last reference."""
    from pages import is_mapped

    region = vm.allocate(PAGE)
    address = region.address
    with pytest.warns(ResourceWarning, match="SecureHandle was forgotten"):  # noqa: PT031
        region.secure()
        gc.collect()
    with pytest.raises(SecuredError):
        region.release()
    del region
    gc.collect()
    assert is_mapped(address)


def test_a_handle_keeps_its_region_alive() -> None:
    """Nobody else needs to have the region."""
    handle = vm.allocate(PAGE).secure()
    gc.collect()
    assert handle.is_held
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        handle.unsecure()
        del handle
        gc.collect()


@needs_proc
def test_a_handle_held_at_exit_is_no_noise() -> None:
    """The process ends as usual: whatever is secured then needs nobody to end it."""
    import children

    result = children.run("""
        from strongroom import vm
        region = vm.allocate(1)
        handle = region.secure()
        kept = [region.secure()]
        kept.append(kept)
    """)
    assert (result.code, result.out, result.err) == (0, "", "")


def test_leaving_a_regions_block_while_secured_is_an_error() -> None:
    """The region is not released; with an exception on its way that one stays."""
    region = vm.allocate(PAGE)
    with pytest.raises(SecuredError, match="release"), region:
        handle = region.secure()
    assert not region.is_released
    handle.unsecure()
    region.release()


@needs_fork
@needs_proc
def test_in_a_child_nothing_is_secured() -> None:
    """The parent's handle raises ForkedError there, the pages are free to go; the parent's own are still held."""
    from children import forked

    with vm.allocate(2 * PAGE) as region:
        handle = region.secure()

        def look() -> str:
            assert not handle.is_held
            with pytest.raises(ForkedError, match="made before a fork"):
                handle.unsecure()
            with pytest.raises(AccessError, match="holds nothing"), handle:
                pass
            region.decommit(0, PAGE)
            with region.secure(PAGE, PAGE), pytest.raises(SecuredError):
                region.decommit()
            region.decommit()
            return " ".join(letters(region))

        assert forked(look) == "--- ---"
        assert handle.is_held
        with pytest.raises(SecuredError):
            region.decommit()
        assert letters(region) == ["rw-"] * 2
        handle.unsecure()


@needs_fork
@needs_proc
def test_a_block_entered_before_a_fork_ends_in_the_parent() -> None:
    """Leaving it in the child raises ForkedError, unless an exception is on its way."""
    from children import forked

    with vm.allocate(PAGE) as region, region.secure() as handle:

        def leave() -> str:
            handle.__exit__(KeyError, KeyError(), None)
            with pytest.raises(ForkedError):
                handle.__exit__(None, None, None)
            return "left"

        assert forked(leave) == "left"
        assert handle.is_held
