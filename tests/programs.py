"""Programs of ``examples/`` as children, and the forms in which what they hold may lie in their memory."""

import base64
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from children import Live, _environment
from observed import Memory

#: The loader binds everything at the start. Else it does so at the first call of each function, and saves the vector
#: registers on the stack meanwhile (glibc, _dl_runtime_resolve_xsavec): on CPUs with AVX-512 these still hold, 32 bytes
#: each, what memcpy copied last. tests/examples/test_webhook_signer.py looks at that as well.
BOUND = {"LD_BIND_NOW": "1"}

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


class Program(Live):
    """An example that runs, with pipes as its standard input and output."""

    def __init__(self, name: str, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name), *arguments],
            env=_environment(BOUND | (env or {})),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pid = self.process.pid

    def end(self) -> int:
        """Close its standard input and wait; return its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(60)


def failure_of(name: str, *arguments: str, env: dict[str, str] | None = None, data: str = "") -> str:
    """Run an example that must fail, and return the one line it says about that."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env=_environment(env),
        input=data,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def forms_of(secret: bytes) -> dict[str, bytes]:
    """Return what to look for: the whole secret, each half of it, and it in hex and in base64 at any offset."""
    half = len(secret) // 2
    forms = {"whole": secret, "first half": secret[:half], "second half": secret[half:]}
    forms |= {"hex": secret.hex().encode(), "HEX": secret.hex().upper().encode()}
    for phase in range(3):
        padded = bytes(phase) + secret + bytes(-(phase + len(secret)) % 3)
        # the characters that depend on the secret alone
        forms[f"base64 at {phase}"] = base64.b64encode(padded)[(0, 2, 3)[phase] : (phase + len(secret)) * 8 // 6]
    return forms


def copies_in(pid: int, forms: dict[str, bytes]) -> Counter[str]:
    """Return how often each form lies in a process's memory, pages that are locked included. Zeros are left out."""
    with Memory(pid) as memory:
        counts = memory.counts(forms.values())
    return +Counter({name: counts[form] for name, form in forms.items()})


def tell(capsys: pytest.CaptureFixture[str], words: str) -> None:
    """Print a line that is seen whether the test passes or not: a measurement."""
    with capsys.disabled():
        sys.stdout.write(f"\n{words}\n")
