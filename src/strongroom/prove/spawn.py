"""How prove starts its processes: victims, attackers, and the janitor.

Every one is exec'd, never only forked: a fork of prove would carry prove's own memory. Victims and attackers
carry a *marker* in their environment by which the janitor finds them whatever their pid is by then, die with
prove (PR_SET_PDEATHSIG), and end by themselves when their standard input does.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from strongroom.prove.attackers import libc

MARKER = "STRONGROOM_PROVE"
ATTACK_SECONDS = 60.0  # far above any attack's own time (well under one second each)

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# A bare interpreter (-I -S: no site-packages, no environment) that sees this folder last on its path, so that
# nothing in it can stand in for a module of the standard library.
_BARE = "import sys; sys.path.append(sys.argv.pop(1)); from prove.{0} import main; sys.exit(main(sys.argv[1:]))"
# The victim is an ordinary Python program of this environment: it keeps the user's settings (PYTHONMALLOC…).
_FULL = "import sys; sys.path.append(sys.argv.pop(1)); from strongroom.prove.victim.program import main; main()"


def bare_command(module: str, *arguments: str) -> list[str]:
    """The command line of a program that must not depend on strongroom."""
    return [sys.executable, "-I", "-S", "-c", _BARE.format(module), _PACKAGE, *arguments]


def victim_command(*arguments: str) -> list[str]:
    """The command line of a victim."""
    return [sys.executable, "-P", "-c", _FULL, os.path.dirname(_PACKAGE), *arguments]


def start(
    command: Sequence[str],
    marker: str,
    *,
    stdin: int,
    stdout: int,
    stderr: int,
    pass_fds: Sequence[int] = (),
    cgroup_procs: str | None = None,
) -> subprocess.Popen[bytes]:
    """Start a marked process in a session of its own (Ctrl-C reaches prove alone, which then cleans up)."""
    parent = os.getpid()

    def before_exec() -> None:
        # Set before exec so that there is no moment in which the child could outlive prove unnoticed.
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        if cgroup_procs is not None:
            # Before exec, so that every page the victim ever has is charged to this group and to no other.
            descriptor = os.open(cgroup_procs, os.O_WRONLY)
            os.write(descriptor, b"0")
            os.close(descriptor)

    return subprocess.Popen(
        list(command), stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=tuple(pass_fds),
        env={**os.environ, MARKER: marker}, start_new_session=True, preexec_fn=before_exec,
    )  # fmt: skip


class AttackError(Exception):
    """An attacker could not do its work; the trial says so and claims nothing."""


def attack(name: str, marker: str, tracers: int | None = None, **parameters: Any) -> dict[str, Any]:
    """Run one attacker process and return what it tells; `tracers` is a pipe's read end that holds them."""
    process = start(
        bare_command("attackers.entry", name, json.dumps(parameters)), marker,
        stdin=tracers if tracers is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        output, errors = process.communicate(timeout=ATTACK_SECONDS)
    except subprocess.TimeoutExpired:
        raise AttackError(f"the attacker {name!r} did not end within {ATTACK_SECONDS:.0f} s") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    try:
        result = json.loads(output)
    except ValueError:
        last = errors.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
        raise AttackError(f"the attacker {name!r} died: {last or process.returncode}") from None
    if not isinstance(result, Mapping) or "error" in result:
        raise AttackError(f"the attacker {name!r} failed: {result['error']}")
    return dict(result)
