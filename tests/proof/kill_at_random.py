"""Kill `strongroom prove` at random moments and look at the machine: nothing may be left behind.

    python tests/proof/kill_at_random.py [--moments 30] [--seed N]

Each run is started, left alone for a random part of its length, and sent SIGINT, SIGTERM or SIGKILL. Then the
machine itself is asked: /proc/swaps, mounts, loop devices, core_pattern, zswap, control groups, processes, folders,
journals. As root everything is at stake; without root only processes and folders.

So that prove has all its changes to make, the script itself, as root, switches zswap on and pipes cores to a program
for as long as it runs, and puts that back.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

#: For the janitor, which on a machine that others keep busy, or with a slow disk, takes longer than usual.
PATIENCE_SECONDS = 60.0
_DEADLINE_SECONDS = 300.0  # of a prove: many times what it takes
_WORK = "strongroom-prove-"
_SETTINGS = (Path("/proc/sys/kernel/core_pattern"), Path("/sys/module/zswap/parameters/enabled"))
_MARKER = b"STRONGROOM_PROVE="


def command(*arguments: str) -> list[str]:
    """The command line of a prove of this interpreter's strongroom."""
    code = "import sys; from strongroom.cli import main; sys.exit(main(sys.argv[1:]))"
    return [sys.executable, "-P", "-c", code, "prove", *arguments]


def settings() -> dict[str, str]:
    """The values that prove may change, now."""
    return {str(path): path.read_text() for path in _SETTINGS if path.exists()}


def _processes() -> Iterator[str]:
    """Victims and attackers by their marker, janitors by their command line."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            is_marked = any(part.startswith(_MARKER) for part in (entry / "environ").read_bytes().split(b"\0"))
            line = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if is_marked or b"prove.janitor" in line or b"prove.attackers" in line or b"prove.victim" in line:
            yield f"process {entry.name}"


def _groups() -> Iterator[str]:
    for parent, folders, _ in os.walk("/sys/fs/cgroup"):
        yield from (f"control group {parent}/{name}" for name in folders if name.startswith(_WORK))


def disks() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if _WORK in line:
            yield f"mount {line.split()[4]}"
    for behind in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # let go of meanwhile
            if _WORK in (path := behind.read_text().strip()):
                yield f"loop device of {path}"


def leftovers(before: dict[str, str], journals: list[Path]) -> list[str]:
    """Everything that a run left on this machine, in words."""
    left = [line.split()[0] for line in Path("/proc/swaps").read_text().splitlines() if _WORK in line]
    left += [f"{path} is {value!r}" for path, value in settings().items() if before[path] != value]
    left += _processes()
    left += _groups()
    left += disks()
    for folder in {"/var/tmp", "/var/lib", "/tmp", "/", tempfile.gettempdir()}:
        left += [str(path) for path in Path(folder).glob(_WORK + "*")]
    for place in journals:
        left += [str(path) for path in place.glob("*.journal")]
    return left


def settle(before: dict[str, str], journals: list[Path]) -> list[str]:
    """Wait for the janitor; what is left then is left for good."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (left := leftovers(before, journals)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def journal_folders() -> list[Path]:
    """Where prove's journals would be."""
    user = os.geteuid()
    places = [Path("/run/strongroom"), Path(tempfile.gettempdir(), f"strongroom-{user}")]
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        places.append(Path(runtime, "strongroom"))
    return places


def kill_once(number: signal.Signals, after_seconds: float, arguments: tuple[str, ...] = ()) -> tuple[int, list[str]]:
    """Run, wait, kill; returns the exit status and what was left behind."""
    before = settings()
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(after_seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    status = process.wait(_DEADLINE_SECONDS)
    return status, settle(before, journal_folders())


def length_of_a_run(arguments: tuple[str, ...] = ()) -> float:
    """Seconds that an undisturbed run takes here."""
    begin = time.monotonic()
    subprocess.run(command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.monotonic() - begin


@contextlib.contextmanager
def everything_to_change() -> Iterator[None]:
    """Settings under which prove has to change all it can change (only where we may set them)."""
    before = settings()
    wanted = dict(zip(map(str, _SETTINGS), ("|/bin/true %p", "Y"), strict=True))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        for path in before:
            if os.access(path, os.W_OK):
                Path(path).write_text(wanted[path])
        yield
    finally:
        for path, value in before.items():
            if os.access(path, os.W_OK):
                Path(path).write_text(value)


def say(words: str) -> None:
    """Write a line."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def main() -> int:
    """Kill many times and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=30, help="per signal (default 30)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with everything_to_change():
        return kill_many(options.moments, chance, options.seed)


def kill_many(moments: int, chance: random.Random, seed: int) -> int:
    """Kill `moments` times with each signal; returns the exit code."""
    length = length_of_a_run()
    say(f"a run takes {length:.2f} s; seed {seed}")
    failures = 0
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        ended_itself = 0
        for _ in range(moments):
            moment = chance.uniform(0, length)
            status, left = kill_once(number, moment)
            ended_itself += status == 0
            wrong = status not in (0, -number)
            if left or wrong:
                failures += 1
                say(f"{number.name} after {moment:.3f} s: status {status}, left behind: {left or 'nothing'}")
        say(f"{number.name}: {moments} moments, {ended_itself} of them after the end")
    say(f"{3 * moments - failures} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
