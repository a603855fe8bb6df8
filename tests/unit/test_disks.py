"""What a block device is made of, on trees as sysfs shows them."""

import os
from pathlib import Path

import pytest

import needs
from strongroom._os import disks, filesystems, mounts

pytestmark = needs.linux

PCI = "devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block"
VIRTUAL = "devices/virtual/block"


class Tree:
    """A made-up /sys."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._minor = 0

    def add(self, place: str, *slaves: str, **files: str) -> str:
        """A device's folder with such files (two underscores for a slash), and the links that lead to it."""
        folder = self.root / place
        for name, text in files.items():
            path = folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        folder.mkdir(parents=True, exist_ok=True)
        for slave in slaves:
            (folder / "slaves").mkdir(exist_ok=True)
            (folder / "slaves" / os.path.basename(slave)).symlink_to(self.root / slave)
        self._minor += 1
        for link in (f"dev/block/900:{self._minor}", f"class/block/{folder.name}"):
            path = self.root / link
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(folder)
        return place

    def look(self, place: str) -> disks.Disk:
        found = disks.named(f"/dev/{os.path.basename(place)}")
        assert found is not None
        return disks.look(found, lambda _path, _depth: None)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    monkeypatch.setattr(disks, "_SYS", str(tmp_path))
    return Tree(tmp_path)


@pytest.mark.parametrize(
    ("place", "files", "media", "is_memory", "word"),
    [
        (f"{PCI}/sdx", {"queue__rotational": "0"}, "flash", False, "flash"),
        (f"{PCI}/sdx", {"queue__rotational": "1"}, "spinning disk", False, ""),
        (f"{PCI}/sdx", {}, "unknown device", None, "could not be seen"),
        (f"{PCI}/sdx", {"queue__rotational": "?"}, "unknown device", None, "could not be seen"),
        (f"{PCI}/sdx", {"queue__rotational": "1", "device__model": "QEMU HARDDISK"}, "virtual disk", False, "host"),
        (f"{PCI}/sdx", {"queue__rotational": "0", "device__vendor": "Google"}, "flash", False, "flash"),
        (f"{PCI}/sdx", {"queue__rotational": "0", "device__model": "PersistentDisk"}, "virtual disk", False, "host"),
        ("devices/pci0/0000:00:02.0/virtio1/block/vdx", {"queue__rotational": "1"}, "virtual disk", False, "host"),
        ("devices/pci0/usb2/2-1/host6/block/sdx", {"queue__rotational": "1"}, "USB device", False, "may be flash"),
        ("devices/pci0/usb2/2-1/host6/block/sdx", {"queue__rotational": "0"}, "flash", False, "flash"),
        ("devices/platform/host3/session1/block/sdx", {"queue__rotational": "1"}, "remote disk", None, "machine"),
        ("devices/virtual/nvme-fabrics/ctl/nvme8/nvme8n1", {"queue__rotational": "0"}, "remote disk", None, "machine"),
        ("devices/virtual/nvme-subsystem/nvme-subsys8/nvme8n1", {"queue__rotational": "0"}, "flash", False, "flash"),
        (f"{VIRTUAL}/nbd8", {"queue__rotational": "0"}, "remote disk", None, "machine"),
        (f"{VIRTUAL}/zram8", {"queue__rotational": "0"}, "memory", True, "device in memory"),
        (f"{VIRTUAL}/zram8", {"queue__rotational": "0", "backing_dev": "none"}, "memory", True, "device in memory"),
        (f"{VIRTUAL}/zram8", {"backing_dev": "/dev/sda9"}, "zram and its backing device", False, "writes back"),
        (f"{VIRTUAL}/ram8", {"queue__rotational": "0"}, "memory", True, "device in memory"),
        (f"{VIRTUAL}/zd16", {"queue__rotational": "0"}, "ZFS volume", None, "ZFS"),
        (f"{VIRTUAL}/pmem8", {"queue__rotational": "0"}, "persistent memory", False, ""),
        (f"{VIRTUAL}/mtdblock8", {"queue__rotational": "1"}, "flash", False, "flash"),
        (f"{VIRTUAL}/dm-88", {"queue__rotational": "1", "dm__uuid": "x"}, "unknown device", None, "not be seen"),
        (f"{VIRTUAL}/loop88", {"queue__rotational": "0"}, "unknown device", None, "not be seen"),
    ],
)
def test_what_a_device_is(
    tree: Tree, place: str, files: dict[str, str], media: str, is_memory: bool | None, word: str
) -> None:
    """Flash, spinning, memory, a host's, a server's; what says nothing, or what cannot be true, is not known."""
    disk = tree.look(tree.add(place, **files))
    assert " and ".join(disk.media) == media
    assert disk.is_memory is is_memory
    assert len(disk.caveats) == bool(word)
    assert all(word in caveat for caveat in disk.caveats)
    assert disk.is_encrypted is False
    assert disk.name == os.path.basename(place)


def test_a_stack_is_followed_to_the_bottom(tree: Tree) -> None:
    """LVM on dm-crypt on a partition of a flash drive: encrypted flash."""
    tree.add(f"{PCI}/sdx", queue__rotational="0")
    part = tree.add(f"{PCI}/sdx/sdx2", partition="2")
    crypt = tree.add(f"{VIRTUAL}/dm-80", part, dm__uuid="CRYPT-LUKS2-0123-luks", queue__rotational="0")
    volume = tree.add(f"{VIRTUAL}/dm-81", crypt, dm__uuid="LVM-abc", queue__rotational="0")
    disk = tree.look(volume)
    assert (disk.name, disk.media, disk.is_memory, disk.is_encrypted) == ("dm-81", ("flash",), False, True)
    assert len(disk.caveats) == 1
    assert tree.look(part).is_encrypted is False


