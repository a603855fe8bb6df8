"""Worker processes that are started afresh, as multiprocessing does everywhere but by fork."""

from multiprocessing import reduction

import pytest

from children import succeed
from strongroom import LockedBuffer, Secret


def test_a_spawned_worker_is_unaffected() -> None:
    """multiprocessing's spawn starts a fresh interpreter that makes its own secrets."""
    code = "from strongroom import *; print(len(Secret.random(3).reveal()))"
    assert succeed(f"""
        import subprocess
        secret = Secret.random(32)
        with secret.open():
            print(subprocess.run([sys.executable, "-c", {code!r}], capture_output=True, text=True, check=True).stdout)
    """).split() == ["3"]


def test_nothing_travels_to_a_worker() -> None:
    """multiprocessing cannot pickle secrets, buffers and accesses, and says why."""
    with LockedBuffer(3) as buffer:
        for thing in (Secret.random(3), buffer, buffer.open()):
            with pytest.raises(TypeError, match="pickled"):
                reduction.ForkingPickler.dumps(thing)
