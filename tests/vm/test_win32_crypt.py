"""CryptProtectMemory: bytes change, come back, and nothing else is taken for them."""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from strongroom.vm.win32 import (
    DWORD,
    CloseHandle,
    CreateFileMapping,
    CryptProtectMemory,
    CryptUnprotectMemory,
    MapViewOfFile,
    RtlMoveMemory,
    UnmapViewOfFile,
    VirtualAlloc,
    VirtualFree,
    VirtualProtect,
    Win32Error,
)
from strongroom.vm.win32.constants import (
    CRYPTPROTECTMEMORY_CROSS_PROCESS,
    CRYPTPROTECTMEMORY_SAME_LOGON,
    CRYPTPROTECTMEMORY_SAME_PROCESS,
    ERROR_INVALID_DATA,
    ERROR_INVALID_PARAMETER,
    ERROR_NOACCESS,
    ERROR_NOT_SUPPORTED,
    FILE_MAP_WRITE,
    INVALID_HANDLE_VALUE,
    MEM_COMMIT,
    MEM_RELEASE,
    MEM_RESERVE,
    PAGE_READONLY,
    PAGE_READWRITE,
)

IS_LINUX = sys.platform.startswith("linux")
needs_linux = pytest.mark.skipif(not IS_LINUX, reason="reads /proc: run on Linux")
needs_own = pytest.mark.skipif(sys.platform == "win32", reason="strongroom's own protection: Windows has its kernel's")


def fails(code: int, call: Callable[..., Any], *arguments: Any) -> None:
    """The call raises exactly this code."""
    with pytest.raises(Win32Error) as caught:
        call(*arguments)
    assert caught.value.winerror == code, caught.value


@pytest.fixture(autouse=True)
def _is_real() -> None:
    """Under Wine the call is a stub, and strongroom must say so; the rest has nothing to test then."""
    block = bytearray(16)
    code = 0
    try:
        CryptProtectMemory(block, 16, CRYPTPROTECTMEMORY_SAME_PROCESS)
    except Win32Error as error:
        code = error.code
    if code:
        assert (code, bytes(block)) == (ERROR_NOT_SUPPORTED, bytes(16))
        pytest.skip("CryptProtectMemory does nothing here: needs Windows itself, or a Unix; this is Wine")


@pytest.fixture
def page() -> Iterator[int]:
    address = VirtualAlloc(None, 4096, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE)
    yield address
    VirtualFree(address, 0, MEM_RELEASE)


def content(address: int, size: int) -> bytes:
    from strongroom.vm.win32.regions import region_at

    region = region_at(address)
    assert region is not None
    return region.read(address - region.address, size)


@pytest.mark.parametrize("size", [16, 32, 4096])
def test_bytes_change_and_come_back(page: int, size: int) -> None:
    """Protected bytes share no block with the plaintext; unprotected ones are the plaintext."""
    plain = os.urandom(size)
    RtlMoveMemory(page, plain, size)
    assert CryptProtectMemory(page, size, CRYPTPROTECTMEMORY_SAME_PROCESS)
    hidden = content(page, size)
    assert all(hidden[i : i + 16] != plain[i : i + 16] for i in range(0, size, 16))
    assert CryptUnprotectMemory(page, size, CRYPTPROTECTMEMORY_SAME_PROCESS)
    assert content(page, size) == plain


def test_buffers_and_views_of_files(page: int) -> None:
    """A bytearray and a mapped view are protected like an allocation; bytes that cannot be written are refused."""
    buffer = bytearray(b"sixteen letters.")
    CryptProtectMemory(buffer, 16, 0)
    assert buffer != b"sixteen letters."
    handle = CreateFileMapping(INVALID_HANDLE_VALUE, None, PAGE_READWRITE, 0, 4096, None)
    view = MapViewOfFile(handle, FILE_MAP_WRITE, 0, 0, 0)
    RtlMoveMemory(view, bytes(buffer), 16)
    CryptUnprotectMemory(view, 16, 0)
    RtlMoveMemory(page, view, 16)
    assert content(page, 16) == b"sixteen letters."
    UnmapViewOfFile(view)
    CloseHandle(handle)
    fails(ERROR_NOACCESS, CryptProtectMemory, bytes(16), 16, 0)
    fails(ERROR_NOACCESS, CryptProtectMemory, bytearray(15), 16, 0)


