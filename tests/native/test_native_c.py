"""Every ``*_test.c`` beside this file, compiled with the native sources and run: plainly and under sanitizers.

The users' build and the strictest one are made each time; ``STRONGROOM_ALL_BUILDS=1``, as in ``.ci/run``, makes all.

The C programs check what the kernel says of them and print one line for each check. What clashes with AddressSanitizer
(it replaces mlock by nothing, and moves local variables) they leave out there and say so; the plain builds have it all.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from compiling import IS_THOROUGH, SANITIZERS, can_run, compiled, not_again, started

HERE = Path(__file__).resolve().parent
PROGRAMS = sorted(HERE.glob("*_test.c"))

# The whole program is optimised at once in "plain-O3-lto": there a compiler sees through sr_os_wipe,
# and the linker does not replace our own functions.
ALL_BUILDS = {
    "plain-O0": ["-O0"],
    "plain-O2": ["-O2"],
    "plain-O3-lto": ["-O3", "-flto", "-DWRAPS_SYSTEM_ONLY"],
    "sanitized-O0": ["-O0", *SANITIZERS],
    "sanitized-O2": ["-O2", *SANITIZERS],
}
USUAL = ("plain-O2", "sanitized-O0")
BUILDS = {name: options for name, options in ALL_BUILDS.items() if IS_THOROUGH or name in USUAL}
DEADLINE_SECONDS = 300
Programs: TypeAlias = dict[tuple[Path, str], "Future[Path]"]

HEAP = ("malloc", "realloc")
CALLS = (
    *("mmap", "munmap", "mprotect", "mlock", "munlock", "madvise", "syscall", "pipe", "read", "write"),
    *("process_vm_readv", "process_vm_writev", "ftruncate", "mremap"),
)
BACKING = (*CALLS, "open", "openat", "unlinkat", "pwrite", "msync")
#: What a program replaces, to make it fail when it likes: the linker sends every call of these to ``__wrap_…``.
WRAPPED = {
    "os_asking_test": ("syscall", "read", "pread"),
    "os_short_test": CALLS,
    "mincore_test": ("mincore",),
    "pagemap_test": HEAP,
    "region_refused_test": CALLS,
    "region_making_test": CALLS,
    "region_heap_test": HEAP,
    "region_paging_test": ("madvise", "process_vm_readv"),
    "pool_refused_test": (*CALLS, "malloc", "free"),
    "keeping_test": ("sr_os_crypt_protect", "sr_os_crypt_unprotect"),
    "backing_test": BACKING,
    "backing_file_test": BACKING,
    "backing_refused_test": BACKING,
    "backing_walk_test": BACKING,
    "store_refused_test": (*CALLS, "memfd_create", "fstat"),
    "file_test": (*CALLS, "memfd_create", "fchmod", "fstat", "stat", "fcntl"),
}

pytestmark = [
    not_again,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"),
        reason="these C tests read Linux's /proc; Windows' are run by .ci/windows",
    ),
]


@pytest.fixture(scope="module")
def working_options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    """Say for each build whether this compiler can make a program of it that runs."""
    directory = tmp_path_factory.mktemp("probe")
    return {name: can_run(options, directory) for name, options in BUILDS.items()}


def _compiled(source: Path, build: str, directory: Path) -> Path:
    wraps = [f"-Wl,--wrap={name}" for name in WRAPPED.get(source.stem, ())]
    return compiled([source], BUILDS[build], directory / f"{source.stem}-{build}", wraps)


@pytest.fixture(scope="module")
def programs(
    request: pytest.FixtureRequest, working_options: dict[str, bool], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Programs]:
    """Each program that the tests chosen need, being compiled: as many at a time as there are CPUs."""
    items = [item for item in request.session.items if item.path == request.path]
    chosen: list[dict[str, Any]] = [
        item.callspec.params for item in items if isinstance(item, pytest.Function) and hasattr(item, "callspec")
    ]
    directory = tmp_path_factory.mktemp("programs")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {
            (one["source"], one["build"]): pool.submit(_compiled, one["source"], one["build"], directory)
            for one in chosen
            if working_options[one["build"]]
        }


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("source", PROGRAMS, ids=lambda path: path.stem)
def test_c_program(source: Path, build: str, working_options: dict[str, bool], programs: Programs) -> None:
    """The program compiles without a warning, and every check in it holds."""
    if not working_options[build]:
        pytest.skip(f"this compiler cannot make {build} programs: install its sanitizer or LTO runtime")
    program = programs[source, build].result()
    done = subprocess.run(
        started(program, BUILDS[build]),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    broken = "\n".join(line for line in done.stdout.splitlines() if not line.startswith(("ok ", "skip ")))
    assert done.returncode == 0, f"exit status {done.returncode}\n{broken}\n{done.stderr}"


def test_under_valgrind(tmp_path: Path) -> None:
    """No decision hangs on a byte that was never written, and no heap is lost: what no sanitizer of gcc's sees."""
    if not IS_THOROUGH:
        pytest.skip("it takes ten seconds: STRONGROOM_ALL_BUILDS=1 has the time")
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        pytest.skip("no valgrind: apt-get install valgrind, or the like")
    command = [valgrind, "--quiet", "--error-exitcode=99", "--leak-check=full"]
    probe = subprocess.run([*command, sys.executable, "-c", ""], capture_output=True, text=True, check=False)
    if probe.returncode not in (0, 99):
        pytest.skip(f"valgrind cannot run programs here: {probe.stderr.strip()[-200:]}")
    program = compiled([HERE / "pool_test.c"], ["-O2"], tmp_path / "pool_test")
    done = subprocess.run(
        [*command, str(program)], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"


def test_there_are_programs() -> None:
    """At least the OS contract has a test program: an empty list would pass by having nothing to do."""
    assert "os_contract_test" in [path.stem for path in PROGRAMS]
    assert set(WRAPPED) <= {path.stem for path in PROGRAMS}
