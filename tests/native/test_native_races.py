"""Threads that race for the same memory: ranges of regions, and slots of the pool.

Each race runs for a moment in every test run, watched by ThreadSanitizer; ``STRONGROOM_RACE_SECONDS=30`` makes it as
long as one likes, and ``STRONGROOM_ALL_BUILDS=1`` adds a plain build and AddressSanitizer.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from compiling import IS_THOROUGH, SANITIZERS, can_run, compiled, not_again, started

if not sys.platform.startswith("linux"):
    pytest.skip("the races are checked against Linux's /proc", allow_module_level=True)

pytestmark = not_again

HERE = Path(__file__).resolve().parent
BUILDS = {"threads sanitized": ["-O1", "-fsanitize=thread", "-fno-sanitize-recover=all"]}
if IS_THOROUGH:
    BUILDS |= {"plain": ["-O2"], "addresses sanitized": ["-O1", *SANITIZERS]}
MUTEXES = ["-Wl,--wrap=sr_os_enter", "-Wl,--wrap=sr_os_leave"]
SHORT_SECONDS = 0.5
BROKEN_SECONDS = 20
LEAST_ATTEMPTS, MOST_ATTEMPTS = 5, 60
# What mixed-up books end in: any fault (a slot size of zero is divided by: SIGFPE), or no end until the alarm.
DEATHS = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGALRM)
LIMIT_BYTES = 64 * 1024


@dataclass(frozen=True)
class Race:
    """A program, what it is started with after seconds and seed, and what it prints when its promise is broken."""

    source: Path
    rest: tuple[str, ...]
    violation: str


REGIONS = Race(HERE / "region_race.c", (), "FAIL  (.*), page .* of a held range")
SLOTS = Race(HERE / "pool_race.c", (), "FAIL  (a secret .* wrote over|a slot .* not zeros|a canary that is gone)")
RACES = {
    "held ranges": REGIONS,
    "slots": SLOTS,
    "slots at the lock limit": Race(SLOTS.source, (str(LIMIT_BYTES),), SLOTS.violation),
}


def race_seconds() -> float:
    return float(os.environ.get("STRONGROOM_RACE_SECONDS", SHORT_SECONDS))


def run(program: list[str], seconds: float, seed: int, rest: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Run a race and end what it leaves: children of one whose lists are mixed up may walk them for ever."""
    command = [*program, str(seconds), str(seed), *rest]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, start_new_session=True)
        try:
            process.wait(timeout=seconds + 120)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(command, process.returncode, out.read(), err.read())


def any_seed() -> int:
    """Return another one each time; each race prints its own."""
    return int.from_bytes(os.urandom(4))


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("race", RACES.values(), ids=list(RACES))
def test_nobody_loses(race: Race, build: str, tmp_path: Path) -> None:
    """No held page is taken away and no slot is two threads': not one fault, not one lost mark, in any build.

    Nothing for the sanitizers, and in the end the kernel agrees with the books.
    """
    if not can_run(BUILDS[build], tmp_path):
        pytest.skip(f"this compiler cannot make programs with {build}: install its sanitizer runtime")
    program = compiled([race.source], BUILDS[build], tmp_path / "race")
    done = run(started(program, BUILDS[build]), race_seconds(), any_seed(), race.rest)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert re.search(r"\b0 violations", done.stdout)


@pytest.mark.parametrize("race", [REGIONS, SLOTS], ids=["held ranges", "slots"])
def test_control_broken_mutexes_are_noticed(race: Race, tmp_path: Path) -> None:
    """With mutexes that let everybody in the same race always fails: by violations, or by dying of mixed-up books.

    It takes milliseconds, more where one CPU is all there is. Both ways to end are chance, so it is run until its
    promise was seen to be broken.
    """
    program = compiled([race.source, HERE / "broken_mutex.c"], ["-O2"], tmp_path / "broken", MUTEXES)
    violations = []
    for attempt in range(MOST_ATTEMPTS):
        done = run([str(program)], BROKEN_SECONDS, any_seed(), race.rest)
        assert done.returncode == 1 or -done.returncode in DEATHS, done
        violations += re.findall(race.violation, done.stdout)
        if violations and attempt + 1 >= LEAST_ATTEMPTS:
            break
    assert violations