def test_the_place_does_not_matter(page: int) -> None:
    """Ciphertext that was moved, and every copy of it, is unprotected where it is."""
    RtlMoveMemory(page, b"a secret on the move, twice over", 32)
    CryptProtectMemory(page, 32, 0)
    RtlMoveMemory(page + 1001, page, 32)
    copy = bytearray(content(page, 32))
    CryptUnprotectMemory(page + 1001, 32, 0)
    CryptUnprotectMemory(copy, 32, 0)
    assert content(page + 1001, 32) == copy == b"a secret on the move, twice over"


@needs_own
@pytest.mark.parametrize("index", [0, 15, 31])
def test_tampering_is_noticed(page: int, index: int) -> None:
    """One flipped bit, and nothing comes back and nothing is changed; put right, it is as before."""
    RtlMoveMemory(page, b"x" * 32, 32)
    CryptProtectMemory(page, 32, 0)
    hidden = content(page, 32)
    forged = bytearray(hidden)
    forged[index] ^= 1
    RtlMoveMemory(page, bytes(forged), 32)
    fails(ERROR_INVALID_DATA, CryptUnprotectMemory, page, 32, 0)
    assert content(page, 32) == forged
    fails(ERROR_INVALID_DATA, CryptUnprotectMemory, page, 16, 0)
    RtlMoveMemory(page, hidden, 32)
    CryptUnprotectMemory(page, 32, 0)
    assert content(page, 32) == b"x" * 32


@needs_own
def test_a_tag_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were two ciphertexts taken for each other, the tag would still tell; what is there stays."""
    from strongroom.vm.win32 import vault

    monkeypatch.setattr(vault, "_name", lambda _: b"always the same")
    first, other = bytearray(16), bytearray(16)
    CryptProtectMemory(first, 16, 0)
    CryptProtectMemory(other, 16, 0)
    hidden = bytes(first)
    fails(ERROR_INVALID_DATA, CryptUnprotectMemory, first, 16, 0)
    assert first == hidden
    CryptUnprotectMemory(other, 16, 0)
    assert other == bytes(16)


@needs_own
def test_equal_plaintexts_differ() -> None:
    """A thousand protections of the same bytes have a thousand results."""
    seen = set()
    for _ in range(1_000):
        block = bytearray(16)
        CryptProtectMemory(block, 16, 0)
        seen.add(bytes(block))
    assert len(seen) == 1_000


@needs_own
def test_the_table_of_used_ones_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is protected is kept however much there is; of what was unprotected only the latest."""
    from strongroom.vm.win32 import vault

    monkeypatch.setattr(vault, "USED_MAX", 10)
    blocks = [bytearray(16) for _ in range(50)]
    for block in blocks:
        CryptProtectMemory(block, 16, 0)
    hidden = [bytes(block) for block in blocks]
    for block in blocks:
        CryptUnprotectMemory(block, 16, 0)
    assert blocks == [bytearray(16)] * 50
    fails(ERROR_INVALID_DATA, CryptUnprotectMemory, bytearray(hidden[0]), 16, 0)
    CryptUnprotectMemory(bytearray(hidden[49]), 16, 0)


@pytest.mark.parametrize("size", [0, 1, 15, 17, -16])
def test_sizes(page: int, size: int) -> None:
    """Only whole blocks of 16 bytes."""
    fails(ERROR_INVALID_PARAMETER, CryptProtectMemory, page, size, 0)
    fails(ERROR_INVALID_PARAMETER, CryptUnprotectMemory, page, size, 0)


def test_flags(page: int) -> None:
    """Unknown flags are wrong; those that need Windows' kernel are not supported elsewhere."""
    fails(ERROR_INVALID_PARAMETER, CryptProtectMemory, page, 16, 3)
    if sys.platform != "win32":
        fails(ERROR_NOT_SUPPORTED, CryptProtectMemory, page, 16, CRYPTPROTECTMEMORY_CROSS_PROCESS)
        fails(ERROR_NOT_SUPPORTED, CryptProtectMemory, page, 16, CRYPTPROTECTMEMORY_SAME_LOGON)
    assert content(page, 16) == bytes(16)


