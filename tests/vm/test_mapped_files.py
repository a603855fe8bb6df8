"""Mapped files: what a view costs, what becomes of it when its file changes, and when its bytes are on the disk."""

import errno
import gc
import os
from pathlib import Path

import pytest

import needs
from children import succeed
from observed import descriptors, status_size
from pages import needs_fork
from strongroom import DestroyedError, SystemCallError, vm


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "mapped"
    file.write_bytes(b"file" * 2500)
    return file


def test_a_view_takes_no_descriptor(path: Path) -> None:
    """However many views there are, of a file or of a closed section, the process has no descriptor more."""
    gc.collect()  # or one that an earlier test left may be closed meanwhile
    before = descriptors()
    with path.open("r+b") as file:
        views = [vm.map_file(file) for _ in range(50)]
        with vm.create_section(file=file) as section:
            views += [section.map() for _ in range(50)]
        with vm.create_section(10_000) as section:
            memory = section.map()
    assert descriptors() == before
    views[0].write(0, b"1337")
    assert {view.read(0, 4) for view in views} == {b"1337"}
    memory.write(9_000, b"1337")
    assert memory.read(9_000, 4) == b"1337"
    for view in views:
        view.release()


def test_an_empty_file_has_nothing_to_show(tmp_path: Path) -> None:
    """A ValueError on every system, and so is an offset at a file's end without a size; nothing grows."""
    path = tmp_path / "empty"
    with path.open("w+b") as file:
        for ask in (lambda: vm.map_file(file), lambda: vm.create_section(file=file)):
            with pytest.raises(ValueError, match="an empty file has nothing to show"):
                ask()
        file.write(bytes(vm.GRANULARITY))
        file.flush()
        with pytest.raises(ValueError, match="outside this file"):
            vm.map_file(file, vm.GRANULARITY)
    assert path.stat().st_size == vm.GRANULARITY


def test_what_is_no_file_on_a_disk_is_refused() -> None:
    """A pipe has no size either, but is not called empty: the system's own refusal is passed on."""
    reading, writing = os.pipe()
    try:
        for descriptor in (reading, writing):
            with pytest.raises(SystemCallError):
                vm.map_file(descriptor)
            with pytest.raises(SystemCallError):
                vm.create_section(file=descriptor)
    finally:
        os.close(reading)
        os.close(writing)


def locks_of(path: Path) -> list[str]:
    """The kinds of this process's locks that the kernel knows on a file; proc_locks(5). Files of other file systems may
    have the same number, and the device there is not always the one that stat(2) tells."""
    mine = str(os.getpid()), str(path.stat().st_ino)
    rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return [row[1] for row in rows if (row[4], row[5].rpartition(":")[2]) == mine]


@needs.linux
def test_the_callers_locks_on_a_file_stay(path: Path) -> None:
    """fcntl(2) locks end with the first descriptor of the file that closes: mapping makes none. A flock(2) lasts as
    long as a view made through that descriptor: the kernel's own mapping keeps the open file."""
    import fcntl

    with path.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert locks_of(path) == ["POSIX"]
        vm.map_file(file).release()
        assert locks_of(path) == ["POSIX"]
        os.close(os.dup(file.fileno()))  # the control: this is what would have ended it
        assert locks_of(path) == []
        fcntl.flock(file, fcntl.LOCK_EX)
        view = vm.map_file(file)
    assert locks_of(path) == ["FLOCK"]
    assert view.read(0, 4) == b"file"
    view.release()
    assert locks_of(path) == []


@needs.linux
def test_what_a_file_lost_is_named(path: Path) -> None:
    """Locking what a file has lost, or mapping it, is an error that says so; nothing stays locked."""
    with path.open("r+b") as file, vm.create_section(file=file) as section, section.map() as view:
        before = status_size("VmLck")
        os.truncate(path, 100)
        with pytest.raises(SystemCallError, match="file has become shorter"):
            view.lock()
        assert status_size("VmLck") == before
        with pytest.raises(SystemCallError, match="file has become shorter than 10,000 bytes"):
            section.map()
        assert section.map(0, 100).read(0, 4) == b"file"
        assert view.lock(0, 100) == (0, vm.PAGE_SIZE)  # the control
        assert status_size("VmLck") == before + vm.PAGE_SIZE


@needs.linux
def test_a_file_of_large_pages_is_shown_in_those() -> None:
    """The kernel unmaps whole large pages only: a view of less could not be released, and is refused by that name."""
    if not hasattr(os, "MFD_HUGETLB"):
        pytest.skip("needs a C library with MFD_HUGETLB: glibc 2.27")
    try:
        descriptor = os.memfd_create("strongroom-test", os.MFD_HUGETLB)
    except OSError as error:
        pytest.skip(f"needs a kernel with large pages (CONFIG_HUGETLBFS): {error}")
    try:
        large = os.statvfs(descriptor).f_bsize
        assert large > vm.PAGE_SIZE
        os.ftruncate(descriptor, large)
        for offset, size in ((0, 5000), (vm.PAGE_SIZE, large - vm.PAGE_SIZE)):
            with pytest.raises(SystemCallError, match="large pages"):
                vm.map_file(descriptor, offset, size)
        code = 0
        try:
            vm.map_file(descriptor).release()
        except SystemCallError as error:
            code = error.errno or 0
        assert code in (0, errno.ENOMEM)  # the control: nothing is wrong but that there is no pool of them
    finally:
        os.close(descriptor)


@needs_fork
def test_a_call_of_the_parents_holds_nothing_in_a_child(path: Path) -> None:
    """A thread that copies or flushes at the moment of a fork is not in the child: the view there can be released."""
    succeed(f"""
        import threading
        from strongroom import vm
        with open({str(path)!r}, "r+b") as file:
            view = vm.map_file(file, 0, 1 << 20)
        is_over, waits = threading.Event(), []
        def use():
            while not is_over.is_set():
                try:
                    view.write(0, bytes(1 << 20))
                    view.flush()
                    view.read()
                except AccessError:  # the control had made it NO_ACCESS
                    pass
        def child():
            view.release()
            return "fine"
        thread = threading.Thread(target=use)
        thread.start()
        for _ in range(20):
            assert children.forked(child) == "fine"
        for _ in range(1_000):  # the control: here the calls do hold, and who waits gets it
            try:
                view.protect(0, None, vm.NO_ACCESS)
            except BufferError as error:
                waits.append(str(error))
            else:
                view.protect(0, None, vm.READ_WRITE)
            if waits:
                break
            time.sleep(0.001)
        is_over.set()
        thread.join()
        assert waits and "another thread" in waits[0], waits
        view.release()
    """)


def test_a_view_that_was_never_made_is_no_crash() -> None:
    """What ``__new__`` alone makes of a view is an error, and nothing that its end could trip over."""
    for wrong in ((), (None,), (0,)):
        with pytest.raises((TypeError, ValueError)):
            vm.MappedView.__new__(vm.MappedView, *wrong)


def test_flush_of_what_was_released_names_flush(path: Path) -> None:
    """Not the View that it is like to the region."""
    with path.open("r+b") as file, vm.map_file(file) as view:
        view.flush()
    with pytest.raises(DestroyedError, match=r"^flush: this view was released"):
        view.flush()
