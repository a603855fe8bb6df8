"""FileBuffer on overlays, as every container has one: what is below is seen, tried out, or not known."""

import errno
import json
import os
from pathlib import Path

import pytest

import faultinject
import loopmounted
import needs
from children import succeed
from loopmounted import as_root
from strongroom import FileBuffer, Policy, UnsupportedError
from strongroom.buffers import elsewhere

pytestmark = needs.linux


@as_root
def test_an_overlay_over_a_disk_is_taken(tmp_path: Path) -> None:
    """As every container has it; the evidence names both."""
    loopmounted.on_disk(tmp_path)
    (tmp_path / "layers").mkdir()
    with loopmounted.overlay(tmp_path, tmp_path / "layers") as overlay, FileBuffer(8, overlay.at) as buffer:
        assert "overlay at " in buffer.guarantees()["NEVER_WRITTEN"].source
        assert overlay.is_empty()


@as_root
def test_an_overlay_whose_upper_directory_is_not_seen(tmp_path: Path) -> None:
    """As in containers: one in memory is refused by what it does to a file's tail; one on a disk is taken, and that is
    said to be unseen. Nothing is left of the trial.
    """
    (tmp_path / "below").mkdir()
    with loopmounted.memory(tmp_path / "below") as memory, loopmounted.overlay(tmp_path, memory.at) as overlay:
        loopmounted.unmount(memory.at)
        with pytest.raises(UnsupportedError, match=r"lies in memory \(overlay at .* not to be seen.*tried out.*swap"):
            FileBuffer(8, overlay.at)
        refusals: list[elsewhere.Refusal] = []
        policy = Policy(fallback=("file",), directory=overlay.at)
        assert elsewhere.stand_ins(policy, 32, 0, 1, refusals) == []
        assert "tried out" in str(refusals)
        FileBuffer(8, overlay.at, allow_memory=True).destroy()
        assert overlay.is_empty()
    with loopmounted.image(tmp_path / "below") as disk, loopmounted.overlay(tmp_path, disk.at) as overlay:
        loopmounted.unmount(disk.at)
        with FileBuffer(8, overlay.at) as buffer:
            buffer.copy_from(b"anywhere")
            assert "could not be seen from here" in buffer.guarantees()["NEVER_WRITTEN"].source
        assert overlay.is_empty()


#: Calls are refused while a buffer is made. Told: each error's kind and words, and what is left in the directory.
TRIED = """
import contextlib
from faultinject import deny
directory, told = {directory!r}, []
def attempt(make):
    try:
        buffer = make()
    except StrongroomError as error:
        told.append([type(error).__name__, str(error)])
        return
    told.append([buffer.backing, ""])
    with contextlib.suppress(SystemCallError):  # burning one needs msync, too
        buffer.destroy()
children.limit_locks(0)
for call, code, condition in {denied!r}:
    deny(call, code, arg_equals=condition)
attempt(lambda: FileBuffer(8, directory))
attempt(lambda: LockedBuffer(32, policy=Policy(fallback=("file",), directory=directory)))
attempt(lambda: FileBuffer(8, directory, allow_memory=True))
print(json.dumps([told, os.listdir(directory)]))
"""
NAMELESS = os.O_TMPFILE | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC if hasattr(os, "O_TMPFILE") else 0
injects = pytest.mark.skipif(not faultinject.is_supported(), reason="fault injection needs x86_64 or aarch64")


def made_where(place: Path, *denied: tuple[str, int, tuple[int, int] | None]) -> list[list[str]]:
    """What becomes of a FileBuffer, a stand-in and a FileBuffer that may lie in memory; nothing is left of them."""
    told, left = json.loads(succeed(TRIED.format(directory=str(place), denied=denied)))
    assert left == []
    found: list[list[str]] = told
    return found


@as_root
@injects
@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_a_trial_that_fails_lets_nothing_through(tmp_path: Path, kind: str) -> None:
    """Whatever is below, what failed is said: msync, which only the trial calls. Who allows memory needs no trial."""
    (tmp_path / "below").mkdir()
    layers = loopmounted.memory(tmp_path / "below") if kind == "memory" else loopmounted.image(tmp_path / "below")
    with layers as below, loopmounted.overlay(tmp_path, below.at) as overlay:
        loopmounted.unmount(below.at)
        control, _, _ = made_where(overlay.at)
        assert control[0] == ("UnsupportedError" if kind == "memory" else "file")
        plain, stand_in, allowed = made_where(overlay.at, ("msync", errno.EIO, None))
        assert plain[0] == "SystemCallError"
        assert plain[1].startswith("msync: Input/output error. ")
        assert f"could not be found out whether files in '{overlay.at}' lie in memory" in plain[1]
        assert stand_in[0] == "LockLimitError"
        assert f"The fallback did not serve either: file in '{overlay.at}': msync: Input/output error" in stand_in[1]
        assert allowed[0] == "file"


@as_root
@injects
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EMFILE, errno.EROFS, errno.EACCES])
def test_what_is_wrong_with_the_directory_is_said_as_ever(tmp_path: Path, code: int) -> None:
    """No nameless file is to be had. Where that is the directory's fault the words are those of making one; else the
    trial's.
    """
    (tmp_path / "below").mkdir()
    with loopmounted.memory(tmp_path / "below") as memory, loopmounted.overlay(tmp_path, memory.at) as overlay:
        loopmounted.unmount(memory.at)
        plain, stand_in, allowed = made_where(overlay.at, ("openat", code, (2, NAMELESS)))
        assert [plain[0], stand_in[0], allowed[0]] == ["SystemCallError", "LockLimitError", "SystemCallError"]
        assert (plain[1] == allowed[1]) == (code in (errno.EROFS, errno.EACCES))
        assert ("lie in memory" in plain[1]) == (code in (errno.ENOSPC, errno.EMFILE))
        assert allowed[1].endswith(f"may write to, not '{overlay.at}'") == (code in (errno.EROFS, errno.EACCES))
