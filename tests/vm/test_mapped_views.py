"""A mapped view is a region: what holds for one holds for the other, and both for whoever maps at the same moment."""

import signal
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

import pages
from children import run, succeed
from pages import PAGE, needs_proc
from strongroom import AccessError, DestroyedError, SecuredError, UnsupportedError, _native, vm
from strongroom._os.handles import section_name

fcntl = pytest.importorskip("fcntl", reason="needs a Unix: its locks on files")
pytestmark = needs_proc

BUSY = struct.pack("hhqqi4x", 1, 0, 0, 0, 0)  # struct flock: F_WRLCK of everything; fcntl_locking(2)
F_OFD_SETLK = 37


def mapped(count: int = 4, protection: int = vm.READ_WRITE) -> vm.MappedView:
    return vm.create_section(count * PAGE).map(protection=protection)


def test_a_view_is_a_region() -> None:
    """Old protections are returned, blocks bring them back, and what cannot be is refused by name."""
    with mapped() as view:
        assert isinstance(view, vm.Region)
        assert view.protect(PAGE, PAGE, vm.READ_ONLY) == vm.READ_WRITE
        with view.protected(0, None, vm.NO_ACCESS):
            assert pages.letters(view) == ["---"] * 4
        assert pages.letters(view) == ["rw-", "r--", "rw-", "rw-"]
        assert [run.protection for run in view.pages()] == [vm.READ_WRITE, vm.READ_ONLY, vm.READ_WRITE]
        view.fill(0, PAGE, 7)
        assert view.read(PAGE - 1, 2) == b"\7\0"
        with pytest.raises(UnsupportedError, match="pages of a view"):
            view.decommit(0, PAGE)
        with pytest.raises(AccessError, match="READ_WRITE view cannot become EXECUTE_READ"):
            view.protect(0, PAGE, vm.EXECUTE_READ)
        assert vm.find_view(view.address + 5) is view


def test_forbidden_pages_are_errors_not_faults() -> None:
    """A View of pages that were made stricter since is refused; before, a touch of it was a crash."""
    with mapped() as view:
        view.protect(0, PAGE, vm.NO_ACCESS)
        with pytest.raises(AccessError, match="NO_ACCESS"), view.view():
            pass
        view.protect(0, PAGE, vm.READ_ONLY)
        with pytest.raises(AccessError, match="READ_ONLY"), view.view(0, 1, "rw"):
            pass
        with view.view(0, 1) as seen:
            assert seen[0] == 0


def test_a_guard_page_of_a_view_is_one_shot() -> None:
    """The first read of it is told; the next reads."""
    with mapped() as view:
        view.protect(PAGE, PAGE, vm.READ_WRITE | vm.GUARD)
        with pytest.raises(AccessError, match="guard page"):
            view.read(PAGE, 1)
        assert view.read(PAGE, 1) == b"\0"


def test_a_view_is_secured() -> None:
    """secure() holds for pages of views, WRITE_COPY ones included: those can be read and written."""
    for protection in (vm.READ_WRITE, vm.WRITE_COPY):
        view = mapped(protection=protection)
        with view.secure(0, PAGE, vm.READ_WRITE):
            with pytest.raises(SecuredError):
                view.protect(0, PAGE, vm.READ_ONLY)
            with pytest.raises(SecuredError):
                view.release()
            assert view.protect(0, PAGE, protection) == protection
        view.release()


def test_locks_are_counted_and_others_respected() -> None:
    """Two locks need two unlocks; a page that other code had locked stays locked."""
    with mapped() as view:
        assert pages.others_lock(view.address + 3 * PAGE, PAGE) == 0
        assert view.lock() == (0, 4 * PAGE)
        view.lock(0, PAGE)
        view.unlock()
        assert pages.locked(view) == [0, 3]
        with pytest.raises(AccessError, match="not locked"):
            view.unlock(PAGE, PAGE)
        view.unlock(0, PAGE)
        assert pages.locked(view) == [3]


