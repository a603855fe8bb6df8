"""Worker processes that are started afresh, as multiprocessing does everywhere but by fork."""

import pytest

from children import succeed
from strongroom import Secret


def test_a_spawned_worker_is_unaffected() -> None:
    """multiprocessing's spawn starts a fresh interpreter that makes its own secrets."""
    code = "from strongroom import *; print(len(Secret.random(3).reveal()))"
    assert succeed(f"""
        import subprocess
        secret = Secret.random(32)
        with secret.open():
            print(subprocess.run([sys.executable, "-c", {code!r}], capture_output=True, text=True, check=True).stdout)
    """).split() == ["3"]


def test_a_secret_does_not_travel_to_a_worker() -> None:
    """multiprocessing cannot pickle it, and says why."""
    import multiprocessing.reduction as reduction

    with pytest.raises(TypeError, match="pickled"):
        reduction.ForkingPickler.dumps(Secret.random(3))
