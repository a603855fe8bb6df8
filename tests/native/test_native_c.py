"""Every ``*_test.c`` beside this file, compiled with the native sources and run: plainly and under sanitizers.

The C programs check what the kernel says of them and print one line for each check. What clashes with AddressSanitizer
(it replaces mlock by nothing, and moves local variables) they leave out there and say so; the plain builds have it all.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from compiling import SANITIZERS, can_run, compiled

HERE = Path(__file__).resolve().parent
PROGRAMS = sorted(HERE.glob("*_test.c"))

# The whole program is optimised at once in "plain-O3-lto": there a compiler sees through sr_os_wipe.
BUILDS = {
    "plain-O0": ["-O0"],
    "plain-O2": ["-O2"],
    "plain-O3-lto": ["-O3", "-flto"],
    "sanitized-O0": ["-O0", *SANITIZERS],
    "sanitized-O2": ["-O2", *SANITIZERS],
}
DEADLINE_SECONDS = 300

HEAP = ["malloc", "realloc"]
CALLS = [
    "mmap",
    "munmap",
    "mprotect",
    "mlock",
    "munlock",
    "madvise",
    "syscall",
    "process_vm_readv",
    "process_vm_writev",
    "pipe",
    "read",
    "write",
]
#: What a program replaces, to make it fail when it likes: the linker sends every call of these to ``__wrap_…``.
WRAPPED = {"pagemap_test": HEAP, "region_refused_test": CALLS, "region_making_test": CALLS, "region_heap_test": HEAP}

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the C tests read Linux's /proc; other systems are compiled by .ci"
)


@pytest.fixture(scope="module")
def working_options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    """Say for each build whether this compiler can make a program of it that runs."""
    directory = tmp_path_factory.mktemp("probe")
    return {name: can_run(options, directory) for name, options in BUILDS.items()}


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("source", PROGRAMS, ids=lambda path: path.stem)
def test_c_program(source: Path, build: str, working_options: dict[str, bool], tmp_path: Path) -> None:
    """The program compiles without a warning, and every check in it holds."""
    if not working_options[build]:
        pytest.skip(f"this compiler cannot make {build} programs: install its sanitizer or LTO runtime")
    wraps = [f"-Wl,--wrap={name}" for name in WRAPPED.get(source.stem, ())]
    program = compiled([source], BUILDS[build], tmp_path / source.stem, wraps)
    done = subprocess.run(
        [str(program)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )
    broken = "\n".join(line for line in done.stdout.splitlines() if not line.startswith(("ok ", "skip ")))
    assert done.returncode == 0, f"exit status {done.returncode}\n{broken}\n{done.stderr}"


def test_there_are_programs() -> None:
    """At least the OS contract has a test program: an empty list would pass by having nothing to do."""
    assert "os_contract_test" in [path.stem for path in PROGRAMS]
    assert set(WRAPPED) <= {path.stem for path in PROGRAMS}
