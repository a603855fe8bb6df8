"""Serve TLS with a private key that no file system and no Python object ever has.

    python tls_server_key.py                       # a key and a certificate of its own, made by another process
    python tls_server_key.py CERTIFICATE KEY       # yours, two PEM files; the name in it is taken for localhost's
    python tls_server_key.py --step                # waits for Enter after each step: look at the process meanwhile

Then one client of its own connects, and the program says what it did. It needs Linux; making a key needs
``cryptography``.

``ssl`` takes a private key from a path and from nothing else. ``Secret.as_file`` has one, for the length of the block
in ``server_context``. What OpenSSL itself keeps is another matter, and nothing in Python reaches it:

- the parsed key, in ordinary heap memory, for as long as the context lives: swapped, dumped and inherited as usual;
- what it read and decoded on the way, in memory that it freed without wiping.

The second goes with ``GLIBC_TUNABLES=glibc.malloc.perturb=165:glibc.malloc.tcache_count=0`` in the environment, which
has the C library overwrite what is freed. tests/examples/test_tls_server_key.py finds these copies from outside.
"""

from __future__ import annotations

import argparse
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from strongroom import Secret, StrongroomError

HANDSHAKE_SECONDS = 10.0
MESSAGE = b"hello over TLS"


def server_context(certificate: Path, key: Secret, step: Step) -> ssl.SSLContext:
    """The five lines that this program is about; OpenSSL has its own copy of the key afterwards."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with key.as_file() as path:
        context.load_cert_chain(certificate, path)
        step(f"loaded: load_cert_chain read {len(key)} bytes from {path}")
    step(f"wiped: {path} {'still exists' if os.path.exists(path) else 'is gone'}")
    return context


def serve_one(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Take one connection and send a message through it."""
    plain, _address = listener.accept()
    plain.settimeout(HANDSHAKE_SECONDS)
    with context.wrap_socket(plain, server_side=True) as connection:
        connection.sendall(MESSAGE)


def visit(port: int, certificate: Path) -> str:
    """Connect as a client that trusts this certificate alone; say what came of it."""
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False  # yours may be for another name; this one key is all that is trusted
    with (
        socket.create_connection(("127.0.0.1", port), HANDSHAKE_SECONDS) as plain,
        context.wrap_socket(plain) as connection,
    ):
        version, received = connection.version(), bytearray()
        while piece := connection.recv(100):
            received += piece
        return f"{version}, the client trusts the key and got {bytes(received)!r}"


def handshake(context: ssl.SSLContext, certificate: Path) -> str:
    """Serve one client, this program's own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(HANDSHAKE_SECONDS)
        server = threading.Thread(target=serve_one, args=(listener, context))
        server.start()
        try:
            return visit(listener.getsockname()[1], certificate)
        finally:
            server.join()


def make(certificate: Path) -> None:
    """In a process of its own: a key to standard output, and a certificate for it to a file."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(
        now + datetime.timedelta(days=1)
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    os.write(1, key.private_bytes(pem, form, serialization.NoEncryption()))


def made_elsewhere(certificate: Path) -> Secret:
    """A key that this process has never had: straight from the other one's pipe into locked memory."""
    maker = [sys.executable, __file__, "--make", str(certificate)]
    with subprocess.Popen(maker, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        return Secret.from_fd(process.stdout.fileno())


class Step:
    """Says what was done, and waits for Enter if it was asked to."""

    def __init__(self, waits: bool) -> None:
        self._waits = waits

    def __call__(self, what: str) -> None:
        """Say it."""
        print(what, flush=True)
        if self._waits:
            os.read(0, 1)


def main() -> int:
    """Run it all once; 0 if the client got its message."""
    parser = argparse.ArgumentParser(description="Serve TLS with a key from locked memory.")
    parser.add_argument("certificate", nargs="?", type=Path, help="PEM; without it one is made")
    parser.add_argument("key", nargs="?", type=Path, help="PEM, its private key")
    parser.add_argument("--step", action="store_true", help="wait for Enter after each step")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make is not None:
        make(options.make)
        return 0
    if (options.certificate is None) != (options.key is None):
        parser.error("name both files or none")
    step = Step(options.step)
    with tempfile.TemporaryDirectory() as directory:
        certificate: Path = options.certificate or Path(directory, "certificate.pem")
        try:
            key = Secret.from_file(options.key) if options.key else made_elsewhere(certificate)
            print(f"key: {key!r}")
            context = server_context(certificate, key, step)
            key.destroy()  # OpenSSL has what it needs
            step(f"handshake: {handshake(context, certificate)}")
        except (StrongroomError, OSError, ValueError) as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return 1
        del context
        step("context gone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
