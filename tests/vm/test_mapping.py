"""Sections and mapped views: what is shared, what stays private, and what is refused."""

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sections import second, unique
from strongroom import AccessError, DestroyedError, SystemCallError, vm
from strongroom._os.handles import section_name

IS_LINUX = sys.platform.startswith("linux")
needs_proc = pytest.mark.skipif(not IS_LINUX, reason="reads /proc: run on Linux")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mapped"
    path.write_bytes(bytes(range(256)) * 1024)
    return path


def test_a_view_shows_the_file(file: Path) -> None:
    """What is in the file is in the view, at any offset that the system allows, also when the file is closed."""
    with file.open("rb") as opened:
        view = vm.map_file(opened, vm.GRANULARITY, 300, vm.READ_ONLY)
    with view:
        assert view.read() == file.read_bytes()[vm.GRANULARITY : vm.GRANULARITY + 300]
        assert (view.size, view.offset, view.protection) == (300, vm.GRANULARITY, vm.READ_ONLY)


def test_writing_reaches_the_file_and_another_process(file: Path) -> None:
    """A flushed write is what another process reads from the file."""
    with file.open("r+b") as opened, vm.map_file(opened) as view:
        view.write(1000, b"through the view")
        view.flush(1000, 16)
        assert second("print(open(name, 'rb').read()[1000:1016].decode())", str(file)) == "through the view"


def test_a_copied_view_stays_private(file: Path) -> None:
    """WRITE_COPY: written bytes are in this view alone, not in the file, not in another view."""
    before = file.read_bytes()
    with file.open("rb") as opened:
        copy, other = vm.map_file(opened, protection=vm.WRITE_COPY), vm.map_file(opened, protection=vm.READ_ONLY)
    with copy, other:
        copy.write(5, b"mine")
        copy.flush()
        assert copy.read(5, 4) == b"mine"
        assert other.read() == file.read_bytes() == before


def test_a_file_grows_to_what_is_mapped(tmp_path: Path) -> None:
    """A view beyond the end of the file makes it as large, with zeros; an empty file needs a size."""
    path = tmp_path / "grows"
    with path.open("w+b") as opened:
        with pytest.raises((ValueError, SystemCallError)):
            vm.map_file(opened)
        with vm.map_file(opened, 0, 5000) as view:
            assert view.read() == bytes(5000)
    assert path.stat().st_size == 5000


def test_more_than_the_file_allows_is_refused(file: Path) -> None:
    """A file opened to be read is not written through a view, nor made longer."""
    with file.open("rb") as opened:
        with pytest.raises(SystemCallError):
            vm.map_file(opened)
        with pytest.raises(SystemCallError):
            vm.map_file(opened, 0, 10_000_000, vm.READ_ONLY)
        with vm.create_section(file=opened, protection=vm.READ_ONLY) as section, pytest.raises(AccessError):
            section.map()


@pytest.mark.parametrize(
    "ask",
    [
        lambda section: section.map(1),
        lambda section: section.map(vm.GRANULARITY * 1000),
        lambda section: section.map(0, section.size + 1),
        lambda section: section.map(0, 0),
        lambda section: section.map(0, None, vm.NO_ACCESS),
        lambda section: section.map(0, None, vm.READ_ONLY | vm.GUARD),
    ],
)
def test_ranges_and_protections_are_checked(ask: Callable[[vm.Section], object]) -> None:
    """Offsets between the steps, ranges outside, protections no view has: ValueError."""
    with vm.create_section(3 * vm.GRANULARITY) as section, pytest.raises(ValueError, match=r"offset|bytes|a view is"):
        ask(section)


def test_two_views_show_the_same_memory() -> None:
    """What is written through one view is read through another; both outlive the closed section."""
    with vm.create_section(100_000) as section:
        first, second_view = section.map(), section.map(protection=vm.READ_ONLY)
    first.write(70_000, b"shared")
    assert second_view.read(70_000, 6) == b"shared"
    with pytest.raises(AccessError), second_view.view(mode="rw"):
        pass
    with pytest.raises(DestroyedError):
        section.map()
    first.release()
    assert second_view.read(70_000, 6) == b"shared"
    second_view.release()
    with pytest.raises(DestroyedError):
        second_view.read()


