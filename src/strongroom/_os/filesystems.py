"""On which file system a directory lies, and what burning a file there (overwrite, sync, punch a hole) cannot prove.

Linux only: ``mountinfo`` lists the mounts (``mounts``), ``fdinfo`` of an open directory names its own by number, and
``/sys`` tells of the device below (``disks``). Other systems give ``None``, and so does what cannot be read:
``UNKNOWN`` is the sentence to show then.

Source: proc_pid_mountinfo(5), proc_pid_fdinfo(5), mount(8), tmpfs(5), man-pages 6.10;
Documentation/filesystems/overlayfs.rst, ext4/ and ramfs-rootfs-initramfs.rst of Linux 6.12.
"""

from __future__ import annotations

import errno
import os

from strongroom._os import PLATFORM, disks
from strongroom._os.mounts import Mount, choose, is_number, parse_mountinfo

__all__ = ["NO_DESCRIPTORS", "UNKNOWN", "Filesystem", "find"]

#: That nothing can be opened at the moment says nothing of what there is.
NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)

UNKNOWN = "what keeps the files of this directory is not known: old contents may stay, whatever is written over them"

#: Their files are pages of memory. rootfs is what an initramfs is unpacked into: a tmpfs or ramfs.
_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs", "rootfs"})
_SWAPPED = frozenset({"tmpfs", "devtmpfs", "rootfs"})  # the pages of the others are never swapped out
_REMOTE = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "9p", "ceph", "afs", "coda", "lustre", "beegfs"}
) | {
    *("orangefs", "pvfs2", "gfs", "gfs2", "ocfs2"),  # disks that several machines share count as well
    *("virtiofs", "vboxsf", "prl_fs", "vmhgfs", "hostfs"),  # the server is a virtual machine's host
}
_COPY_ON_WRITE = frozenset({"btrfs", "zfs", "bcachefs", "apfs", "refs"})
_LOG_STRUCTURED = frozenset({"f2fs", "nilfs2", "ubifs", "jffs2", "yaffs", "yaffs2", "logfs"})
_RAW_FLASH = frozenset({"ubifs", "jffs2", "yaffs", "yaffs2", "logfs"})
_NTFS = frozenset({"ntfs", "ntfs3", "fuseblk"})  # fuseblk: nearly always ntfs-3g
_SWAP = "files here are memory that can be swapped out: the swap may get what lies in them"
_SERVER = "a server or program keeps the files, and keeps what it likes: caches, snapshots, backups"
_COW = "copy-on-write: a write goes elsewhere, and the old blocks stay, also in snapshots, until they are reused"
_NO_COW = "without copy-on-write a block is written over, unless a snapshot holds it: then the old one stays"
_LOG = "log-structured: a write goes elsewhere, and the old blocks stay until they are cleaned"
_REFLINK = (
    "xfs with reflink: blocks that another file or a snapshot shares are written elsewhere, and the old ones stay"
)
_DATA_JOURNAL = "journalled data: what was written lies in the journal as well, until that is used again"
_MAYBE_JOURNAL = "whether the journal holds data as well could not be read"
_REISERFS = "reiserfs: small files and tails lie in the tree, whose journal may keep them"
_NTFS_TABLES = "ntfs: small files lie in its tables, and a compressed folder writes elsewhere"
_COMPRESSED = "compressed or deduplicated: what is written over may take other blocks than before"
_LAYERS = "overlay: what lower layers hold of a file is not written over"
_VOLATILE = "overlay mounted volatile: a sync does nothing"
_NO_BARRIER = "mounted without write barriers: a sync may end in the drive's cache"
_BELOW_NOT_SEEN = "the directory that the files lie in could not be seen from here: nothing is known of what it keeps"


