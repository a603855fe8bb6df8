"""NumPy over Views: arrays without a copy, both ways, and what happens when one outlives its block."""

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from observed import AT_REST, address_of, protection_at
from samples import made_of
from strongroom import LockedBuffer

CONTENT = bytes(range(32))


def test_an_array_reads_the_view_in_place() -> None:
    """frombuffer, asarray of a memoryview and ndarray(buffer=...) share the View's memory, and cannot write to it."""
    with made_of(CONTENT).open() as view:
        anything: Any = view
        for array in (
            np.frombuffer(anything, np.uint8),
            np.asarray(memoryview(view)),
            np.ndarray((4, 8), np.uint8, buffer=anything),
        ):
            assert array.tobytes() == CONTENT
            assert array.ctypes.data == address_of(view)
            assert not array.flags.writeable
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1
            del array


def test_an_array_writes_into_the_view() -> None:
    """What is computed in place is in the buffer: assignment, ufuncs with out=, copyto, other item types."""
    with LockedBuffer(32) as buffer:
        with buffer.open("rw") as view:
            anything: Any = view
            array = np.frombuffer(anything, np.uint8)
            assert array.flags.writeable
            array[:] = np.arange(32)
            np.bitwise_xor(array, np.uint8(0xFF), out=array)
            np.copyto(array[:4], np.array([9, 8, 7, 6], np.uint8))
            wide = np.frombuffer(anything, "<u4", count=2, offset=8)
            wide[1] = 0x01020304
            del array, wide
        with buffer.open() as view:
            expected = bytes([9, 8, 7, 6]) + bytes(x ^ 0xFF for x in range(4, 12)) + bytes([4, 3, 2, 1])
            assert bytes(view[:16]) == expected
            assert bytes(view[16:]) == bytes(x ^ 0xFF for x in range(16, 32))


def test_items_of_eight_bytes_are_aligned() -> None:
    """A buffer whose size is a multiple of the item's begins at one: it ends with a page."""
    with LockedBuffer(32, isolated=True) as buffer, buffer.open("rw") as view:
        anything: Any = view
        array = np.frombuffer(anything, np.float64)
        assert array.flags.aligned
        array[:] = [1.0, -2.0, np.inf, 0.5]
        assert np.linalg.norm(array[[0, 1, 3]]) == pytest.approx(np.sqrt(5.25))
        del array


def test_a_secret_is_built_from_an_array() -> None:
    """A View takes an array by slice assignment."""
    source: Any = np.arange(32, dtype=np.uint8)
    with made_of(CONTENT).open() as view, LockedBuffer(32) as buffer, buffer.open("rw") as mine:
        mine[:] = source
        assert mine == view


@pytest.mark.parametrize("kind", ["array", "slice", "reshaped", "in a list", "other item type"])
def test_an_array_that_outlives_the_block_is_named(kind: str) -> None:
    """The block ends with a BufferError that says which variable kept what; the memory closes when the array goes."""
    kinds: dict[str, Callable[[Any], object]] = {
        "array": lambda array: array,
        "slice": lambda array: array[2:8:2],
        "reshaped": lambda array: array.reshape(4, 8).T,
        "in a list": lambda array: [array],
        "other item type": lambda array: array.view(np.uint32),
    }
    make = kinds[kind]
    buffer = LockedBuffer(32, isolated=True)
    with pytest.raises(BufferError, match="kept past the block") as caught, buffer.open("rw") as view:  # noqa: PT012
        anything: Any = view
        address = address_of(view)
        weights = make(np.frombuffer(anything, np.uint8))
    assert "'weights'" in str(caught.value)
    assert "ndarray" in str(caught.value)
    with pytest.raises(BufferError, match="'weights'"), buffer.open():
        pass
    assert protection_at(address) == "rw-"
    del weights, view, anything, caught
    gc.collect()
    assert protection_at(address) == AT_REST
    with buffer.open() as again:
        assert bytes(again) == bytes(32)


def test_a_copy_may_outlive_the_block() -> None:
    """Control: what NumPy has copied is ordinary memory, and nobody's business."""
    with made_of(CONTENT).open() as view:
        anything: Any = view
        copy = np.frombuffer(anything, np.uint8).copy()
        total = int(np.frombuffer(anything, np.uint8).sum())
    assert copy.tobytes() == CONTENT
    assert total == sum(CONTENT)
