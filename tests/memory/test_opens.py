"""Several accesses at once: pages are as open as the most demanding one needs, and close with the last."""

import gc
import threading
from collections.abc import Generator, Iterator

import pytest

from observed import AT_REST, address_of, protection_at
from strongroom import AccessError, LockedBuffer


@pytest.fixture
def made(backing: str) -> Iterator[tuple[LockedBuffer, int]]:
    """A buffer and where its bytes lie."""
    with LockedBuffer(32, backing=backing, isolated=True) as buffer:
        with buffer.open("rw") as view:
            view[:] = b"a" * 32
            address = address_of(view)
        yield buffer, address


def test_one_access_at_a_time(made: tuple[LockedBuffer, int]) -> None:
    """Closed, read-only, closed, writable, closed."""
    buffer, address = made
    assert protection_at(address) == AT_REST
    with buffer.open():
        assert protection_at(address) == "r--"
    assert protection_at(address) == AT_REST
    with buffer.open("rw"):
        assert protection_at(address) == "rw-"
    assert protection_at(address) == AT_REST


def test_a_writer_inside_a_reader(made: tuple[LockedBuffer, int]) -> None:
    """Opens the pages for writing and takes that back; the reader's View stays read-only and sees the change."""
    buffer, address = made
    with buffer.open() as outer:
        with buffer.open("rw") as inner:
            assert protection_at(address) == "rw-"
            inner[0] = 7
            with pytest.raises(TypeError):
                outer[0] = 8
        assert protection_at(address) == "r--"
        assert outer[0] == 7
    assert protection_at(address) == AT_REST


def test_a_reader_inside_a_writer(made: tuple[LockedBuffer, int]) -> None:
    """Does not take the writer's right away."""
    buffer, address = made
    with buffer.open("rw") as outer:
        with buffer.open() as inner:
            assert inner[0] == ord("a")
        assert protection_at(address) == "rw-"
        outer[0] = 1
    assert protection_at(address) == AT_REST


def test_ends_out_of_order(made: tuple[LockedBuffer, int]) -> None:
    """The writer that was first in leaves first: what remains is a reader."""
    buffer, address = made
    writer, reader = buffer.open("rw"), buffer.open()
    writer.__enter__()
    view = reader.__enter__()
    writer.__exit__(None, None, None)
    assert protection_at(address) == "r--"
    assert view[0] == ord("a")
    reader.__exit__(None, None, None)
    assert protection_at(address) == AT_REST


def test_eight_threads(made: tuple[LockedBuffer, int]) -> None:
    """Readers and writers in eight threads see each other's bytes, nobody faults, and the last one closes."""
    buffer, address = made
    wrong: list[str] = []
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for turn in range(300):
            with buffer.open("rw" if number % 2 else "r") as view:
                if number % 2:
                    view[number] = turn % 251
                    if view[number] != turn % 251:
                        wrong.append(f"thread {number} lost its byte")
                elif len(bytes(view)) != 32:
                    wrong.append("short read")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert protection_at(address) == AT_REST


def test_an_access_is_good_for_one_block(made: tuple[LockedBuffer, int]) -> None:
    """Used again during or after its block it refuses, and the first block is unharmed."""
    buffer, address = made
    access = buffer.open()
    with access as view:
        with pytest.raises(AccessError, match="one with block"), access:
            pass
        assert view[0] == ord("a")
        assert protection_at(address) == "r--"
    with pytest.raises(AccessError, match="one with block"), access:
        pass
    assert protection_at(address) == AT_REST


def test_ending_an_access_twice_or_before_its_start_does_nothing(made: tuple[LockedBuffer, int]) -> None:
    """The counts stay right: another open access keeps its memory."""
    buffer, address = made
    with buffer.open() as view:
        access = buffer.open("rw")
        access.__exit__(None, None, None)
        used = buffer.open()
        used.__enter__()
        used.__exit__(None, None, None)
        used.__exit__(None, None, None)
        assert view[0] == ord("a")
        assert protection_at(address) == "r--"


def test_an_access_that_is_never_entered_holds_nothing(made: tuple[LockedBuffer, int]) -> None:
    """Pages stay closed."""
    buffer, address = made
    access = buffer.open("rw")
    assert protection_at(address) == AT_REST
    del access


def test_a_dropped_generator_closes_its_block(made: tuple[LockedBuffer, int]) -> None:
    """A generator stopped inside a block and thrown away runs its __exit__."""
    buffer, address = made

    def reader() -> Generator[int, None, None]:
        with buffer.open() as view:
            for index in range(len(view)):
                yield view[index]

    running = reader()
    assert next(running) == ord("a")
    assert protection_at(address) == "r--"
    running.close()
    assert protection_at(address) == AT_REST


def test_an_access_dropped_without_exit_closes(made: tuple[LockedBuffer, int]) -> None:
    """Entered by hand and lost: its memory closes when access and View are gone."""
    buffer, address = made
    access = buffer.open("rw")
    view = access.__enter__()
    del access
    view[0] = 3
    assert protection_at(address) == "rw-"
    del view
    gc.collect()
    assert protection_at(address) == AT_REST


def test_destroy_while_open_is_refused(made: tuple[LockedBuffer, int]) -> None:
    """BufferError with the number of open blocks; the memory stays readable until they end."""
    buffer, _ = made
    with buffer.open() as view, buffer.open("rw"):
        with pytest.raises(BufferError, match="2 open"):
            buffer.destroy()
        assert view[0] == ord("a")
    buffer.destroy()


def test_leaving_the_buffers_block_while_open_is_refused() -> None:
    """The same, at the end of ``with buffer``."""
    with pytest.raises(BufferError, match="1 open"), LockedBuffer(32, isolated=True) as buffer:  # noqa: PT012
        access = buffer.open()
        view = access.__enter__()
    assert view[0] == 0
    access.__exit__(None, None, None)
    buffer.destroy()


def test_leaving_it_with_an_exception_keeps_that_exception_and_still_wipes() -> None:
    """The exception arrives; the buffer is destroyed as soon as the last access ends."""
    buffer = LockedBuffer(32, isolated=True)
    with pytest.raises(KeyError, match="mine"), buffer:  # noqa: PT012
        access = buffer.open("rw")
        view = access.__enter__()
        view[0] = 1
        raise KeyError("mine")
    access.__exit__(None, None, None)
    assert buffer.is_destroyed