class Filesystem:
    """What is known of the file system that a directory lies on.

    Attributes:
        kind: Its type as the kernel spells it: ``ext4``, ``tmpfs``, ``overlay``, ``nfs4``, ``fuse.sshfs``, ...
        mount_point: Where it is mounted, seen from this process.
        source: What is mounted: a device's path, a server, or any word.
        device: Its number as mountinfo and smaps have it, major and minor.
        is_memory: ``True`` if files lie in memory, or in the swap, and on no device; ``None`` if that is not known.
        is_encrypted: ``True`` if an encrypting layer (dm-crypt, ecryptfs) was seen between the file and every device.
            ``False`` does not say that there is none: fscrypt, ZFS and drives encrypt unseen.
        media: In words, what is at the bottom: ``flash``, ``spinning disk``, ``memory``, ``virtual disk``, ...
        caveats: Short sentences: what burning a file cannot prove here. None at all says that nothing is known
            against it, which is no proof: drives remap sectors in silence.
        below: Where the files of a stacked file system lie, or ``None``.

    Does not protect against: what a single directory has of its own: chattr(1) +C, +c, +j and the like are not read.
    """

    __slots__ = ("below", "caveats", "device", "is_encrypted", "is_memory", "kind", "media", "mount_point", "source")

    def __init__(self, mount: Mount) -> None:
        self.kind = mount.kind
        self.mount_point = mount.point
        self.source = mount.source
        self.device = mount.device
        self.is_memory: bool | None = None
        self.is_encrypted = False
        self.media: tuple[str, ...] = ()
        self.caveats: tuple[str, ...] = ()
        self.below: Filesystem | None = None

    def __repr__(self) -> str:
        return f"<Filesystem {self.describe()}>"

    def is_unseen(self) -> bool:
        """Whether it is an overlay, at the bottom of all that is seen, whose upper directory is not: in containers."""
        return self.below.is_unseen() if self.below is not None else self.kind == "overlay"

    def describe(self) -> str:
        """Say all that in one printable line, such as ``ext4 on /dev/sda2 at /home, flash``."""
        words = self.kind
        if self.source not in ("", "none", self.kind):
            words += f" on {self.source}"
        words += f" at {self.mount_point}"
        if self.below is not None:
            words += f", files in {self.below.describe()}"
        elif self.media:
            words += f", {' and '.join(self.media)}"
        if self.is_encrypted and not (self.below is not None and self.below.is_encrypted):
            words += ", encrypted"
        return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in words)


def find(directory: str | bytes) -> Filesystem | None:
    """Return what is known of the file system that a directory lies on, or ``None``.

    Args:
        directory: Its path.

    Raises:
        OSError: It is not there, is no directory, or may not be reached; or there is no descriptor left to look with.

    Platform notes: Linux. Other systems always give ``None``; so does a Linux without ``/proc``.
    Source: proc_pid_mountinfo(5), man-pages 6.10.
    Version added: 0.1.
    """
    if PLATFORM != "linux":
        return None
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _lying(descriptor, os.fsdecode(directory), 0)
    finally:
        os.close(descriptor)


def _beneath(path: bytes, depth: int) -> Filesystem | None:
    """The file system of something below another one; ``None`` if it is not to be seen from here."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        return _lying(descriptor, os.fsdecode(path), depth)
    finally:
        os.close(descriptor)


def _read(name: str) -> bytes:
    """A file of ``/proc`` about this thread: it may be in a mount namespace of its own. Nothing if there is none."""
    for process in ("thread-self", "self"):  # the former since Linux 3.17
        try:
            with open(f"/proc/{process}/{name}", "rb") as file:
                return file.read()
        except OSError as error:
            if error.errno in NO_DESCRIPTORS:
                raise
    return b""


def _lying(descriptor: int, path: str, depth: int) -> Filesystem | None:
    """What an open file or directory lies on."""
    number = os.fstat(descriptor).st_dev
    identity = None
    for line in _read(f"fdinfo/{descriptor}").split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"mnt_id" and is_number(value.strip()):
            identity = int(value)
    device = os.major(number), os.minor(number)
    path = os.path.realpath(path) if identity is None else ""  # not needed, and fails where the folder was removed
    mount = choose(parse_mountinfo(_read("mountinfo")), identity, device, path)
    return None if mount is None else _judged(mount, descriptor, depth)


def _judged(mount: Mount, descriptor: int, depth: int) -> Filesystem:
    """What a mount's line, and the devices below it, say."""
    found = Filesystem(mount)
    caveats = _of_the_kind(mount)
    if mount.kind in _MEMORY:
        found.is_memory, found.media = True, ("memory",)
    elif mount.kind in _RAW_FLASH:
        found.is_memory, found.media = False, ("flash",)
    elif mount.kind in ("overlay", "ecryptfs"):
        found.below = _stacked(mount, descriptor, depth)
        found.is_encrypted = mount.kind == "ecryptfs"
        if found.below is None:
            caveats.append(_BELOW_NOT_SEEN)
        else:
            found.is_memory, found.media = found.below.is_memory, found.below.media
            found.is_encrypted = found.is_encrypted or found.below.is_encrypted
            caveats += found.below.caveats
    elif mount.kind not in _REMOTE and mount.kind.partition(".")[0] != "fuse":
        _on_devices(mount, found, caveats, depth)
    found.caveats = tuple(dict.fromkeys(caveats))
    return found


