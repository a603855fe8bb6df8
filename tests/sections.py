"""Sections that several processes share by a name or a file."""

import subprocess
import sys
import uuid

#: What a second process starts with.
PRELUDE = "import os, sys\nfrom strongroom import vm\nname = sys.argv[1]\n"


def unique() -> str:
    return f"strongroom-test-{uuid.uuid4()}"


def second(code: str, *arguments: str, prelude: str = PRELUDE) -> str:
    """Run code in another process that shares nothing but names and files; return what it printed."""
    command = [sys.executable, "-c", prelude + code, *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def is_there(name: str) -> bool:
    """Whether another process finds a section by its name."""
    code = "try: vm.open_section(name); print('yes')\nexcept OSError: print('no')"
    return second(code, name) == "yes"
