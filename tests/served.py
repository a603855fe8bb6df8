"""A real gunicorn with a service in a directory of its own, and requests to it. Every process it starts is ended."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from children import DEADLINE_SECONDS

WORKERS = 4


def children_of(pid: int) -> set[int]:
    """Return the children of a process that are not dead; proc_pid_stat(5)."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="ascii") as file:
            state, parent, *_ = file.read().rpartition(")")[2].split()
            if parent == str(pid) and state not in "ZX":
                found.add(int(name))
    return found


class Gunicorn:
    """``gunicorn --preload`` with four workers, each forked after the service was imported."""

    def __init__(self, directory: Path, service: str, settings: str = "", env: dict[str, str] | None = None) -> None:
        (directory / "service.py").write_text(service, encoding="utf-8")
        (directory / "gunicorn.conf.py").write_text(settings, encoding="utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "STRONGROOM"))}
        own = {"XDG_RUNTIME_DIR": str(directory), "PYTHONDONTWRITEBYTECODE": "1", **(env or {})}
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
            self.port: int = listener.getsockname()[1]
            bound = f"fd://{listener.fileno()}"  # one that is bound already: no other process can take the port
            self.log = directory / "log"
            with open(self.log, "wb") as log:
                command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", str(WORKERS)]
                self.process = subprocess.Popen(
                    [*command, "--bind", bound, "service:app"],
                    cwd=directory,
                    env={**kept, **own},
                    pass_fds=[listener.fileno()],
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        workers = children_of(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(DEADLINE_SECONDS)
        finally:
            self.process.kill()
            for pid in workers:  # its own, which it ends itself unless it was killed
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def ask(self, body: bytes) -> tuple[int, str]:
        """Send a request; return the status and the answer's text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)
        try:
            connection.request("POST", "/", body)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def ask_all(self, body: bytes) -> dict[int, str]:
        """Ask, many at a time, until each worker has answered; return the answers by the number of the process."""
        answers: dict[int, str] = {}
        deadline = time.monotonic() + DEADLINE_SECONDS
        with ThreadPoolExecutor(2 * WORKERS) as pool:
            while len(answers) < WORKERS and time.monotonic() < deadline:
                for status, text in pool.map(self.ask, [body] * 2 * WORKERS):
                    assert status == 200, (text, self.said())
                    pid, answer = text.split()
                    assert answers.setdefault(int(pid), answer) == answer
        assert len(answers) == WORKERS, (answers, self.said())
        return answers

    def workers(self) -> set[int]:
        """Return its workers, once there are as many as there should be."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            found = children_of(self.process.pid)
            if len(found) == WORKERS:
                return found
            time.sleep(0.02)
        raise AssertionError(f"there are not {WORKERS} workers: {self.said()}")

    def said(self) -> str:
        """Return what it and its workers wrote to their standard error."""
        return self.log.read_text(encoding="utf-8", errors="replace")