def _of_the_kind(mount: Mount) -> list[str]:
    """What is known against a kind of file system with such options, wherever it lies."""
    kind, options = mount.kind, mount.options
    no_barrier = "nobarrier" in options or mount.option("barrier") == "0"
    holds = {
        _SWAP: kind in _SWAPPED and "noswap" not in options,  # Linux 6.4
        _SERVER: kind in _REMOTE or kind.partition(".")[0] in ("fuse", "fuseblk"),
        _NO_COW: kind == "btrfs" and "nodatacow" in options,
        _COW: kind in _COPY_ON_WRITE and not (kind == "btrfs" and "nodatacow" in options),
        _LOG: kind in _LOG_STRUCTURED,
        _REFLINK: kind == "xfs",  # the default since xfsprogs 5.1; no option tells
        _REISERFS: kind == "reiserfs",
        _NTFS_TABLES: kind in _NTFS,
        _COMPRESSED: kind == "zfs" or any(option.startswith("compress") for option in options),
        _LAYERS: kind == "overlay",
        _VOLATILE: kind == "overlay" and "volatile" in options,
        _NO_BARRIER: no_barrier,
    }
    return [caveat for caveat, is_so in holds.items() if is_so]


def _stacked(mount: Mount, descriptor: int, depth: int) -> Filesystem | None:
    """Where the files of a stacked file system lie, if the path that was given at its mounting still leads there.

    It may be of another mount namespace, as in every container. Both kinds pass statfs(2) on to what is below
    (ovl_statfs, ecryptfs_statfs), so another directory by that name gives itself away by its size.
    """
    written = mount.option("upperdir") if mount.kind == "overlay" else mount.source
    escaped = written.replace("\\\\", "\0").replace("\\", "").replace("\0", "\\")  # overlay's own: \, and \\
    for path in dict.fromkeys((escaped, written)):
        if depth >= disks.DEEPEST or not path.startswith("/"):  # relative: to a directory that nobody knows
            continue
        for _ in range(3):  # where the size depends on what is free, it may change in between
            try:
                above, below = os.statvfs(descriptor), os.statvfs(path)
            except (OSError, ValueError):
                break
            if (above.f_blocks, above.f_frsize) == (below.f_blocks, below.f_frsize):
                return _beneath(os.fsencode(path), depth + 1)
    return None


def _on_devices(mount: Mount, found: Filesystem, caveats: list[str], depth: int) -> None:
    """Fill in what the devices below say."""
    if mount.device[0]:
        places: list[str | None] = [disks.numbered(*mount.device)]
    else:  # btrfs, bcachefs and ZFS have numbers that are nobody's
        places = [disks.named(part) for part in mount.source.split(":") if part.startswith("/dev/")]
    if mount.kind == "btrfs":
        places = [member for place in places if place is not None for member in disks.members(place)]
    below = [disks.look(place, _beneath, depth + 1) if place else disks.unknown("") for place in places or [None]]
    disk = disks.merged("", "", below)
    if mount.kind in ("ext3", "ext4"):
        caveats += _journal(mount, below[0].name or os.path.basename(mount.source))
    found.is_memory, found.is_encrypted, found.media = disk.is_memory, disk.is_encrypted, disk.media
    caveats += disk.caveats


def _journal(mount: Mount, name: str) -> list[str]:
    """Whether an ext3 or ext4 writes data through its journal.

    mountinfo only shows ``data=journal`` if it was asked for at the mounting; ``/proc/fs/ext4/NAME/options`` also if
    tune2fs(8) made it the default.
    """
    mode = mount.option("data")
    if not mode:
        try:
            with open(f"/proc/fs/ext4/{name}/options", "rb") as file:
                mode = "journal" if b"data=journal" in file.read().split(b"\n") else "no"
        except (OSError, ValueError):
            return [_MAYBE_JOURNAL]
    return [_DATA_JOURNAL] if mode == "journal" else []