@needs_linux
def test_wrong_addresses_never_crash(page: int) -> None:
    """Nothing mapped, read-only pages, reserved pages, the end of an allocation: ERROR_NOACCESS."""
    reserved = VirtualAlloc(None, 8192, MEM_RESERVE, PAGE_READWRITE)
    VirtualAlloc(reserved, 4096, MEM_COMMIT, PAGE_READWRITE)
    for address in (0, 16, reserved + 4096, reserved + 4090, page + 4090):
        fails(ERROR_NOACCESS, CryptProtectMemory, address, 16, 0)
    VirtualProtect(page, 4096, PAGE_READONLY, DWORD())
    fails(ERROR_NOACCESS, CryptProtectMemory, page, 16, 0)
    VirtualFree(reserved, 0, MEM_RELEASE)


@needs_linux
def test_a_purge_ends_what_was_protected() -> None:
    """After purge() the key is gone: old ciphertexts stay what they are, new ones work."""
    import children

    children.succeed("""
        from strongroom.vm.win32 import *
        old = bytearray(16); CryptProtectMemory(old, 16, 0)
        purge()
        try:
            CryptUnprotectMemory(old, 16, 0)
        except Win32Error as error:
            assert error.winerror == ERROR_INVALID_DATA
        else:
            raise AssertionError
        new = bytearray(16); CryptProtectMemory(new, 16, 0); CryptUnprotectMemory(new, 16, 0)
        assert new == bytes(16)
    """)


@needs_linux
def test_a_forked_child_has_a_key_of_its_own() -> None:
    """A child cannot unprotect what its parent protected, and can protect its own; the parent is as before."""
    import children

    block = bytearray(b"the parent's own")
    CryptProtectMemory(block, 16, 0)

    def child() -> int:
        own = bytearray(16)
        CryptProtectMemory(own, 16, 0)
        CryptUnprotectMemory(own, 16, 0)
        assert own == bytes(16)
        try:
            CryptUnprotectMemory(block, 16, 0)
        except Win32Error as error:
            return int(error.winerror)
        return 0

    assert children.forked(child) == str(ERROR_INVALID_DATA)
    CryptUnprotectMemory(block, 16, 0)
    assert block == b"the parent's own"


@needs_linux
@pytest.mark.parametrize("what", ["protected", "ordinary"])
def test_a_second_process_finds_neither_key_nor_plaintext(what: str, has_secretmem: bool) -> None:
    """After protecting, the plaintext is nowhere in the process, its key only where it belongs; a control is found."""
    import children
    import observed

    code = """
        from strongroom.vm.win32 import *
        from strongroom.vm.win32 import vault
        page = VirtualAlloc(None, 4096, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE)
        ctypes.memset(page, 0, 32)
        for i in range(32):
            ctypes.memset(page + i, (i * 7 + 0x41) & 0xFF ^ 0x5A, 1)
        if %r == "protected":
            for _ in range(100):
                CryptProtectMemory(page, 32, 0); CryptUnprotectMemory(page, 32, 0)
            CryptProtectMemory(page, 32, 0)
            block = vault._slot[None]._key
            with block.open() as view:
                print(*(byte ^ 0x5A for byte in view), flush=True)  # never the key itself
        else:
            print("none", flush=True)
        sys.stdin.readline()
    """
    needle = bytes((i * 7 + 0x41) & 0xFF ^ 0x5A for i in range(32))
    with children.Live(code % what) as child, observed.Memory(child.pid) as memory:
        told = child.line().split()
        gc.collect()
        assert memory.count(needle) == (0 if what == "protected" else 1)
        if what == "protected":
            key = bytes(int(number) ^ 0x5A for number in told)
            assert len(key) == 32
            places = 0 if has_secretmem else 1  # secret memory is nobody else's to read
            assert memory.counts([key, key[:16], key[16:]]) == {key: places, key[:16]: places, key[16:]: places}
