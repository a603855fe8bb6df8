"""``gunicorn --preload``: a service that makes its secret when it is imported, in a real server with four workers.

The key that the service signs with reaches it in a file; the test knows it too, so every signature is checked.
"""

import hmac
import importlib.util
import os
import secrets
import signal
from pathlib import Path

import pytest

import needs
from observed import Memory
from served import WORKERS, Gunicorn

pytestmark = [
    needs.linux,  # the workers are found in /proc
    pytest.mark.skipif(
        importlib.util.find_spec("gunicorn") is None, reason="needs gunicorn: pip install 'strongroom[test]'"
    ),
]

SERVICE = """
import hmac, os, time
from strongroom import Secret

def make():
    return {make}

secret = make()

def app(environ, start_response):
    body = environ["wsgi.input"].read()
    with secret.open() as view:
        signature = hmac.digest(view, body, "sha256").hex()
        time.sleep(0.05)                     # meanwhile the next request goes to another worker
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{{os.getpid()}} {{signature}}".encode()]
"""
KEPT = 'Secret.from_file("key", in_children="keep")'
FORGOTTEN = 'Secret.from_file("key")'
FROM_ENVIRONMENT = 'Secret.from_env("SR_SIGNING_KEY", in_children="keep")'
HOOK = """
def post_fork(server, worker):
    import service
    service.secret = service.make()
"""
BODY = b"a message to sign"


def key_in(directory: Path) -> bytes:
    """Write a new key to the file that the service reads, and return it."""
    key = secrets.token_hex(32).encode()
    file = os.open(directory / "key", os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(file, key)
    os.close(file)
    return key


def signed_with(key: bytes) -> str:
    """What a right answer says."""
    return hmac.digest(key, BODY, "sha256").hex()


def test_every_worker_serves_with_a_secret_that_is_kept(tmp_path: Path) -> None:
    """All four sign with the key read before they were forked; so does the one that replaces a worker that died."""
    expected = signed_with(key_in(tmp_path))
    with Gunicorn(tmp_path, SERVICE.format(make=KEPT)) as server:
        first = server.ask_all(BODY)
        assert set(first.values()) == {expected}
        assert server.process.pid not in first
        (tmp_path / "key").unlink()  # nobody can read it again
        victim = min(first)
        os.kill(victim, signal.SIGKILL)
        while victim in server.workers():
            pass
        second = server.ask_all(BODY)
        assert set(second.values()) == {expected}
        assert victim not in second
        assert len(second.keys() - first.keys()) == 1
    assert server.process.returncode == 0
    assert "Traceback" not in server.said()


def test_a_worker_with_a_forgotten_secret_says_what_to_do(tmp_path: Path) -> None:
    """The default: the request fails, and the server's log names post_fork and in_children."""
    key = key_in(tmp_path)
    with Gunicorn(tmp_path, SERVICE.format(make=FORGOTTEN)) as server:
        status, text = server.ask(BODY)
        said = server.said()
    assert status == 500
    assert key.decode() not in text + said
    told = next(line for line in said.splitlines() if "ForkedError" in line)
    assert "post_fork" in told
    assert "in_children='keep'" in told


def test_a_secret_made_anew_in_post_fork_serves(tmp_path: Path) -> None:
    """What the error advises first, followed to the letter: each worker reads the key for itself."""
    expected = signed_with(key_in(tmp_path))
    with Gunicorn(tmp_path, SERVICE.format(make=FORGOTTEN), HOOK) as server:
        assert set(server.ask_all(BODY).values()) == {expected}


@pytest.mark.parametrize("make", [KEPT, FROM_ENVIRONMENT], ids=["from a file", "from the environment"])
def test_what_a_second_process_finds_in_workers_that_served(tmp_path: Path, make: str) -> None:
    """Of a key that came in a file nothing, in the server or in any worker.

    One from the environment (the control) is found in each: gunicorn copies all of it before the service is imported.
    """
    key = key_in(tmp_path)
    with Gunicorn(
        tmp_path, SERVICE.format(make=make), env={"SR_SIGNING_KEY": key.decode()} if "env" in make else None
    ) as server:
        assert set(server.ask_all(BODY).values()) == {signed_with(key)}
        found = []
        for pid in (server.process.pid, *server.workers()):
            with Memory(pid) as memory:
                found.append(memory.count(key))
    assert len(found) == 1 + WORKERS
    assert all(found) if "env" in make else not any(found)
