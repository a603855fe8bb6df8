"""Compile and link the native code for every operating system strongroom names.

Uses zig as a cross compiler (``pip install ziglang``). For each target all of its C files are compiled with warnings as
errors, then linked with a program that takes the address of each function that ``sr_os*.h`` declare: what a system's
files leave out is an undefined symbol, what they define twice a duplicate one, and what a C library or the named
libraries do not have fails as well. Nothing is run. Windows is checked with mingw's headers, not with Microsoft's.

The first run builds start-up files for each target, about a minute apiece on two cores; later ones take seconds.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from native_sources import libraries, sources  # noqa: E402

TARGETS = {
    "x86_64-linux-gnu": "linux",
    "aarch64-linux-gnu": "linux",
    "x86_64-linux-musl": "linux",
    "aarch64-linux-musl": "linux",
    "x86_64-macos": "darwin",
    "aarch64-macos": "darwin",
    "x86_64-freebsd": "freebsd",
    "x86_64-netbsd": "netbsd",
    "x86_64-openbsd": "openbsd",
    "x86_64-windows-gnu": "windows",
}

WARNINGS = [
    *("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wshadow", "-Wconversion", "-Wsign-conversion"),
    *("-Wstrict-prototypes", "-Wmissing-prototypes", "-Wcast-qual", "-Wwrite-strings", "-Wundef", "-Wvla"),
    "-Wimplicit-fallthrough",
]

HEADERS = sorted((ROOT / "src/strongroom/native").glob("sr_os*.h"))


def declared_functions(header: str) -> list[str]:
    """Return the names of the functions that a header's text declares, in order."""
    code = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    return re.findall(r"\b(sr_os_\w+)\s*\(", code)


def program_that_needs(functions: list[str]) -> str:
    """Return a C program that does not link unless each function is defined."""
    declarations = "".join(f"void {name}(void);\n" for name in functions)
    addresses = ", ".join(functions)
    table = f"void (*volatile needed[])(void) = {{{addresses}}};\n"
    return f"{declarations}extern {table.split(' = ')[0]};\n{table}int main(void) {{ return needed[0] == 0; }}\n"


def check(target: str, platform: str, program: Path, directory: Path) -> tuple[bool, str]:
    """Build everything for one target; return whether it worked and what to print."""
    files = sources(platform)
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target, "-std=c11", "-O2", *WARNINGS]
    command += [*files, str(program), "-o", str(directory / target)]
    command += [f"-l{name}" for name in libraries(platform)]
    begin = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begin
    if done.returncode == 0:
        return True, f"{target:<20} {len(files)} files compiled and linked in {seconds:.1f} s"
    return False, f"{target:<20} FAILED\n{done.stdout}{done.stderr}"


def main() -> int:
    """Check every target; 0 if all compile and link."""
    functions = declared_functions("".join(header.read_text() for header in HEADERS))
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(os.cpu_count()) as pool:
        directory = Path(name)
        program = directory / "needs_all.c"
        program.write_text(program_that_needs(functions))
        jobs = [pool.submit(check, target, platform, program, directory) for target, platform in TARGETS.items()]
        all_fine = True
        for job in jobs:
            is_fine, text = job.result()
            all_fine &= is_fine
            print(text, flush=True)
    if not all_fine:
        print("Some targets do not build.")
        return 1
    print(f"{len(functions)} functions of the OS contract are defined once for each of {len(TARGETS)} targets.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
