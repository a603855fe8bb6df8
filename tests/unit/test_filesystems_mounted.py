"""Which file system a directory lies on, asked on file systems made and mounted for it.

Each is mounted in a mount namespace of its child's own: it goes with the child, whatever ends that, and so does the
loop device. findmnt(8) says what is true.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import needs
from strongroom._os import filesystems

pytestmark = needs.linux

SECONDS = 300  # far more than any of it takes; a mount that hangs is not to hang the tests
ASK = """
import json, subprocess, sys
from strongroom._os import filesystems
answers = []
for path in sys.argv[1:]:
    found = filesystems.find(path)
    answer = None if found is None else {name: getattr(found, name) for name in found.__slots__ if name != "below"}
    if found is not None:
        answer["below"] = found.below and found.below.describe()
        answer["line"] = found.describe()
    command = ["findmnt", "--noheadings", "--nofsroot", "--json", "--output", "FSTYPE,SOURCE,TARGET", "--target", path]
    truth = subprocess.run(command, capture_output=True, check=True).stdout
    answers.append([answer, json.loads(truth)["filesystems"][0]])
print(json.dumps(answers))
"""
_AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
NAMESPACE = ["unshare", "--mount", *([] if _AS_ROOT else ["--map-root-user"]), "--"]


def loops(work: Path) -> list[str]:
    """The loop devices over files of ours; others may come and go."""
    found = []
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # gone in between
            found += [path.parent.parent.name] * path.read_text().startswith(f"{work}/")
    return found


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    """A folder for images and mount points; afterwards no mount and no loop device is left."""
    if not shutil.which("unshare") or not shutil.which("findmnt"):
        pytest.skip("needs unshare(1) and findmnt(8): util-linux")
    if subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode:
        pytest.skip("needs a mount namespace: root, or user namespaces that are allowed to all")
    yield tmp_path
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    deadline = time.monotonic() + SECONDS
    while loops(tmp_path) and time.monotonic() < deadline:  # the kernel lets a namespace go in its own time
        time.sleep(0.01)
    assert loops(tmp_path) == []


def asked(work: Path, commands: str, *directories: str) -> list[dict[str, Any]]:
    """Run commands in a mount namespace, then ask about directories; the kind, source and place are found true."""
    script = f'set -e\n{commands}\nexec "$0" -c "$ASK" "$@"'
    environment = {**os.environ, "ASK": ASK, "LC_ALL": "C.UTF-8"}
    child = subprocess.run(
        [*NAMESPACE, "sh", "-c", script, sys.executable, *directories],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert child.returncode == 0, child.stderr
    found = []
    for answer, truth in json.loads(child.stdout):
        assert (answer["kind"], answer["source"], answer["mount_point"]) == tuple(truth.values())
        found.append(answer)
    return found


def image(kind: str, size: str, *options: str) -> str:
    """Commands that make a file system in a file; skips if it cannot be mounted here."""
    if not _AS_ROOT or not os.path.exists("/dev/loop-control"):
        pytest.skip("needs root and loop devices")
    if not shutil.which(f"mkfs.{kind}"):
        pytest.skip(f"needs mkfs.{kind}: btrfs-progs, xfsprogs, e2fsprogs or f2fs-tools")
    if kind not in Path("/proc/filesystems").read_text().split():
        subprocess.run(["modprobe", "--quiet", kind], check=False)
        if kind not in Path("/proc/filesystems").read_text().split():
            pytest.skip(f"needs a kernel with {kind}")
    return f"truncate -s {size} image; mkfs.{kind} {' '.join(options)} image >&2; mkdir 'm t'"


def caveat(found: dict[str, Any], word: str) -> bool:
    return any(word in sentence for sentence in found["caveats"])


def below_of(path: Path) -> filesystems.Filesystem:
    found = filesystems.find(str(path))
    assert found is not None
    return found


def test_an_ext4_in_a_file(work: Path) -> None:
    """Its device is the loop's file's; a mount point with a space is found, also from a folder within."""
    base = below_of(work)
    made = image("ext4", "16M", "-q")
    top, inside = asked(work, f"{made}; mount -o loop image 'm t'; mkdir 'm t/a'", "m t", "m t/a")
    assert top == inside
    assert top["kind"] == "ext4"
    assert top["mount_point"] == f"{work}/m t"
    assert (top["is_memory"], top["media"]) == (base.is_memory, list(base.media))
    assert not caveat(top, "journal")
    assert top["caveats"] == list(base.caveats)


@pytest.mark.parametrize(
    ("tune", "option", "word"),
    [("", "data=journal", "journalled"), ("-o journal_data", "loop", "journalled"), ("", "barrier=0", "barriers")],
)
def test_an_ext4_that_journals_data_or_has_no_barriers(work: Path, tune: str, option: str, word: str) -> None:
    """Asked for at the mounting, or as the file system's own default, which mountinfo does not show."""
    made = image("ext4", "16M", "-q")
    tuned = f"tune2fs {tune} image >&2" if tune else "true"
    (found,) = asked(work, f"{made}; {tuned}; mount -o loop,{option} image 'm t'", "m t")
    assert caveat(found, word)


