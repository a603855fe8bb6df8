"""Sections that have a name: who finds them, and when the name is gone."""

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sections import PRELUDE, is_there, second, unique
from strongroom import SystemCallError, vm
from strongroom._os.handles import section_name

IS_LINUX = sys.platform.startswith("linux")
needs_proc = pytest.mark.skipif(not IS_LINUX, reason="reads /proc: run on Linux")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on Windows")


def test_a_name_is_shared_and_ends_with_its_last_user() -> None:
    """Two processes share what one named; the name is gone when the last handle and the last view are."""
    name = unique()
    section = vm.create_section(10_000, name=name)
    assert not section.existed
    view = section.map()
    view.write(9_000, b"from one")
    code = (
        "s = vm.open_section(name); v = s.map(); print(s.existed, v.read(9000, 8).decode());"
        "v.write(9000, b'from two'); t = vm.create_section(5, name=name); print(t.existed, t.size >= 10000)"
    )
    assert second(code, name).split("\n") == ["True from one", "True True"]
    assert view.read(9_000, 8) == b"from two"
    section.close()
    assert is_there(name)
    view.release()
    assert not is_there(name)
    with pytest.raises(SystemCallError):
        vm.open_section(name)
    with vm.create_section(10_000, name=name) as anew, anew.map() as fresh:
        assert not anew.existed
        assert fresh.read(9_000, 8) == bytes(8)


def object_of(name: str) -> Path:
    """What the kernel keeps a name's memory as. Others have theirs there too, and may run these very tests."""
    return Path("/dev/shm" + section_name(name).decode())


@needs_proc
def test_a_killed_user_does_not_keep_a_name() -> None:
    """A process that is killed leaves no name behind that could be opened; a new one begins with zeros."""
    name = unique()
    code = (
        PRELUDE
        + "v = vm.create_section(4096, name=name).map(); v.write(0, b'old')\nprint('ready', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code, name], stdin=-1, stdout=-1) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert vm.open_section(name).map().read(0, 3) == b"old"
        gc.collect()
        assert is_there(name)
        process.send_signal(signal.SIGKILL)
    assert object_of(name).exists()
    assert not is_there(name)
    assert not object_of(name).exists()  # asking removed what was left
    with vm.create_section(4096, name=name) as anew, anew.map() as view:
        assert (anew.existed, view.read(0, 3)) == (False, bytes(3))


@needs_proc
def test_many_processes_begin_and_end_one_name() -> None:
    """However makers and users race, nobody sees another size or a name without memory, and nothing is left."""
    name = unique()
    code = PRELUDE + (
        "for i in range(300):\n"
        "    with vm.create_section(8192, name=name) as s, s.map() as v:\n"
        "        assert s.size == 8192\n"
        "        v.write(0, b'x'); assert v.read(0, 1) == b'x'\n"
    )
    racers = [subprocess.Popen([sys.executable, "-c", code, name], stderr=-1) for _ in range(4)]
    assert [(racer.communicate(timeout=60)[1], racer.returncode) for racer in racers] == [(b"", 0)] * 4
    assert not object_of(name).exists()


@needs_fork
@needs_proc
def test_a_forked_child_does_not_end_a_name() -> None:
    """A child that closes what it inherited leaves the name to its parent; what it writes is shared."""
    import children

    name = unique()
    section = vm.create_section(4096, name=name)
    view = section.map()

    def child() -> str:
        view.write(0, b"child")
        view.release()
        section.close()
        return "done"

    assert children.forked(child) == "done"
    assert is_there(name)
    assert view.read(0, 5) == b"child"
    view.release()
    section.close()
    assert not is_there(name)


@needs_proc
def test_somebody_elses_object_is_not_taken() -> None:
    """An object under the name that others may write to is refused."""
    name = unique()
    section = vm.create_section(4096, name=name)
    path = object_of(name)
    path.chmod(0o666)
    try:
        with pytest.raises(SystemCallError):
            vm.open_section(name)
    finally:
        path.chmod(0o600)
        section.close()
