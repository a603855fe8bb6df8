"""C programs that the tests compile together with the native sources: how, and in which ways."""

import functools
import importlib.util
import os
import shutil
import subprocess
import tempfile
import threading
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]

#: Whether each C test is wanted in every build.
IS_THOROUGH = os.environ.get("STRONGROOM_ALL_BUILDS") == "1"

#: A mark for C tests: they know nothing of Python, so whoever runs the tests under several runs them once.
not_again = pytest.mark.skipif(
    os.environ.get("STRONGROOM_C_TESTED") == "1",
    reason="the same C was tested with another Python: unset STRONGROOM_C_TESTED to test it again",
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


@functools.cache
def _at_fixed_addresses() -> list[str]:
    """What to start a program with whose addresses are not to be drawn; nothing where a sandbox refuses that."""
    setarch = shutil.which("setarch")
    command = [setarch, os.uname().machine, "--addr-no-randomize"] if setarch else []
    is_let = command and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    return command if is_let else []


def started(program: Path, options: Sequence[str]) -> list[str]:
    """Return the command that runs a program made with these options.

    The sanitizers' run-times have places of their own in the address space. Where a kernel draws addresses from 32 bits
    (vm.mmap_rnd_bits; others from 28) older ones find something else there in one of a few runs, and the program dies
    before it begins: google/sanitizers#1614 and #1716. So its addresses are not drawn.
    """
    is_sanitized = any(option.startswith("-fsanitize") for option in options)
    return [*(_at_fixed_addresses() if is_sanitized else []), str(program)]


def can_run(options: Sequence[str], directory: Path) -> bool:
    """Say whether this compiler can make a program with these options that runs."""
    source = directory / "probe.c"
    source.write_text("int main(void) { return 0; }\n")
    program = directory / "probe"
    built = subprocess.run([compiler(), *options, str(source), "-o", str(program)], capture_output=True, check=False)
    return built.returncode == 0 and subprocess.run(started(program, options), check=False).returncode == 0


_OBJECTS = tempfile.TemporaryDirectory(prefix="strongroom-objects-")


_MAKING_OBJECTS: defaultdict[tuple[str, ...], threading.Lock] = defaultdict(threading.Lock)


@functools.cache
def _native_objects(options: tuple[str, ...]) -> tuple[str, ...]:
    """Compile the native sources, once for each set of options."""
    directory = Path(tempfile.mkdtemp(dir=_OBJECTS.name))
    _compile(["-c", *options, *native_sources()], directory)
    return tuple(sorted(map(str, directory.glob("*.o"))))


def _compile(arguments: Sequence[str], directory: Path) -> None:
    command = [compiler(), "-std=c11", "-g", *WARNINGS, f"-I{ROOT / 'src/strongroom/native'}", *arguments]
    built = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr


def compiled(sources: Sequence[Path], options: Sequence[str], program: Path, links: Sequence[str] = ()) -> Path:
    """Compile test sources and link them with all native ones, without a warning; ``links`` is for the linker alone."""
    with _MAKING_OBJECTS[tuple(options)]:
        native = _native_objects(tuple(options))
    here = f"-I{TESTS / 'native'}"
    _compile([*options, here, *map(str, sources), *native, *links, "-pthread", "-o", str(program)], program.parent)
    return program