def test_a_btrfs_and_its_subvolumes(work: Path) -> None:
    """A subvolume's st_dev is in no list: it is found by the mount, and mounted apart it is that mount."""
    made = image("btrfs", "120M", "-q")
    commands = (
        f"{made}; mount -o loop,compress=zstd image 'm t'; btrfs subvolume create 'm t/sv' >&2; mkdir mm 'm t/sv/a'\n"
        "mount -o subvol=sv $(findmnt -nvo SOURCE 'm t') mm"
    )
    top, inside, apart = asked(work, commands, "m t", "m t/sv/a", "mm/a")
    assert top == inside
    assert top["mount_point"] == f"{work}/m t"
    assert apart["mount_point"] == f"{work}/mm"
    assert apart["source"] == top["source"]
    for found in (top, apart):
        assert caveat(found, "copy-on-write")
        assert caveat(found, "compressed")
        assert found["media"] == list(below_of(work).media)


def test_an_xfs(work: Path) -> None:
    """It may share blocks."""
    made = image("xfs", "300M", "-q")
    (found,) = asked(work, f"{made}; mount -o loop image 'm t'", "m t")
    assert (found["kind"], found["is_memory"]) == ("xfs", below_of(work).is_memory)
    assert caveat(found, "reflink")


def test_a_file_in_memory_is_a_device_in_memory(work: Path) -> None:
    """An ext4 in a file on a tmpfs lies in memory, and can be swapped out."""
    made = image("ext4", "16M", "-q")
    commands = f"mkdir t; mount -t tmpfs t t; cd t; {made}; mount -o loop image 'm t'; cd .."
    (found,) = asked(work, commands, "t/m t")
    assert (found["kind"], found["is_memory"], found["media"]) == ("ext4", True, ["memory"])
    assert caveat(found, "swapped out")


def test_a_loop_over_a_loop(work: Path) -> None:
    """A loop may be over a device: followed down to the file, and to what that lies on."""
    made = image("ext4", "16M", "-q")
    commands = f"{made}; mkdir low; mount -o loop image low; mount -o loop,ro,noload $(findmnt -nvo SOURCE low) 'm t'"
    low, found = asked(work, commands, "low", "m t")
    if found["source"] == low["source"]:
        pytest.skip("needs a mount(8) that makes a loop over a loop")
    assert (found["media"], found["is_memory"]) == (low["media"], low["is_memory"])


def test_a_removed_image_is_not_known(work: Path) -> None:
    """Nobody can say where the file lies that a loop still has."""
    made = image("ext4", "16M", "-q")
    (found,) = asked(work, f"{made}; mount -o loop image 'm t'; rm image", "m t")
    assert found["is_memory"] is None
    assert caveat(found, "could not be seen")


def test_a_tmpfs_and_a_ramfs(work: Path) -> None:
    """Memory: the one can be swapped out, the other cannot; names with any byte do not mislead."""
    name = "x\r1 1 0:1 / / rw - ext4 y\\040"
    commands = (
        f'mkdir -p t r "{name}"; mount -t tmpfs t t; mount -t tmpfs - "{name}"; mount -t ramfs r r || mount --bind t r'
    )
    shared, other, strange = asked(work, commands, "t", "r", name)
    assert [found["is_memory"] for found in (shared, other, strange)] == [True] * 3
    assert caveat(shared, "swapped out")
    assert caveat(other, "swapped out") is (other["kind"] == "tmpfs")
    assert strange["mount_point"] == f"{work}/{name}"
    assert strange["line"].endswith("/x\\r1 1 0:1 / / rw - ext4 y\\040, memory")


