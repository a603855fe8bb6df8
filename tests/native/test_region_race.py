"""Threads that hold ranges of regions and write there race with threads that free and restrict the same pages.

The race runs for a moment in every test run; ``STRONGROOM_RACE_SECONDS=30`` makes it as long as one likes, and
``STRONGROOM_ALL_BUILDS=1`` takes every build, not only the one that watches threads.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from compiling import IS_THOROUGH, SANITIZERS, can_run, compiled

if not sys.platform.startswith("linux"):
    pytest.skip("the race is checked against Linux's /proc", allow_module_level=True)

HERE = Path(__file__).resolve().parent
BUILDS = {"threads sanitized": ["-O1", "-fsanitize=thread", "-fno-sanitize-recover=all"]}
if IS_THOROUGH:
    BUILDS |= {"plain": ["-O2"], "addresses sanitized": ["-O1", *SANITIZERS]}
MUTEXES = ["-Wl,--wrap=sr_os_enter", "-Wl,--wrap=sr_os_leave"]
SHORT_SECONDS = 0.8
BROKEN_SECONDS = 3
LEAST_ATTEMPTS, MOST_ATTEMPTS = 5, 60
DEATHS = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGALRM)


def race_seconds() -> float:
    return float(os.environ.get("STRONGROOM_RACE_SECONDS", SHORT_SECONDS))


def run(program: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program), str(seconds)], capture_output=True, text=True, timeout=seconds + 120, check=False
    )


@pytest.mark.parametrize("build", BUILDS)
def test_no_held_page_is_taken_away(build: str, tmp_path: Path) -> None:
    """Not one fault and not one lost mark; nothing for the sanitizers; the kernel agrees with the books at the end."""
    if not can_run(BUILDS[build], tmp_path):
        pytest.skip(f"this compiler cannot make programs with {build}: install its sanitizer runtime")
    program = compiled([HERE / "region_race.c"], BUILDS[build], tmp_path / "race")
    done = run(program, race_seconds())
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert re.search(r"\b0 violations", done.stdout)


def test_control_broken_mutexes_are_noticed(tmp_path: Path) -> None:
    """With mutexes that let everybody in the same race always fails: by violations, or by dying of mixed-up books.

    It takes milliseconds. Both ways to end are chance, so it is run until held pages were seen to be taken away.
    """
    program = compiled([HERE / "region_race.c", HERE / "broken_mutex.c"], ["-O2"], tmp_path / "broken", MUTEXES)
    violations = []
    for attempt in range(MOST_ATTEMPTS):
        done = run(program, BROKEN_SECONDS)
        assert done.returncode == 1 or -done.returncode in DEATHS, done
        violations += re.findall("FAIL  (.*), page .* of a held range", done.stdout)
        if violations and attempt + 1 >= LEAST_ATTEMPTS:
            break
    assert violations
