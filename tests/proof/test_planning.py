"""What this machine allows, read from the texts that machines really show."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="needs a Unix")

from strongroom.prove import cgroup, changes, machine, mounts

V1 = "9:name=systemd:/\n4:memory:/user/me\n1:cpu:/\n0::/\n"
V1_MOUNTS = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
V2 = "0::/user.slice/user-1000.slice/session-2.scope\n"
V2_MOUNTS = "28 22 0:25 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
CONTAINER = "0::/\n"
HYBRID_MOUNTS = V1_MOUNTS + "36 31 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"


@pytest.mark.parametrize(
    ("groups", "mountinfo", "expected"),
    [
        (V1, V1_MOUNTS, (1, "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/user/me")),
        (V1, HYBRID_MOUNTS, (1, "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/user/me")),
        (V2, V2_MOUNTS, (2, "/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope")),
        (CONTAINER, V2_MOUNTS, (2, "/sys/fs/cgroup", "/sys/fs/cgroup")),
        ("4:memory:/docker/abc\n", V1_MOUNTS.replace(" / /sys", " /docker/abc /sys"),
         (1, "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory")),
        ("0::/../outside\n", V2_MOUNTS, (2, "/sys/fs/cgroup", "/sys/fs/cgroup")),
        (V2, "", None),
        ("", V2_MOUNTS, None),
    ],
)  # fmt: skip
def test_the_memory_controller_is_found(groups: str, mountinfo: str, expected: tuple[int, str, str] | None) -> None:
    """On cgroup v1, v2, both, and in containers."""
    assert cgroup.locate(groups, mounts.parse(mountinfo.encode())) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("core", "here"),
        ("core.%e.%p", "here"),
        ("/var/crash/core.%p", "elsewhere"),
        ("cores/core", "elsewhere"),
        ("|/usr/lib/systemd/systemd-coredump %P %u", "piped"),
        ("@/run/coredump.socket", "piped"),
        ("@@/run/coredump.socket", "piped"),
    ],
)
def test_where_cores_go(pattern: str, expected: str) -> None:
    """core(5)'s patterns, the socket of Linux 6.16 included."""
    assert machine.where_cores_go(pattern) == expected


def test_capabilities_are_read() -> None:
    """CapEff decides, not the uid."""
    status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000000000280000\n"
    capabilities = machine.effective_capabilities(status)
    assert capabilities == 1 << machine.CAP_SYS_PTRACE | 1 << machine.CAP_SYS_ADMIN
    assert machine.effective_capabilities("") == 0


def test_swap_areas_are_read() -> None:
    """The header line is no swap area."""
    head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
    assert machine.swap_areas(head) == []
    assert machine.swap_areas(head + "/dev/zram0 partition 100 0 100\n/swap file 9 0 -2\n") == ["/dev/zram0", "/swap"]


def test_a_core_pattern_too_long_is_not_used() -> None:
    """core(5) would cut it off, and % would mean something else."""
    assert machine.fits_core_pattern("/x" * 60)
    assert not machine.fits_core_pattern("/x" * 70)
    assert not machine.fits_core_pattern("/50%p")


def test_swap_header_is_what_mkswap_writes() -> None:
    """The magic is where the kernel looks, and the last page is the last one."""
    header = changes.swap_header(100)
    assert header.endswith(b"SWAPSPACE2")
    assert int.from_bytes(header[1024:1028], "little") in (1, 1 << 24)
    assert 99 in (int.from_bytes(header[1028:1032], "little"), int.from_bytes(header[1028:1032], "big"))


def test_write_back_is_recognised() -> None:
    """v1's, v2's and the machine's own counters."""
    assert cgroup._writing("cache 1\nwriteback 4096\n")
    assert cgroup._writing("anon 1\nfile_writeback 4096\n")
    assert cgroup._writing("nr_writeback 1\nnr_writeback_temp 0\n")
    assert not cgroup._writing("writeback 0\nfile_writeback 0\nnr_writeback 0\nnr_writeback_temp 9\n")


def test_a_group_is_found_on_this_machine_if_any() -> None:
    """The folder named really exists and can be written."""
    place = cgroup.find_place()
    if place is None:
        pytest.skip("needs a writable memory control group: run as root outside a container")
    assert Path(place.folder, "cgroup.procs").exists()
