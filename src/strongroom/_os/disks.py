"""What a block device is made of: followed in ``/sys`` through partitions, device-mapper, RAID and loops to the bottom.

Linux only. ``/sys/dev/block/MAJOR:MINOR`` leads to a folder. A partition's lies in its disk's; ``slaves`` names what a
device is put together from; ``loop/backing_file`` is a path. What cannot be read is not known: never an error, and
never a guess.

Source: Documentation/ABI/stable/sysfs-block, testing/sysfs-block-dm, testing/sysfs-block-zram and
admin-guide/blockdev/ of Linux 6.12; sysfs(5), loop(4), ram(4), man-pages 6.10.
"""

from __future__ import annotations

import os
from stat import S_ISBLK

from strongroom._os.mounts import is_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom._os.filesystems import Filesystem

    Looker = Callable[[bytes, int], Filesystem | None]

__all__ = ["DEEPEST", "Disk", "look", "members", "merged", "named", "numbered", "unknown"]

_SYS = "/sys"

#: How many layers are followed. Real stacks (file system, LVM, dm-crypt, RAID, partition, disk) have six; what is
#: deeper is not known.
DEEPEST = 12
_SECTOR = 512  # bytes; sysfs counts in these, whatever the device's own are

#: What cryptsetup(8) 2.7 begins a device's UUID with when it encrypts. Not CRYPT-VERITY, CRYPT-INTEGRITY nor
#: CRYPT-SUBDEV: those only check what they read.
_ENCRYPTING = tuple(f"CRYPT-{kind}-" for kind in ("LUKS1", "LUKS2", "PLAIN", "LOOPAES", "TCRYPT", "BITLK", "FVAULT2"))
_INTEGRITY = ("CRYPT-INTEGRITY-", "CRYPT-SUBDEV-")
#: How LVM ends the UUIDs of its hidden layers: below an origin of snapshots, a snapshot's store, pools, caches.
_KEEPING = ("-real", "-cow", "-tpool", "-vpool", "-cpool", "-cvol", "-cdata")
#: In a path below /sys/devices: the bus of a virtual machine's host (virtio, Xen, Hyper-V) ...
_VIRTUAL_BUSES = ("/virtio", "/vbd-", "/VMBUS:", "/vmbus")
#: ... in what a disk calls itself, lower case: QEMU, VirtualBox, VMware, Hyper-V, Amazon, Google ...
_VIRTUAL_MODELS = ("qemu", "vbox", "vmware", "virtual", "amazon elastic", "persistentdisk", "nvme_card")
#: ... and the way to a device of another machine: iSCSI, NVMe over fabrics, Fibre Channel.
_REMOTE_BUSES = ("/session", "/nvme-fabrics", "/rport-")

NOT_SEEN = "what device the file system lies on could not be seen: nothing is known of what it keeps"
_FLASH = "flash: the drive writes to other cells, and keeps the old ones until it erases them"
_USB = "a USB device: it may be flash, whatever it says, and keep old cells until it erases them"
_VIRTUAL = "a virtual machine's disk: the host keeps what it likes, in images, snapshots and flash"
_REMOTE = "a disk of another machine: that keeps what it likes"
_MEMORY = "a device in memory (zram, brd): what is overwritten may stay in freed memory, but not without power"
_WRITEBACK = "zram that writes back: what did not compress or was idle may be on its backing device"
_SNAPSHOTS = "a volume with snapshots, a thin pool or a cache: these may keep the old blocks"
_INTEGRITY_JOURNAL = "dm-integrity: its journal may keep what was written, until it is used again"
_POOL = "a ZFS volume: it writes anew elsewhere, and leaves the old blocks, also in snapshots, until they are reused"


class Disk:
    """What is known of a device: its name, what it is in words, and what burning cannot prove on it."""

    __slots__ = ("caveats", "is_encrypted", "is_memory", "media", "name")

    def __init__(
        self, name: str, media: tuple[str, ...], is_memory: bool | None, is_encrypted: bool, caveats: tuple[str, ...]
    ) -> None:
        self.name = name
        self.media = media
        self.is_memory = is_memory
        self.is_encrypted = is_encrypted
        self.caveats = caveats


def _text(path: str) -> str:
    """A small file of sysfs, or nothing."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _names(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


def _number(text: str) -> int:
    return int(text) if is_number(text.encode("utf-8", "replace")) else 0


def _place(link: str) -> str | None:
    """The folder that a link of sysfs leads to, if it is there."""
    try:
        place = os.path.realpath(link)
    except ValueError:  # a NUL, which no kernel prints
        return None
    return place if os.path.isdir(place) else None


def numbered(major: int, minor: int) -> str | None:
    """Return the folder of the device with these numbers."""
    return _place(f"{_SYS}/dev/block/{major}:{minor}")


def named(path: str) -> str | None:
    """Return the folder of the device that a path in ``/dev`` means, also where that has no such node: containers."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        name = path.removeprefix("/dev/").replace("/", "!")  # as sysfs spells cciss/c0d0
        return _place(f"{_SYS}/class/block/{name}") if name not in ("", ".", "..") else None
    return numbered(os.major(status.st_rdev), os.minor(status.st_rdev)) if S_ISBLK(status.st_mode) else None


def members(place: str) -> list[str]:
    """Return the folders of all devices of the btrfs that a device is part of; mountinfo names only one of them."""
    name = os.path.basename(place)
    for identity in _names(f"{_SYS}/fs/btrfs"):
        folder = f"{_SYS}/fs/btrfs/{identity}/devices"
        names = _names(folder)
        if name in names:
            return [_place(f"{folder}/{name}") or f"{folder}/{name}" for name in names]
    return [place]


