"""Secret.from_buffer: taken over, and overwritten where it lay."""

import array
import mmap
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from children import succeed
from strongroom import LockedBuffer, Secret

CONTENT = bytes(range(1, 33))
SOURCES: dict[str, Callable[[bytes], Any]] = {
    "bytearray": bytearray,
    "array": lambda content: array.array("I", content),
    "memoryview": lambda content: memoryview(bytearray(content)),
    "NumPy array": lambda content: np.frombuffer(bytearray(content), dtype=np.uint16),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_what_was_there_is_sealed_and_gone(kind: str) -> None:
    """All bytes come in, whatever the items are, and zeros stay behind."""
    source = SOURCES[kind](CONTENT)
    assert Secret.from_buffer(source).reveal() == CONTENT
    assert bytes(memoryview(source).cast("B")) == bytes(len(CONTENT))


@pytest.mark.parametrize("kind", SOURCES)
def test_the_source_stays_where_that_is_wanted(kind: str) -> None:
    """With ``wipe=False`` nothing changes there."""
    source = SOURCES[kind](CONTENT)
    assert Secret.from_buffer(source, wipe=False).reveal() == CONTENT
    assert bytes(memoryview(source).cast("B")) == CONTENT


def test_from_a_view() -> None:
    """Out of a LockedBuffer, with no copy in ordinary memory on the way."""
    with LockedBuffer(32) as buffer:
        buffer.copy_from(CONTENT)
        with buffer.open("rw") as view:
            secret = Secret.from_buffer(view)
        assert buffer == bytes(32)
    assert secret == CONTENT


def test_what_cannot_be_overwritten_is_taken_only_on_purpose() -> None:
    """The error says how, and shows nothing; the secret is made with ``wipe=False``."""
    for source in (CONTENT, memoryview(CONTENT)):
        with pytest.raises(TypeError, match="cannot be overwritten: wipe=False") as caught:
            Secret.from_buffer(source)
        assert "\\x01" not in str(caught.value)
        assert Secret.from_buffer(source, wipe=False) == CONTENT


@pytest.mark.parametrize("wrong", ["text", None, 5, [1, 2]])
def test_no_buffer(wrong: Any) -> None:
    """Refused by type; the value is not shown."""
    with pytest.raises(TypeError, match=f"not {type(wrong).__name__}") as caught:
        Secret.from_buffer(wrong)
    assert "text" not in str(caught.value)


def test_an_empty_or_scattered_buffer() -> None:
    """Nothing is made, and the source is as it was."""
    with pytest.raises(ValueError, match="empty"):
        Secret.from_buffer(bytearray())
    with pytest.raises(ValueError, match="empty"):
        Secret.from_buffer(mmap.mmap(-1, 4)[:0], wipe=False)
    scattered: Any = np.arange(8, dtype=np.uint8)[::2]
    with pytest.raises((BufferError, ValueError)):
        Secret.from_buffer(scattered)
    assert list(scattered) == [0, 2, 4, 6]


def test_a_refusal_leaves_the_source() -> None:
    """Where no memory can be locked nothing is lost."""
    out = succeed("""
        Secret.random(1)
        children.limit_locks(4096)
        source = bytearray(b"x" * 9000)
        try:
            Secret.from_buffer(source)
        except LockLimitError:
            print(source == b"x" * 9000)
    """)
    assert out.split() == ["True"]
