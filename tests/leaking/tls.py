"""TLS: OpenSSL through ``ssl``."""

import datetime
from collections.abc import Sequence
from functools import cache
from typing import Any

from leaking import pem
from leaking.operation import CRYPTOGRAPHY, Material, Operation, fresh


def _certified() -> tuple[Any, bytes, str]:
    """Return a new P-256 key, its certificate for localhost as PEM, and the key as PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    hour = datetime.timedelta(hours=1)
    certificate = builder.not_valid_before(now - hour).not_valid_after(now + hour).sign(key, hashes.SHA256())
    return key, certificate.public_bytes(serialization.Encoding.PEM), pem.written(key).decode()


def server_key() -> Material:
    """Return the private key of a TLS server and its certificate in a PEM file."""
    key, certificate, text = _certified()
    number = key.private_numbers().private_value
    hunted = {
        "its base64 text": pem.text_of(number.to_bytes(32, "big"), text.encode()),
        "the private number": number.to_bytes(32, "big"),
        "the same in OpenSSL's order": number.to_bytes(32, "little"),
    }
    return Material(text.encode() + certificate, hunted)


@cache
def _somebodys_certificate() -> bytes:
    _, certificate, text = _certified()
    return text.encode() + certificate


def over_tls() -> Material:
    """Return a request with a token in its middle, as clients send it, and a certificate."""
    sent = fresh()
    request = b"GET / HTTP/1.1\r\n" + b"X-Filler: " + b"x" * 500 + b"\r\nAuthorization: Bearer " + sent + b"\r\n\r\n"
    return Material(request, {"the secret": sent}, {"certificate": _somebodys_certificate()})


_TLS = """
import ssl, tempfile
contexts = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
contexts[1].check_hostname, contexts[1].verify_mode = False, ssl.CERT_NONE
with tempfile.NamedTemporaryFile() as file:
    file.write(public["certificate"])
    file.flush()
    contexts[0].load_cert_chain(file.name)

def connected():
    "A client and a server that have shaken hands, through two MemoryBIOs."
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = contexts[0].wrap_bio(up, down, server_side=True)
    client = contexts[1].wrap_bio(down, up)
    for end in (client, server, client, server):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            pass
    return client, server
"""

TLS: Sequence[Operation] = (
    Operation(
        "SSLContext.load_cert_chain(path)",
        """
        file = os.memfd_create("key")
        secret.write_to(file)
        result = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        result.load_cert_chain(f"/proc/self/fd/{file}")
        os.close(file)
        """,
        setup="import ssl",
        make=server_key,
        is_opened=False,
        needs=CRYPTOGRAPHY,
        instead="none in Python: OpenSSL has the parsed key in its heap for as long as the context lives",
        is_quick=True,
    ),
    Operation(
        "SSLObject.write(view)",
        "client, server = result = connected(); client.write(view)",
        setup=_TLS,
        make=over_tls,
        needs=CRYPTOGRAPHY,
    ),
    Operation(
        "SSLObject.read(size, room)",
        """
        client, server = result = connected()
        client.write(view)
        Secret.build(len(view), lambda room: server.read(len(view), room))
        """,
        setup=_TLS,
        make=over_tls,
        needs=CRYPTOGRAPHY,
        instead="none: OpenSSL decrypts in its own heap",
    ),
    Operation(
        "SSLObject.read(size)",
        "client, server = result = connected(); client.write(view); result = result, server.read(len(view))",
        setup=_TLS,
        make=over_tls,
        needs=CRYPTOGRAPHY,
        instead="`read(size, room)` within `Secret.build`",
    ),
    Operation(
        "MemoryBIO.write(view)",
        "result = ssl.MemoryBIO(); result.write(view)",
        setup="import ssl",
        instead="only ciphertext belongs there",
    ),
)