def look(place: str, beneath: Looker, depth: int = 0) -> Disk:
    """Follow a device down.

    Args:
        place: Its folder, of ``numbered`` or ``named``.
        beneath: Tells on which file system a loop's file lies, or ``None`` if that is not known; its second argument
            is how many layers are above.
        depth: How many layers are above this one.

    Returns:
        What is below, all of it: the media of every part of a RAID, the caveats of every layer.
    """
    name = os.path.basename(place)
    if depth > DEEPEST:
        return unknown(name)
    if os.path.exists(f"{place}/partition"):
        return _renamed(name, look(os.path.dirname(place), beneath, depth + 1))
    if name.startswith("loop"):
        return _loop(place, beneath, depth)
    slaves = _names(f"{place}/slaves")
    if not slaves:
        return _bottom(place)
    below = [look(_place(f"{place}/slaves/{slave}") or place, beneath, depth + 1) for slave in slaves]
    return merged(name, _text(f"{place}/dm/uuid"), below)


def unknown(name: str) -> Disk:
    """Return what is known of a device that cannot be seen."""
    return Disk(name, ("unknown device",), None, False, (NOT_SEEN,))


def _renamed(name: str, disk: Disk) -> Disk:
    return Disk(name, disk.media, disk.is_memory, disk.is_encrypted, disk.caveats)


def merged(name: str, uuid: str, below: list[Disk]) -> Disk:
    """Return what is known of a device made of others: memory if all are, encrypted if it or all are."""
    caveats: list[str] = []
    if (uuid.startswith("LVM-") and uuid.endswith(_KEEPING)) or uuid.startswith("VDO-") or name.startswith("bcache"):
        caveats.append(_SNAPSHOTS)
    if uuid.startswith(_INTEGRITY):
        caveats.append(_INTEGRITY_JOURNAL)
    for disk in below:
        caveats += disk.caveats
    kinds = {disk.is_memory for disk in below}
    return Disk(
        name,
        tuple(dict.fromkeys(medium for disk in below for medium in disk.media)),
        False if False in kinds else None if None in kinds else True,
        uuid.startswith(_ENCRYPTING) or all(disk.is_encrypted for disk in below),
        tuple(dict.fromkeys(caveats)),
    )


def _loop(place: str, beneath: Looker, depth: int) -> Disk:
    """A file as device; loop(4). The path is that of whoever made the loop, perhaps in another mount namespace."""
    name = os.path.basename(place)
    try:
        with open(f"{place}/loop/backing_file", "rb") as file:
            path = file.read().removesuffix(b"\n")
        status = os.stat(path)
    except (OSError, ValueError):  # not bound, " (deleted)", or not to be seen from here
        return unknown(name)
    sectors = _number(_text(f"{place}/size"))
    if S_ISBLK(status.st_mode):
        lower = numbered(os.major(status.st_rdev), os.minor(status.st_rdev))
        if lower is None or lower == place:
            return unknown(name)
        size = _number(_text(f"{lower}/size")) * _SECTOR
    else:
        lower, size = None, status.st_size
    size -= _number(_text(f"{place}/loop/offset"))
    limit = _number(_text(f"{place}/loop/sizelimit"))
    if (min(size, limit) if limit else size) // _SECTOR != sectors:  # some other file by that name
        return unknown(name)
    if lower is not None:
        return _renamed(name, look(lower, beneath, depth + 1))
    under = beneath(path, depth + 1)
    if under is None:
        return unknown(name)
    return Disk(name, under.media, under.is_memory, under.is_encrypted, under.caveats)


def _bottom(place: str) -> Disk:
    """A device that is made of no other."""
    name = os.path.basename(place)
    way = place.removeprefix(os.path.realpath(_SYS))
    if name.startswith("zram"):
        if _text(f"{place}/backing_dev") not in ("", "none"):
            return Disk(name, ("zram", "its backing device"), False, False, (_WRITEBACK,))
        return Disk(name, ("memory",), True, False, (_MEMORY,))
    if name.startswith("ram") and name[3:].isdigit():
        return Disk(name, ("memory",), True, False, (_MEMORY,))
    if name.startswith("zd") and name[2:].isdigit():
        return Disk(name, ("ZFS volume",), None, False, (_POOL,))
    if name.startswith(("nbd", "rbd", "drbd")) or any(bus in way for bus in _REMOTE_BUSES):
        return Disk(name, ("remote disk",), None, False, (_REMOTE,))
    model = f"{_text(f'{place}/device/vendor')} {_text(f'{place}/device/model')}".lower()
    if any(bus in way for bus in _VIRTUAL_BUSES) or any(word in model for word in _VIRTUAL_MODELS):
        return Disk(name, ("virtual disk",), False, False, (_VIRTUAL,))
    if name.startswith(("dm-", "nullb", "md")):  # made of nothing that is shown
        return unknown(name)
    if name.startswith("pmem"):
        return Disk(name, ("persistent memory",), False, False, ())
    rotates = _text(f"{place}/queue/rotational")
    if rotates == "0" or name.startswith("mtdblock"):
        return Disk(name, ("flash",), False, False, (_FLASH,))
    if rotates != "1":
        return unknown(name)
    if "/usb" in way:  # bridges, and sticks, that do not say what they are
        return Disk(name, ("USB device",), False, False, (_USB,))
    return Disk(name, ("spinning disk",), False, False, ())
