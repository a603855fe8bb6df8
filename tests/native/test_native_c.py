"""Every ``*_test.c`` beside this file, compiled with the native sources and run: plainly and under sanitizers.

The C programs check what the kernel says of them and print one line for each check. What clashes with AddressSanitizer
(it replaces mlock by nothing, and moves local variables) they leave out there and say so; the plain builds have it all.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROGRAMS = sorted(HERE.glob("*_test.c"))

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
# The whole program is optimised at once in "plain-O3-lto": there a compiler sees through sr_os_wipe.
BUILDS = {
    "plain-O0": ["-O0"],
    "plain-O2": ["-O2"],
    "plain-O3-lto": ["-O3", "-flto"],
    "sanitized-O0": ["-O0", *SANITIZERS],
    "sanitized-O2": ["-O2", *SANITIZERS],
}
DEADLINE_SECONDS = 300

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the C tests read Linux's /proc; other systems are compiled by .ci"
)


def native_sources() -> list[str]:
    """Return the C files of this system, as ``setup.py`` takes them."""
    spec = importlib.util.spec_from_file_location("native_sources", ROOT / "native_sources.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [str(ROOT / name) for name in module.sources("linux")]


def compiler() -> str:
    """Return the C compiler's path, or skip."""
    path = shutil.which(os.environ.get("CC", "cc"))
    if path is None:
        pytest.skip("no C compiler: install gcc or clang, or set CC")
    return path


@pytest.fixture(scope="module")
def working_options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    """Say for each build whether this compiler can make a program of it that runs."""
    directory = tmp_path_factory.mktemp("probe")
    source = directory / "probe.c"
    source.write_text("int main(void) { return 0; }\n")
    works = {}
    for name, options in BUILDS.items():
        program = directory / name
        command = [compiler(), *options, str(source), "-o", str(program)]
        built = subprocess.run(command, capture_output=True, check=False)
        works[name] = built.returncode == 0 and subprocess.run([str(program)], check=False).returncode == 0
    return works


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("source", PROGRAMS, ids=lambda path: path.stem)
def test_c_program(source: Path, build: str, working_options: dict[str, bool], tmp_path: Path) -> None:
    """The program compiles without a warning, and every check in it holds."""
    if not working_options[build]:
        pytest.skip(f"this compiler cannot make {build} programs: install its sanitizer or LTO runtime")
    program = tmp_path / source.stem
    command = [compiler(), "-std=c11", "-g", *WARNINGS, *BUILDS[build], f"-I{ROOT / 'src/strongroom/native'}"]
    command += [f"-I{HERE}", str(source), *native_sources(), "-pthread", "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr

    done = subprocess.run(
        [str(program)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )
    broken = "\n".join(line for line in done.stdout.splitlines() if not line.startswith(("ok ", "skip ")))
    assert done.returncode == 0, f"exit status {done.returncode}\n{broken}\n{done.stderr}"


def test_there_are_programs() -> None:
    """At least the OS contract has a test program: an empty list would pass by having nothing to do."""
    assert "os_contract_test" in [path.stem for path in PROGRAMS]
