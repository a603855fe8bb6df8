"""examples/api_client.py: what it does, and where the token lies in its memory, seen by another process."""

import datetime
import http.server
import ipaddress
import os
import runpy
import secrets
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx", reason="needs httpx: pip install '.[test]'")
import httpx

import needs
from children import Live
from programs import EXAMPLES, Program, copies_in, failure_of, forms_of, tell
from samples import made_of

NAME = "api_client.py"
REQUESTS = 50
#: How often a server of ours looks whether it should end; http.server's own half a second is most of a test.
POLL_SECONDS = 0.01
#: The usual way: the same server, the same requests, the token in a str.
ORDINARY = f"""
import httpx, runpy
example = runpy.run_path({str(EXAMPLES / NAME)!r})
token = os.environ["API_TOKEN"]
with example["own_server"](Secret.from_env("API_TOKEN")) as url:
    with httpx.Client(base_url=url, headers={{"Authorization": "Bearer " + token}}) as client:
        for line in sys.stdin:
            response = client.get(line.strip())
            print(response.status_code, response.text, flush=True)
"""


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have httpx ask our servers themselves, here and in children, where the environment names a proxy for others."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


def new_token() -> str:
    """Return one that lies nowhere else."""
    return secrets.token_urlsafe(33)


def copies_after(child: Live, token: str, path: str = "/whoami") -> Counter[str]:
    """Have a child send its requests, and count what lies in its memory while it waits for more."""
    for _ in range(REQUESTS):
        child.send(f"{path}\n".encode())
        assert child.line() == f"200 {path}, authorized"
    return copies_in(child.pid, forms_of(token.encode()))


@needs.linux
def test_the_transport_leaves_no_copy_and_the_others_do(capsys: pytest.CaptureFixture[str]) -> None:
    """After 50 requests: nothing with the transport; with a header per request, and the usual way, what httpx left."""
    found = {}
    for way in ("transport", "auth"):
        token = new_token()
        with Program(NAME, "--way", way, env={"API_TOKEN": token}) as child:
            found[way] = copies_after(child, token)
            assert child.end() == 0
    token = new_token()
    with Live(ORDINARY, env={"API_TOKEN": token}) as child:
        found["ordinary"] = copies_after(child, token)
        assert child.process.stdin is not None
        child.process.stdin.close()
        child.process.wait(60)
    counts = ", ".join(f"{way} {found[way]['whole']}" for way in found)
    tell(capsys, f"httpx {httpx.__version__}, whole copies of a token after {REQUESTS} requests: {counts}")
    assert found["transport"] == {}
    assert found["ordinary"]["whole"] >= 1  # control: the same search finds it
    assert found["auth"]["whole"] > found["ordinary"]["whole"]  # docs/tutorial.md says so


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """An https server in this process: its address, its certificate, and the tokens it was given."""
    pytest.importorskip("cryptography", reason="needs cryptography to make a certificate: pip install '.[test]'")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (tmp_path / "ca.pem").write_bytes(pem)
    (tmp_path / "both.pem").write_bytes(
        pem
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    with listening(context) as (url, given):
        yield url, tmp_path / "ca.pem", given


class listening:  # noqa: N801  # used as a verb
    """A server in this process that answers every GET and keeps the Authorization headers it got."""

    def __init__(self, context: ssl.SSLContext | None = None, redirect: str | None = None) -> None:
        given: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                given.append(self.headers.get("Authorization", "none"))
                body = f"{self.path}, authorized".encode()
                self.send_response(302 if redirect else 200)
                if redirect:
                    self.send_header("Location", redirect)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if context is None else "https"
        self._told = f"{scheme}://127.0.0.1:{self._server.server_port}", given
        self._thread = threading.Thread(target=self._server.serve_forever, args=[POLL_SECONDS], daemon=True)

    def __enter__(self) -> tuple[str, list[str]]:
        self._thread.start()
        return self._told

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@needs.linux
def test_over_tls_no_copy_is_left_either(
    tls_server: tuple[str, Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """OpenSSL encrypts the token from the View: 50 requests leave nothing, and the server got it each time."""
    url, certificate, given = tls_server
    found = {}
    for way in ("transport", "auth"):
        token = new_token()
        with Program(NAME, url, "--way", way, env={"API_TOKEN": token, "SSL_CERT_FILE": str(certificate)}) as child:
            found[way] = copies_after(child, token)
            assert child.end() == 0
        assert given == [f"Bearer {token}"] * REQUESTS
        given.clear()
    counts = ", ".join(f"{way} {found[way]['whole']}" for way in found)
    tell(capsys, f"{ssl.OPENSSL_VERSION}, the same over https: {counts}")
    assert found["transport"] == {}
    assert found["auth"]["whole"] >= 1  # control


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    """What the program defines."""
    return runpy.run_path(str(EXAMPLES / NAME))


@pytest.mark.parametrize("way", ["transport", "auth"])
def test_the_token_stays_with_its_origin(example: dict[str, Any], way: str) -> None:
    """A redirect to another server is followed without the token, whichever way it is sent."""
    with (
        listening() as (other, got_there),
        listening(redirect=f"{other}/there") as (url, got_here),
        example["client_for"](url, made_of(b"abc.def"), way) as client,
    ):
        response = client.get("/here", follow_redirects=True)
    assert response.text == "/there, authorized"
    assert got_here == ["Bearer abc.def"]
    assert got_there == ["none"]


@pytest.mark.parametrize("way", ["transport", "auth"])
def test_the_request_does_not_keep_the_header(example: dict[str, Any], way: str) -> None:
    """What response.request shows has no token, and no placeholder."""
    with listening() as (url, given), example["client_for"](url, made_of(b"abc.def"), way) as client:
        response = client.get("/here")
    assert given == ["Bearer abc.def"]
    assert "authorization" not in response.request.headers


def test_a_body_is_sent_as_it_is(example: dict[str, Any]) -> None:
    """What follows the headers goes through untouched, in pieces as httpx sends it."""
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.headers["Authorization"], self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        with example["client_for"](url, made_of(b"abc.def"), "transport") as client:
            assert client.post("/", content=b"x" * 100_000).status_code == 204
        thread.join()
    assert got == [("Bearer abc.def", b"x" * 100_000)]


def test_errors_say_what_to_do_and_not_the_token() -> None:
    """No variable, a token that is no header, nobody listening: one line each."""
    assert "API_TOKEN" in failure_of(NAME)
    broken = failure_of(NAME, env={"API_TOKEN": "abc\r\nHost: evil"})
    assert "newline" in broken
    assert "abc" not in broken
    refused = failure_of(NAME, "http://127.0.0.1:1", env={"API_TOKEN": "abcdef"}, data="/\n")
    assert "abcdef" not in refused
