"""Whether this machine can write its RAM to disk: the question that decides between the two backings.

While one page of secret memory exists, Linux refuses to hibernate (mm/secretmem.c: hibernation fails with EPERM). On
a laptop that surprises people; on a server nobody notices. So secret memory is used by itself only where the machine
cannot hibernate anyway, and unknown counts as "it can".

``/sys/power/state`` and ``/sys/power/disk`` are no witnesses: they say "no hibernation" while anybody, ourselves
included, has secret memory. What is read instead stays put: the kernel's command line, its configuration and the
resume device.
"""

from __future__ import annotations

import os
import time

__all__ = ["can_hibernate", "judge_hibernation", "look"]

#: kernel-parameters.txt. Not noresume: it only keeps the kernel from looking for an image at boot.
_OFF = {"nohibernate", "hibernate=no"}


def judge_hibernation(command_line: str, config: str | None, resume_device: str | None, lockdown: str | None) -> bool:
    """Judge from text; ``None`` stands for a file that does not exist.

    Args:
        command_line: ``/proc/cmdline``.
        config: The kernel's build configuration, if it is to be had.
        resume_device: ``/sys/power/resume``; the file exists if, and only if, the kernel can hibernate at all
            (kernel/power/hibernate.c).
        lockdown: ``/sys/kernel/security/lockdown``; any mode but none forbids hibernation (kernel_lockdown(7)).
    """
    if resume_device is None:
        return False
    if _OFF & set(command_line.split()):
        return False
    if config is not None and "# CONFIG_HIBERNATION is not set" in config:
        return False
    return lockdown is None or "[none]" in lockdown  # an unset resume device can still be set when going down


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return None


def look() -> bool:
    """Return whether this Linux machine may be able to hibernate, now; what cannot be read counts as yes."""
    try:
        if not os.path.isdir("/sys/power"):
            return True
        resume = _text("/sys/power/resume")
        if resume is None:  # most servers: the other files, of which the last is long, need not be read
            return judge_hibernation("", None, None, None)
        return judge_hibernation(
            _text("/proc/cmdline") or "",
            _text(f"/boot/config-{os.uname().release}"),
            resume,
            _text("/sys/kernel/security/lockdown"),
        )
    except OSError:
        return True


#: How long an answer is good for. A look costs 5 to 250 us, much against the 20 of a block, and buffers are made in
#: bursts. But lockdown can be switched on while the machine runs, and a container that was moved wakes up on another
#: machine. Nobody can tell a second's delay from having asked a moment too early.
_GOOD_FOR_SECONDS = 1.0
_last: tuple[float, bool] | None = None


def can_hibernate() -> bool:
    """Return what ``look`` does, or did within the last second."""
    global _last
    now = time.monotonic()
    last = _last
    if last is None or not 0 <= now - last[0] < _GOOD_FOR_SECONDS:  # below zero: restored from a snapshot
        _last = last = now, look()
    return last[1]