def test_an_overlay_is_where_its_upper_directory_is(work: Path) -> None:
    """Over a tmpfs it is memory, over a device it is that; commas and backslashes in the path are followed."""
    if subprocess.run(["grep", "-qw", "overlay", "/proc/filesystems"]).returncode:
        pytest.skip("needs a kernel with overlay")
    mount = f"mount -t overlay o -o lowerdir={work}/lo,upperdir={work}"
    commands = (
        "mkdir t lo o1 o2 o3 w u; mount -t tmpfs -o size=4m t t; mkdir 't/u,p\\x' t/w\n"
        f"{mount}'/t/u\\,p\\\\x',workdir={work}/t/w o1\n{mount}/u,workdir={work}/w o2\n"
        "mount -t overlay o -o lowerdir=lo:u o3"
    )
    over_memory, over_this, read_only = asked(work, commands, "o1", "o2", "o3")
    base = below_of(work)
    assert (over_memory["is_memory"], over_memory["media"]) == (True, ["memory"])
    assert over_memory["below"] == f"tmpfs on t at {work}/t, memory"
    assert caveat(over_memory, "swapped out")
    assert (over_this["is_memory"], over_this["below"]) == (base.is_memory, base.describe())
    assert set(base.caveats) < set(over_this["caveats"])
    assert (read_only["is_memory"], read_only["below"]) == (None, None)


def test_an_upper_directory_that_is_not_the_one_is_not_believed(work: Path) -> None:
    """Another directory by that name, as in a container, or a relative path, even one that is there: not known."""
    if subprocess.run(["grep", "-qw", "overlay", "/proc/filesystems"]).returncode:
        pytest.skip("needs a kernel with overlay")
    mount = "mount -t overlay o -o lowerdir=lo,upperdir"
    commands = (
        "mkdir t lo o1 o2; mount -t tmpfs -o size=4m t t; mkdir t/u t/w u2 w2\n"
        f"{mount}={work}/t/u,workdir={work}/t/w o1; {mount}=u2,workdir=w2 o2\n"
        "mount -t tmpfs -o size=5m t t; mkdir t/u"
    )
    hidden, relative = asked(work, commands, "o1", "o2")
    for found in (hidden, relative):
        assert (found["is_memory"], found["below"]) == (None, None)
        assert caveat(found, "could not be seen from here")


def test_a_mount_below_another_is_still_the_one_that_is_meant(work: Path) -> None:
    """A directory that was opened before something was mounted over it."""
    code = "import os; from strongroom._os import filesystems as f; d = os.open('a/b', os.O_PATH); os.system('{}')\n"
    code += "print(f.find('/proc/self/fd/%d/.' % d).source, f.find('a').source)"
    commands = "mkdir -p a/b; mount -t tmpfs one a; mkdir a/b; mount -t tmpfs two a/b"
    program = code.replace("{}", "mount -t tmpfs three a && mkdir a/b")
    child = subprocess.run(
        [*NAMESPACE, "sh", "-ec", f'{commands}; exec "$0" -c "$1"', sys.executable, program],
        cwd=work,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert (child.stdout, child.stderr) == ("two three\n", "")


def test_shared_memory_and_this_machines_own_root() -> None:
    """Where nothing need be mounted, and without privileges: as findmnt has it."""
    if not shutil.which("findmnt"):
        pytest.skip("needs findmnt(8): util-linux")
    for path in ("/", "/dev/shm", "/proc", os.getcwd()):
        command = ["findmnt", "--noheadings", "--output", "FSTYPE,TARGET", "--target", path]
        truth = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        found = below_of(Path(path))
        assert [found.kind, found.mount_point] == truth[-1].split()  # of several at one place the one on top
    assert below_of(Path("/dev/shm")).is_memory is True
