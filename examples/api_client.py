"""Call an HTTP API with a bearer token that is ciphertext between requests.

    API_TOKEN=... python api_client.py https://api.example.com < paths.txt
    echo /whoami | API_TOKEN=anything python api_client.py          # against a server of its own

Reads paths from standard input, one a line, and prints what the API answers. It needs httpx. There are two ways to send
the token:

``transport`` (the default)
    httpx never has the token. Requests carry a placeholder, and the connection writes the opened secret in its place,
    straight from locked memory to the socket. tests/examples finds no copy in the process afterwards, with TLS neither.
``auth``
    Ten lines that work with any transport: the header is made for one request and taken from it afterwards. That looks
    better than it is: httpcore keeps the header with the response, and in a cycle until the garbage collector comes,
    and what httpx and h11 free is not wiped. tests/examples prints how many copies it finds: after 50 requests more
    than a plain ``headers=`` leaves, because each request makes new ones.

Either way the server has the token, and so has whoever reads this process while it writes to the socket.
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import io
import re
import secrets
import ssl
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from typing import Any

import httpcore
import httpx

from strongroom import Secret, StrongroomError

HTTP_TIMEOUT_SECONDS = 10.0


class BearerAuth(httpx.Auth):
    """The short way: a header that exists while its request does."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Put the header on, have the request sent, take it off again, whatever happened."""
        with self._token.open() as view:
            request.headers.update([(b"Authorization", b"Bearer " + view)])  # [...] = would want a str: two more copies
        try:
            yield request
        finally:
            del request.headers["Authorization"]  # response.request and exceptions keep the request


class _Stream(httpcore.NetworkStream):
    """A connection that writes the opened secret where the placeholder stands."""

    def __init__(self, stream: httpcore.NetworkStream, placeholder: bytes, token: Secret) -> None:
        self._stream, self._placeholder, self._token = stream, placeholder, token

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        before, placeholder, after = buffer.partition(self._placeholder)
        self._stream.write(before, timeout)
        if placeholder:
            with self._token.open() as view:
                self._stream.write(view, timeout)  # type: ignore[arg-type]  # it sends whatever is a buffer
            self._stream.write(after, timeout)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._placeholder, self._token)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, timeout)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    """Makes such connections."""

    def __init__(self, placeholder: bytes, token: Secret) -> None:
        self._placeholder, self._token = placeholder, token

    def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        return _Stream(super().connect_tcp(*args, **kwargs), self._placeholder, self._token)


class TokenTransport(httpx.HTTPTransport):
    """Send a bearer token to one origin, and to no other, without httpx ever having it."""

    def __init__(self, base_url: str, token: Secret) -> None:
        with token.open() as view:  # nobody checks it behind us: a newline in it would be another header
            if not re.fullmatch(rb"[!-~]+", view):
                raise ValueError("the token has characters that an HTTP header cannot have (a newline at its end?)")
        context = httpx.create_ssl_context()
        super().__init__(verify=context)
        self._origin = _origin(httpx.URL(base_url))
        self._placeholder = secrets.token_hex(16).encode()  # leaves this process never: nobody can put it into a body
        # HTTPTransport has no argument for the backend, httpcore's pool has. HTTP/1.1 only: HTTP/2 compresses headers.
        self._pool = httpcore.ConnectionPool(ssl_context=context, network_backend=_Backend(self._placeholder, token))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, with the token if it goes where the token belongs."""
        if _origin(request.url) != self._origin:
            return super().handle_request(request)
        marked = httpx.Request(
            request.method,
            request.url,
            headers=[*request.headers.raw, (b"Authorization", b"Bearer " + self._placeholder)],
            stream=request.stream,
            extensions=request.extensions,
        )
        return super().handle_request(marked)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def client_for(base_url: str, token: Secret, way: str) -> httpx.Client:
    """Return a client that sends the token one way or the other."""
    if way == "auth":
        return httpx.Client(base_url=base_url, auth=BearerAuth(token), timeout=HTTP_TIMEOUT_SECONDS)
    return httpx.Client(base_url=base_url, transport=TokenTransport(base_url, token), timeout=HTTP_TIMEOUT_SECONDS)


def serve(token_size: int) -> None:
    """Be the server of ``own_server``: token on standard input, port on standard output, until the input ends."""
    token = Secret.build(token_size, lambda view: io.FileIO(0, closefd=False).readinto(view))

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or each body waits until the headers are acknowledged: 40 ms

        def do_GET(self) -> None:  # http.server's own name
            given = self.headers.get("Authorization", "").removeprefix("Bearer ")
            is_known = token == given.encode("latin-1")
            body = f"{self.path}, authorized".encode() if is_known else b"who are you?"
            self.send_response(200 if is_known else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


@contextlib.contextmanager
def own_server(token: Secret) -> Iterator[str]:
    """Run a server in another process, so that its copies of the token are not in this one."""
    command = [sys.executable, __file__, "--serve", str(len(token))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        token.write_to(child.stdin)  # through a pipe: not in its arguments, not in its environment
        yield f"http://127.0.0.1:{int(child.stdout.readline())}"


def main() -> int:
    """Ask the API for each path."""
    parser = argparse.ArgumentParser(description="GET paths of an API with the bearer token in $API_TOKEN")
    parser.add_argument("url", nargs="?", help="where the API is; without it the program starts a server of its own")
    parser.add_argument("--way", choices=["transport", "auth"], default="transport", help="how the token is sent")
    parser.add_argument("--serve", type=int, metavar="SIZE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return 0
    try:
        token = Secret.from_env("API_TOKEN")  # overwritten and removed there: the server below does not inherit it
        with contextlib.ExitStack() as stack:
            url = options.url or stack.enter_context(own_server(token))
            client = stack.enter_context(client_for(url, token, options.way))
            for line in sys.stdin:
                response = client.get(line.strip())
                print(response.status_code, response.text, flush=True)
    except (KeyError, ValueError) as error:
        print(f"api_client: {error.args[0]}", file=sys.stderr)  # a KeyError's str has quotes
        return 1
    except (OSError, StrongroomError, httpx.HTTPError, httpx.InvalidURL) as error:
        print(f"api_client: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