@pytest.mark.parametrize(
    ("uuid", "is_encrypted", "word"),
    [
        ("CRYPT-LUKS1-a-b", True, ""),
        ("CRYPT-PLAIN-b", True, ""),
        ("CRYPT-BITLK-b", True, ""),
        ("CRYPT-VERITY-a-b", False, ""),
        ("CRYPT-INTEGRITY-b", False, "dm-integrity"),
        ("CRYPT-SUBDEV-a-b", False, "dm-integrity"),
        ("NOCRYPT-LUKS1-a", False, ""),
        ("LVM-abc-real", False, "snapshots"),
        ("LVM-abc-tpool", False, "snapshots"),
        ("LVM-abc", False, ""),
        ("mpath-abc-real", False, ""),
        ("VDO-abc", False, "snapshots"),
        ("", False, ""),
    ],
)
def test_what_a_mapped_device_says_of_itself(tree: Tree, uuid: str, is_encrypted: bool, word: str) -> None:
    """Only what encrypts counts as encrypted; hidden layers of LVM tell of snapshots, pools and caches."""
    disk = tree.look(tree.add(f"{VIRTUAL}/dm-80", tree.add(f"{PCI}/sdx", queue__rotational="1"), dm__uuid=uuid))
    assert disk.is_encrypted is is_encrypted
    assert len(disk.caveats) == bool(word)
    assert all(word in caveat for caveat in disk.caveats)


def test_all_parts_of_a_mirror_count(tree: Tree) -> None:
    """Memory or encrypted is only what is so in every part; flash, and what is not known, what is so in one."""
    flash = tree.add(f"{PCI}/sdx", queue__rotational="0")
    memory = tree.add(f"{VIRTUAL}/ram8")
    other = tree.add(f"{VIRTUAL}/ram9")
    unknown = tree.add(f"{PCI}/sdy")
    crypt = tree.add(f"{VIRTUAL}/dm-80", memory, dm__uuid="CRYPT-PLAIN-b")
    mixed = tree.look(tree.add(f"{VIRTUAL}/md80", crypt, flash))
    assert (mixed.media, mixed.is_memory, mixed.is_encrypted) == (("memory", "flash"), False, False)
    both = tree.look(tree.add(f"{VIRTUAL}/md81", memory, other))
    assert (both.media, both.is_memory, len(both.caveats)) == (("memory",), True, 1)
    assert tree.look(tree.add(f"{VIRTUAL}/md82", memory, unknown)).is_memory is None
    assert tree.look(tree.add(f"{VIRTUAL}/md83", flash, unknown)).is_memory is False


def test_a_stack_without_end_is_not_known(tree: Tree) -> None:
    """A tree that leads back to itself, which no kernel shows, ends the search."""
    ring = tree.add(f"{VIRTUAL}/dm-80")
    (tree.root / ring / "slaves").mkdir()
    (tree.root / ring / "slaves" / "dm-80").symlink_to(tree.root / ring)
    assert tree.look(ring).is_memory is None


def test_a_loop_is_its_file_if_the_size_agrees(tree: Tree, tmp_path: Path) -> None:
    """The path is its maker's; a file of another size, one that was removed or is not to be seen is not believed."""
    file = tmp_path / "image"
    file.write_bytes(bytes(4096 + 100))
    sizes = {"loop__offset": "0", "loop__sizelimit": "0", "size": "8"}
    loop = tree.add(f"{VIRTUAL}/loop88", loop__backing_file=str(file), **sizes)
    asked: list[bytes] = []

    def beneath(path: bytes, _depth: int) -> filesystems.Filesystem | None:
        asked.append(path)
        (mount,) = mounts.parse_mountinfo(b"1 0 0:9 / / rw - tmpfs t rw\n")
        return filesystems._judged(mount, -1, 0)

    place = str(tree.root / loop)
    disk = disks.look(place, beneath)
    assert (asked, disk.name, disk.is_memory, disk.media) == ([os.fsencode(file)], "loop88", True, ("memory",))
    for name, text in (("size", "9"), ("loop/offset", "512"), ("loop/sizelimit", "512")):
        kept = (tree.root / loop / name).read_text()
        (tree.root / loop / name).write_text(text)
        assert disks.look(place, beneath).is_memory is None, name
        (tree.root / loop / name).write_text(kept)
    assert disks.look(place, beneath).is_memory is True
    file.unlink()
    assert disks.look(place, beneath).is_memory is None


def test_all_devices_of_a_btrfs_are_found(tree: Tree) -> None:
    """mountinfo names one of them; the others may be flash, or not encrypted."""
    one = tree.add(f"{PCI}/sdx", queue__rotational="1")
    two = tree.add(f"{PCI}/sdy", queue__rotational="0")
    for name, place in (("sdx", one), ("sdy", two)):
        link = tree.root / "fs/btrfs/0123/devices" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(tree.root / place)
    (tree.root / "fs/btrfs/features").mkdir()
    (mount,) = mounts.parse_mountinfo(b"1 0 0:9 / /t rw - btrfs /dev/sdx rw\n")
    found = filesystems._judged(mount, -1, 0)
    assert found.media == ("spinning disk", "flash")
    assert found.describe() == "btrfs on /dev/sdx at /t, spinning disk and flash"


def test_a_device_that_is_not_there_is_not_known(tree: Tree) -> None:
    """Neither its number nor its name; and a path in /dev that is no block device is none."""
    assert disks.numbered(900, 77) is None
    assert disks.named("/dev/zz") is None
    assert disks.named("/dev/") is None
    assert disks.named("/dev/\0") is None
    assert disks.named("/dev/null") is None
