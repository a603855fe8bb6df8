"""The second engine: secrets sealed by ``cryptography``, in a process of its own that cannot load PyNaCl's libsodium.

``python -m bench.second ROUNDS`` is that process; it prints its rows for ``measure`` to read.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

from bench.rows import Contender, Group, Row, SkipError, time_group
from bench.timing import Figures, Loop

_ROOT = Path(__file__).resolve().parent.parent

#: As many bytes as strongroom binds to each secret (identity, size, number of the key).
_BOUND_SIZE = 24
_SIZE = 32

_WORDS = {
    "second-open": f"decrypt {_SIZE} B with cryptography; ours into locked memory, wiped after",
    "second-seal": f"seal {_SIZE} B with cryptography",
}
_TITLES = {"bare": "AESGCM, a fresh object each, into a buffer", "strongroom": "strongroom Secret"}


def _bare(is_sealing: bool) -> Loop:
    cipher = importlib.import_module("cryptography.hazmat.primitives.ciphers.aead").AESGCM
    key, nonce, bound, plain = os.urandom(32), os.urandom(12), os.urandom(_BOUND_SIZE), os.urandom(_SIZE)
    sealed = cipher(key).encrypt(nonce, plain, bound)
    into_sealed, into_plain = bytearray(len(sealed)), bytearray(_SIZE)

    def seal(count: int) -> None:
        for _ in repeat(None, count):
            cipher(key).encrypt_into(nonce, plain, bound, into_sealed)

    def decrypt(count: int) -> None:
        for _ in repeat(None, count):
            cipher(key).decrypt_into(nonce, sealed, bound, into_plain)

    return seal if is_sealing else decrypt


def _report(rounds: int) -> None:
    """In the process of its own: measure both groups and print what came of them."""
    sys.modules["nacl._sodium"] = None  # type: ignore[assignment]
    from bench import ours

    makers: dict[str, dict[str, Callable[[], Loop]]] = {
        "second-open": {"bare": lambda: _bare(False), "strongroom": lambda: ours.open_close_sealed(_SIZE)},
        "second-seal": {"bare": lambda: _bare(True), "strongroom": lambda: ours.seal_copy(_SIZE)},
    }
    taken = {}
    for key, loops in makers.items():
        contenders = [Contender(name, _TITLES[name], make()) for name, make in loops.items()]
        group = time_group(key, _WORDS[key], contenders, rounds)
        for row in group.rows:
            assert row.figures is not None
            taken[row.key] = [row.figures.minimum, row.figures.median, row.figures.samples]
    from strongroom import stats

    print(json.dumps([stats().engine, taken]))


def _run(rounds: int) -> dict[str, list[float]]:
    command = [sys.executable, "-m", "bench.second", str(rounds)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SkipError(f"needs the optional package cryptography >= 47: {words}")
    engine, taken = json.loads(done.stdout)
    if not engine.startswith("cryptography"):
        raise SkipError(f"its process sealed with {engine}")
    figures: dict[str, list[float]] = taken
    return figures


def measure(rounds: int) -> list[Group]:
    """Measure opening and sealing beside the library's bare calls."""
    reason = None
    taken: dict[str, list[float]] = {}
    try:
        taken = _run(rounds)
    except SkipError as error:
        reason = str(error)
    groups = []
    for key, words in _WORDS.items():
        rows = [Row(f"{key}/{name}", title, skipped=reason) for name, title in _TITLES.items()]
        for row in rows:
            if row.key in taken:
                minimum, median, samples = taken[row.key]
                row.figures = Figures(minimum, median, int(samples))
        group = Group(key, words, "us", rows)
        group.compare()
        groups.append(group)
    return groups


if __name__ == "__main__":
    _report(int(sys.argv[1]))