def test_a_lock_that_fails_leaves_earlier_ones() -> None:
    """Over the limit the larger lock is refused, and what was locked before stays locked."""
    succeed("""
        from strongroom import vm
        from pages import PAGE, locked
        children.limit_locks(64 * 1024)
        view = vm.create_section(64 * PAGE).map()
        view.lock(0, 4 * PAGE)
        try:
            view.lock()
        except LockLimitError as error:
            assert (64 * PAGE, 4 * PAGE) == (error.requested, error.locked_now), vars(error)
        else:
            raise SystemExit("no error")
        assert [0, 1, 2, 3] == locked(view)
    """)


class Releasing:
    """A number whose conversion takes the view away."""

    def __init__(self, view: vm.MappedView, value: int) -> None:
        self.view = view
        self.value = value

    def __index__(self) -> int:
        self.view.release()
        return self.value


@pytest.mark.parametrize("verb", ["read", "view", "flush", "lock", "unlock", "fill", "secure"])
def test_an_argument_that_releases_the_view(verb: str) -> None:
    """Whatever converting an argument does, nothing is done to what is no longer mapped."""
    view = mapped()
    with pytest.raises(DestroyedError, match="view was released"):
        getattr(view, verb)(0, Releasing(view, 10)).__enter__()


def test_a_protection_that_releases_the_view() -> None:
    """The same for the argument that is no range."""
    view = mapped()
    with pytest.raises(DestroyedError):
        view.protect(0, PAGE, Releasing(view, vm.READ_ONLY))  # type: ignore[arg-type]


class Lying(int):
    """Equal to everything, and allowed everything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __and__(self, other: int) -> int:
        return 1

    __hash__ = int.__hash__


def test_a_protection_is_taken_by_its_value() -> None:
    """What an int pretends to be does not count."""
    with mapped(protection=vm.READ_ONLY) as view, pytest.raises(AccessError, match="cannot become"):
        view.protect(0, PAGE, Lying(vm.EXECUTE_READ_WRITE))


@pytest.mark.parametrize("kind", [vm.MappedView, vm.Section])
def test_views_and_sections_are_not_made_by_hand(kind: Callable[[int], object]) -> None:
    """The errors name what makes them; one that was never made is like one that is closed."""
    with pytest.raises(TypeError, match="comes from"):
        kind(4096)
    with pytest.raises(DestroyedError):
        vm.Section.__new__(vm.Section).map()


RACE = """
    from strongroom import vm
    sys.setswitchinterval(1e-6)
    section, wrong, turns = vm.create_section(4096), [], 1500
    def work():
        try:
            for _ in range(turns):
                view = section.map()
                if vm.find_view(view.address) is not view:
                    wrong.append("not found")
                view.write(0, b"1337")
                view.release()
                region = vm.allocate(4096, near=view.address)
                region.write(0, b"mine")
                del view
                if region.read(0, 4) != b"mine":
                    wrong.append("torn out")
                region.release()
        except BaseException as error:
            wrong.append(repr(error))
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print(wrong[:3])
"""


def test_threads_that_map_and_release() -> None:
    """Views and regions that come and go at the same addresses: each is found, none takes another's memory along."""
    assert succeed(RACE) == "[]\n"


@pytest.mark.parametrize(("offset", "size"), [(1, 10), (-PAGE, 3 * PAGE), (PAGE, 0), (0, 1 << 60), (0, -1)])
def test_a_refused_view_leaves_the_file_as_long_as_it_was(tmp_path: Path, offset: int, size: int) -> None:
    """A file grows to what is mapped, not to what was refused."""
    path = tmp_path / "hello"
    path.write_bytes(b"hello")
    with path.open("r+b") as file, pytest.raises((ValueError, OSError)):
        vm.map_file(file, offset, size)
    assert path.read_bytes() == b"hello"


