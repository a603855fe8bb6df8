"""Files that a view makes longer: nothing of them is lost when others do so too, and nobody waits who need not."""

from pathlib import Path

import pytest

from children import succeed
from refusing import needs_injection
from strongroom import SystemCallError, _native, vm

#: What is held is held in a child; one that waits for ever is ended by whoever waits for it.
CODE = """
    from strongroom import vm
    from faultinject import deny, hold
    path = {path!r}
    done = []
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "growing"
    file.touch()
    return file


@needs_injection
@pytest.mark.parametrize(
    ("call", "ask"),
    [
        ('"fallocate"', "vm.map_file(file, 0, 5000).release()"),
        ('"fallocate"', "vm.create_section(5000, file=file).close()"),
        ('"fcntl"', "vm.map_file(file, 0, 5000).release()"),
        ('"mmap", arg_equals=(3, 1)', "section.map().release()"),  # MAP_SHARED alone: none that the heap makes
    ],
)
def test_other_threads_run_while_the_file_system_takes_its_time(call: str, ask: str, path: Path) -> None:
    """A thread of this process may be who serves that file system: the interpreter is not locked meanwhile."""
    succeed(
        CODE.format(path=str(path))
        + f"""
    section = vm.create_section(5000)
    with open(path, "r+b") as file:
        hold(meanwhile=lambda: done.append(1), syscall_name={call})
        {ask}
    assert done, "nothing was held"
    os._exit(0)
    """
    )


@needs_injection
def test_what_another_process_made_longer_meanwhile_stays(path: Path) -> None:
    """Between looking at a file's size and making it longer another process makes it longer still: it keeps all."""
    succeed(
        CODE.format(path=str(path))
        + """
    def others():
        if not done:
            with open(path, "r+b") as file:
                file.write(bytes(100_000) + b"theirs")
        done.append(1)
    with open(path, "r+b") as file:
        hold("fallocate", others)
        view = vm.map_file(file, 0, 5000)
        view.write(0, b"1337")
    assert done
    assert os.stat(path).st_size == 100_006
    os._exit(0)
    """
    )
    assert path.read_bytes() == b"1337" + bytes(99_996) + b"theirs"


@needs_injection
@pytest.mark.parametrize("code", ["EOPNOTSUPP", "ENOSPC", "ENOSYS"])
def test_file_systems_that_cannot_allocate(code: str, path: Path) -> None:
    """Where fallocate(2) is refused the file becomes longer all the same."""
    succeed(
        CODE.format(path=str(path))
        + f"""
    deny("fallocate", errno.{code})
    with open(path, "r+b") as file, vm.map_file(file, 0, 5000) as view:
        view.write(4_999, b"!")
    """
    )
    assert path.read_bytes() == bytes(4_999) + b"!"


@needs_injection
@pytest.mark.parametrize("call", ["mmap", "ftruncate"])
def test_a_file_that_cannot_be_shown_has_not_grown(call: str, path: Path) -> None:
    """Refused by the mapping or by the file system: as long as before, and nothing stays mapped."""
    succeed(
        CODE.format(path=str(path))
        + f"""
    with open(path, "r+b") as file:
        vm.map_file(file, 0, 10).release()  # the control
        deny("fallocate", errno.ENOSYS)
        deny({call!r}, errno.ENOMEM, **({{"arg_equals": (4, file.fileno())}} if {call!r} == "mmap" else {{}}))
        for _ in range(2):
            try:
                vm.map_file(file, 0, 5000)
            except SystemCallError as error:
                assert error.errno == errno.ENOMEM and {call!r} in error.call, error
            else:
                raise AssertionError("it was mapped")
        assert os.fstat(file.fileno()).st_size == 10
        assert path not in open("/proc/self/maps").read()
    """
    )


@needs_injection
def test_a_refusal_makes_no_file_shorter(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another process made longer while this one was refused is that one's, though it is as long as asked."""

    def refused(*_: object) -> vm.MappedView:
        path.write_bytes(b"theirs" * 1000)
        raise SystemCallError("mmap(section)", 12)

    monkeypatch.setattr(_native, "map_file", refused)
    with path.open("r+b") as file, pytest.raises(SystemCallError):
        vm.map_file(file, 0, 6000)
    assert path.read_bytes() == b"theirs" * 1000


def test_a_file_that_is_too_short_is_named_as_that(path: Path) -> None:
    """Not as too large, which is what the system's own word would say."""
    path.write_bytes(b"x" * 100)
    with path.open("r+b") as file:
        for ask in (
            lambda: vm.map_file(file, 0, 200, vm.READ_ONLY),
            lambda: vm.create_section(200, file=file, protection=vm.WRITE_COPY),
        ):
            with pytest.raises(SystemCallError) as caught:
                ask()
            assert caught.value.call.startswith(("mmap", "CreateFileMapping"))
            if caught.value.call == "mmap(file)":
                assert "fewer than 200 bytes" in str(caught.value)
