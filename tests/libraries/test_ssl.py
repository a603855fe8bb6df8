"""TLS from View to View, with a certificate made for the occasion."""

import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "cryptography",
    minversion="47",
    reason="needs cryptography >= 47 to make a certificate: pip install '.[test]'; it does not load on Wine 8",
)

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from children import DEADLINE_SECONDS
from samples import made_of
from strongroom import LockedBuffer

CONTENT = bytes(range(200, 232))
NAME = "strongroom.test"


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's context, which trusts the server's certificate alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder: Path = tmp_path_factory.mktemp("tls")
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(private + pem)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(folder / "both.pem")
    client.load_verify_locations(cadata=pem.decode())
    return server, client


@pytest.fixture
def pair(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> Iterator[tuple[ssl.SSLSocket, ssl.SSLSocket]]:
    """A client and a server, shaken hands over a pair of local sockets."""
    server_context, client_context = contexts
    ours, theirs = socket.socketpair()
    for one in (ours, theirs):
        one.settimeout(DEADLINE_SECONDS)
    server = server_context.wrap_socket(theirs, server_side=True, do_handshake_on_connect=False)
    client = client_context.wrap_socket(ours, server_hostname=NAME, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.do_handshake)
    thread.start()
    client.do_handshake()
    thread.join()
    with client, server:
        yield client, server


def test_a_view_is_sent_and_a_view_is_filled(pair: tuple[ssl.SSLSocket, ssl.SSLSocket]) -> None:
    """send, sendall, write, recv_into and read into a View; what arrives is what was sent."""
    client, server = pair
    with made_of(CONTENT).open() as view, LockedBuffer(32) as buffer, buffer.open("rw") as mine:
        into: Any = mine
        assert client.send(view) == 32
        assert server.recv_into(mine) == 32
        assert mine == CONTENT
        mine[:] = bytes(32)
        client.sendall(view[:16])
        assert server.recv_into(mine[4:], 16) == 16
        assert bytes(mine) == bytes(4) + CONTENT[:16] + bytes(12)
        assert server.write(view) == 32
        read: Any = client.read(32, into)
        assert read == 32
        assert mine == CONTENT


def test_a_call_that_fails_keeps_nothing(pair: tuple[ssl.SSLSocket, ssl.SSLSocket]) -> None:
    """Nothing to read before the deadline: the buffer is given back, the block ends without a BufferError."""
    client, _server = pair
    client.settimeout(0.05)
    with LockedBuffer(32) as buffer, pytest.raises(TimeoutError), buffer.open("rw") as mine:
        client.recv_into(mine)


def test_memory_bios_take_views(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """TLS without a socket: MemoryBIO.write of a View, SSLObject.write and read with one."""
    server_context, client_context = contexts
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=NAME)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    for _ in range(8):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
    assert waiting == []
    with made_of(CONTENT).open() as view, LockedBuffer(32) as buffer, buffer.open("rw") as mine:
        into: Any = mine
        assert client.write(view) == 32
        read: Any = server.read(32, into)
        assert read == 32
        assert mine == CONTENT
        bio = ssl.MemoryBIO()
        assert bio.write(view) == 32
        assert bio.read() == CONTENT