def test_a_file_that_grew_for_nothing_shrinks_again() -> None:
    """Where the mapping itself is refused (no address space left) the file gets its length back."""
    succeed("""
        import resource, tempfile
        from strongroom import vm
        with tempfile.TemporaryFile() as file:
            file.write(b"hello")
            file.flush()
            resource.setrlimit(resource.RLIMIT_AS, (1 << 32, resource.RLIM_INFINITY))
            try:
                vm.map_file(file, 0, 1 << 40)
            except OSError as error:
                assert "mmap" in str(error)
            else:
                raise SystemExit("no error")
            assert 5 == os.fstat(file.fileno()).st_size
    """)


@pytest.mark.parametrize("wrong", [True, -1, 1 << 40, "x", 1.5])
def test_what_is_no_file(wrong: object) -> None:
    """Numbers that are no descriptors, and things without one, are refused."""
    with pytest.raises((ValueError, TypeError, AttributeError)):
        vm.map_file(wrong)  # type: ignore[arg-type]


def test_a_name_in_the_making_stops_nobody_else() -> None:
    """While another process has a name's lock, other threads run, a signal is heard, and the wait ends."""
    name = f"strongroom-test-{uuid.uuid4()}"
    path = Path("/dev/shm" + section_name(name).decode())
    path.touch(mode=0o600)
    is_waiting, turns = threading.Event(), list[int]()

    def take_turns() -> None:
        is_waiting.wait()
        for turn in range(20):  # 0.2 seconds at least, while the first of these waits last a hundredth each
            time.sleep(0.01)
            turns.append(turn)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)

    class HeardError(Exception):
        pass

    def hear(number: int, frame: object) -> None:
        raise HeardError

    thread = threading.Thread(target=take_turns)
    before = signal.signal(signal.SIGALRM, hear)
    with path.open("r+b") as file:
        fcntl.fcntl(file, F_OFD_SETLK, BUSY)  # a descriptor of its own: as strange as another process's
        thread.start()
        try:
            is_waiting.set()
            with pytest.raises(HeardError):  # which comes when the other thread has had its turns, and not before
                vm.create_section(PAGE, name=name)
            assert len(turns) == 20
        finally:
            thread.join()
            signal.signal(signal.SIGALRM, before)
            path.unlink()


def test_a_name_ends_with_the_process_whatever_runs() -> None:
    """A daemon thread keeps the objects of __main__ from being finalized; the name goes all the same."""
    name = f"strongroom-test-{uuid.uuid4()}"
    path = Path("/dev/shm" + section_name(name).decode())
    code = f"""
        from strongroom import vm
        def wait():
            keep = view
            time.sleep(100)
        section = vm.create_section(10, name={name!r})
        view = section.map()
        threading.Thread(target=wait, daemon=True).start()
        print(os.path.exists({str(path)!r}))
    """
    done = run(code)
    assert (done.code, done.out, done.err) == (0, "True\n", "")
    assert not path.exists()


def test_a_process_that_ends_leaves_a_name_to_those_who_use_it() -> None:
    """The exit of one user is not the end of the name."""
    name = f"strongroom-test-{uuid.uuid4()}"
    with vm.create_section(PAGE, name=name) as section, section.map() as view:
        code = "import sys; from strongroom import vm; s = vm.open_section(sys.argv[1]); s.map().write(0, b'gone')"
        subprocess.run([sys.executable, "-c", code, name], check=True, timeout=60)
        assert view.read(0, 4) == b"gone"
        assert vm.open_section(name).existed


def test_each_of_thousands_of_regions_is_found() -> None:
    """Each address finds its own region, whatever order they came and went in; none that is gone is found."""
    regions = [vm.reserve(PAGE) for _ in range(3000)]
    gone = regions[::2]
    for region in gone:
        region.release()
    for region in regions[1::2]:
        assert _native.find_region(region.address + 17) is region
    assert not any(_native.find_region(region.address) is region for region in gone)
    for region in reversed(regions[1::2]):
        region.release()
    assert not any(_native.find_region(region.address) is region for region in regions)
