"""``ProcessPoolExecutor`` and ``multiprocessing.Process`` under each start method, with a service of their own module.

The parent is a fresh interpreter whose module search finds ``service``; every worker signs, and the test checks it.
"""

import hmac
import os
import secrets
from pathlib import Path

import pytest

import needs
from children import TESTS, run, succeed

pytestmark = needs.fork
MESSAGE = b"a message to sign"
METHODS = ["fork", "forkserver", "spawn"]

SERVICE = """
import hmac, os, time
from strongroom import Secret
MADE_IN = os.getpid()
def make():
    return Secret.from_file({path!r}, in_children={how!r})
secret = {secret}
def initializer():
    global secret
    secret = make()
def sign(message, of=None):
    with (secret if of is None else of).open() as view:
        signature = hmac.digest(view, message, "sha256").hex()
    time.sleep(0.05)                 # meanwhile the next message goes to another worker
    return os.getpid(), MADE_IN, os.getppid(), signature
def sign_for(connection, secret):
    try:
        connection.send(sign(b"a message to sign", secret)[3])
    except Exception as error:
        connection.send(f"{{type(error).__name__}}: {{error}}")
def sign_from_pipe(connection, answering):
    answering.send(sign(b"a message to sign", Secret.from_fd(connection.fileno()))[3])
"""
#: Has three workers sign until each has; says how many there were, how many signatures, whether each worker's module
#: was imported in that worker, in its parent (the server that it was forked from), or here; or the error.
POOL = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
import service
context = multiprocessing.get_context({method!r})
if {preload}:
    context.set_forkserver_preload(["service"])
made = {{}}
with ProcessPoolExecutor(3, mp_context=context, initializer={initializer}) as pool:
    try:
        deadline = time.monotonic() + 50
        while time.monotonic() < deadline:
            for pid, made_in, parent, signature in pool.map(service.sign, [b"a message to sign"] * 6):
                where = {{pid: "worker", parent: "server", os.getpid(): "here"}}[made_in]
                made[pid] = where, signature
            if len(made) == 3:
                break
        print(len(made), *{{where for where, _ in made.values()}}, *{{signature for _, signature in made.values()}})
    except ForkedError as error:
        print("ForkedError:", error)
"""


class Service:
    """A directory with the module and the key that it reads."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.key = secrets.token_bytes(32)
        self.env = {
            "PYTHONPATH": f"{directory}{os.pathsep}{TESTS}",
            "PYTHONWARNINGS": "ignore::DeprecationWarning",  # 3.12 and later: fork beside threads
            "TMPDIR": needs.short_directory(),  # where the forkserver has its socket
        }
        file = os.open(directory / "key", os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(file, self.key)
        os.close(file)

    def write(self, how: str, secret: str = "make()") -> None:
        """Write the module."""
        text = SERVICE.format(path=str(self.directory / "key"), how=how, secret=secret)
        (self.directory / "service.py").write_text(text, encoding="utf-8")

    def signature(self) -> str:
        """What each worker should answer."""
        return hmac.digest(self.key, MESSAGE, "sha256").hex()

    def serve(self, method: str, how: str, *, preload: bool = False, initializer: bool = False) -> str:
        """Have a pool of three sign, and return what the parent says of it."""
        self.write(how)
        code = POOL.format(method=method, preload=preload, initializer="service.initializer" if initializer else None)
        return succeed(code, env=self.env).strip()


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """A service with a key of its own."""
    return Service(tmp_path)


def test_forked_workers_serve_with_a_secret_that_is_kept(service: Service) -> None:
    """Made when this process imported the service, opened by three workers."""
    assert service.serve("fork", "keep") == f"3 here {service.signature()}"


def test_forkserver_workers_serve_with_a_secret_of_the_server(service: Service) -> None:
    """Made in the server, which preloads the module, and kept in the workers that are forked from it."""
    assert service.serve("forkserver", "keep", preload=True) == f"3 server {service.signature()}"


@pytest.mark.parametrize("how", ["forget", "keep"])
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_workers_that_import_the_module_make_their_own(service: Service, method: str, how: str) -> None:
    """Without a preload the module runs in each worker, and with it what makes the secret: nothing is inherited."""
    assert service.serve(method, how) == f"3 worker {service.signature()}"


@pytest.mark.parametrize("method", METHODS)
def test_an_initializer_makes_one_for_each_worker(service: Service, method: str) -> None:
    """What the error advises: it works with the default under every start method."""
    where = {"fork": "here", "forkserver": "server", "spawn": "worker"}[method]
    told = service.serve(method, "forget", preload=method == "forkserver", initializer=True)
    assert told == f"3 {where} {service.signature()}"


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_the_default_says_what_to_do(service: Service, method: str) -> None:
    """A forgotten secret in a forked worker: the pool hands the worker's ForkedError on, which names the ways out."""
    told = service.serve(method, "forget", preload=method == "forkserver")
    assert told.startswith("ForkedError: ")
    assert "initializer" in told
    assert "in_children='keep'" in told


@pytest.mark.parametrize("method", METHODS)
def test_a_secret_does_not_travel_through_a_pools_queue(service: Service, method: str) -> None:
    """Kept or not: TypeError from the future, in words that say what to do, and the pool goes on working."""
    service.write("keep")
    out = succeed(
        f"""
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        import service
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context({method!r})) as pool:
            try:
                pool.submit(service.sign, b"a message to sign", service.secret).result()
            except TypeError as error:
                print(error)
            print(pool.submit(service.sign, b"a message to sign").result()[3])
    """,
        env=service.env,
    )
    told, answer = out.splitlines()
    says_what_to_do(told)
    assert answer == service.signature()


def says_what_to_do(told: str) -> None:
    """A refusal to be pickled: make it there, or send the bytes."""
    for word in ("worker", "write_to", "from_fd"):
        assert word in told


@pytest.mark.parametrize("how", ["forget", "keep"])
@pytest.mark.parametrize("method", METHODS)
def test_a_secret_as_an_argument_of_a_process(service: Service, method: str, how: str) -> None:
    """Forked, it is the same as a global: kept ones open. Else start() raises in the parent and says what to do."""
    service.write(how)
    result = run(
        f"""
        import multiprocessing
        import service
        context = multiprocessing.get_context({method!r})
        mine, theirs = context.Pipe()
        process = context.Process(target=service.sign_for, args=(theirs, service.secret))
        try:
            process.start()
            print(mine.recv())
            process.join()
        except TypeError as error:
            print(error)
    """,
        env=service.env,
    )
    assert result.code == 0, result
    told = result.out.strip()
    if method != "fork":
        says_what_to_do(told)
    elif how == "keep":
        assert told == service.signature()
    else:
        assert told.startswith("ForkedError: ")
        assert "in_children='keep'" in told


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_the_bytes_go_through_a_pipe(service: Service, method: str) -> None:
    """As the refusal advises: write_to here, from_fd in the worker, which signs with a secret of its own then."""
    service.write("forget", secret="None")
    out = succeed(
        f"""
        import multiprocessing
        import service
        secret = service.make()
        context = multiprocessing.get_context({method!r})
        theirs, end = context.Pipe(duplex=False)
        answer, answering = context.Pipe(duplex=False)
        process = context.Process(target=service.sign_from_pipe, args=(theirs, answering))
        process.start()
        secret.write_to(end)
        end.close()
        print(answer.recv())
        process.join()
    """,
        env=service.env,
    )
    assert out.strip() == service.signature()