def test_a_view_in_use_stays() -> None:
    """While a block or a buffer relies on a view it is not unmapped and not made stricter."""
    view = vm.create_section(4096).map()
    with view.view(0, 10, "rw") as inside:
        inside[:3] = b"abc"
        with pytest.raises(BufferError):
            view.release()
        with pytest.raises(BufferError):
            view.protect(0, None, vm.NO_ACCESS)
    with pytest.raises(BufferError), view.view() as inside:
        kept = memoryview(inside)
    with pytest.raises(BufferError):
        view.release()
    assert bytes(kept[:3]) == b"abc"
    kept.release()
    view.release()
    assert view.is_released


def test_pages_of_a_view_are_protected() -> None:
    """A page made inaccessible is an AccessError to read, not a crash; more than the view allows is refused."""
    with vm.create_section(2 * vm.PAGE_SIZE).map(protection=vm.READ_WRITE) as view:
        view.protect(0, 1, vm.NO_ACCESS)
        with pytest.raises(AccessError):
            view.read(0, 1)
        assert view.read(vm.PAGE_SIZE, 1) == b"\0"
        view.protect(0, 1, vm.READ_ONLY)
        with pytest.raises(AccessError):
            view.write(0, b"x")
    with vm.create_section(1).map(protection=vm.READ_ONLY) as view, pytest.raises(AccessError):
        view.protect(0, 1, vm.READ_WRITE)


@needs_proc
def test_the_system_shows_what_query_says() -> None:
    """query() says mapped, with each view's own base, though the kernel may show neighbours as one."""
    section = vm.create_section(64 * vm.PAGE_SIZE)
    views = [section.map(index * vm.PAGE_SIZE, vm.PAGE_SIZE) for index in range(8)]
    for view in views:
        info = vm.query(view.address + 17)
        assert (info.address, info.size, info.allocation) == (view.address, vm.PAGE_SIZE, view.address)
        assert (info.state, info.type, info.protection) == ("committed", "mapped", vm.READ_WRITE)
        view.release()
    assert vm.find_view(views[0].address) is None
    copied = section.map(protection=vm.WRITE_COPY)
    assert vm.query(copied.address).protection == vm.WRITE_COPY
    copied.protect(0, vm.PAGE_SIZE, vm.READ_ONLY)
    info = vm.query(copied.address)
    assert (info.protection, info.size, info.allocation_protection) == (vm.READ_ONLY, vm.PAGE_SIZE, vm.WRITE_COPY)


@needs_proc
def test_locked_views_are_locked() -> None:
    """lock() is seen in the kernel's own count, unlock() too."""

    def locked() -> int:
        return int(Path("/proc/self/status").read_text().partition("VmLck:")[2].split()[0])

    with vm.create_section(16 * vm.PAGE_SIZE).map() as view:
        before = locked()
        view.lock(0, 8 * vm.PAGE_SIZE)
        assert locked() - before == 8 * vm.PAGE_SIZE // 1024
        view.unlock(0, 8 * vm.PAGE_SIZE)
        assert locked() == before


@needs_proc
def test_a_file_cut_short_is_an_error(file: Path) -> None:
    """read() and write() beyond the new end of a truncated file raise; the process lives on."""
    with file.open("r+b") as opened, vm.map_file(opened) as view:
        os.truncate(file, 4096)
        assert view.read(0, 4) == bytes(range(4))
        with pytest.raises(AccessError):
            view.read(100_000, 4)
        with pytest.raises(AccessError):
            view.write(100_000, b"lost")


@needs_proc
def test_nothing_leaks(file: Path) -> None:
    """1,000 cycles of everything leave no mapping, no descriptor and no name behind."""

    def cycle() -> None:
        with file.open("r+b") as opened, vm.map_file(opened, 0, 5000) as view:
            view.read(0, 1)
        with vm.create_section(100, name=name) as section:
            section.map()
        vm.create_section(100).map()

    def state() -> tuple[int, int, bool]:
        gc.collect()
        maps = Path("/proc/self/maps").read_text().splitlines()
        return (
            sum(any(word in line for word in (str(file), "memfd", str(shared))) for line in maps),
            len(os.listdir("/proc/self/fd")),
            shared.exists(),
        )

    name = unique()
    shared = Path("/dev/shm" + section_name(name).decode())  # others have names there too
    cycle()
    before = state()
    for _ in range(1_000):
        cycle()
    assert state() == before
