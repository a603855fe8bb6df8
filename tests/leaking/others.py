"""TLS, and libraries that are not Python's own."""

import base64
import datetime
from collections.abc import Sequence
from functools import cache
from typing import Any

from leaking.operation import Derive, Material, Operation, formed, fresh, hkdf, pbkdf2, scrypt

_CRYPTOGRAPHY = ("cryptography",)
_NONCE = bytes(12)
_STREAM = "`ChaCha20Poly1305`, below"
_BYTES_ONLY = "takes bytes only: "


def key_and_plaintext() -> Material:
    """Return 64 bytes: a key and what is to be encrypted with it."""
    key, plain = fresh(), fresh()
    return Material(key + plain, {"the key": key, "the plaintext": plain})


def sealed_with(name: str, is_forged: bool = False) -> Any:
    """Return what makes a key and a ciphertext under it, whose plaintext is looked for, too."""

    def make() -> Material:
        from cryptography.hazmat.primitives.ciphers import aead

        key, plain = fresh(), fresh()
        sealed = bytearray(getattr(aead, name)(key).encrypt(_NONCE, plain, None))
        sealed[-1] ^= is_forged
        return Material(key, {"the key": key, "the plaintext": plain}, {"sealed": bytes(sealed)})

    return make


def fernet_key() -> Material:
    """Return a key as Fernet wants it: base64."""
    raw = fresh()
    text = base64.urlsafe_b64encode(raw)
    return Material(text, {"the key": raw, "its base64 text": text})


def x25519() -> Material:
    """Return a private key and somebody's public one."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    mine, theirs = fresh(), X25519PrivateKey.generate().public_key().public_bytes_raw()
    shared = X25519PrivateKey.from_private_bytes(mine).exchange(X25519PublicKey.from_public_bytes(theirs))
    return Material(mine, {"the private key": mine, "the shared secret": shared}, {"theirs": theirs})


def argon2id(password: bytes) -> bytes:
    """Return 32 bytes with the least cost."""
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    return Argon2id(salt=b"salt1234", length=32, iterations=1, lanes=1, memory_cost=32).derive(password)


def _pem(private: Any, password: bytes | None = None) -> bytes:
    from cryptography.hazmat.primitives import serialization as s

    algorithm = s.BestAvailableEncryption(password) if password else s.NoEncryption()
    text: bytes = private.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, algorithm)
    return text


def _text_of(raw: bytes, pem: bytes) -> bytes:
    """Return that part of a PEM file which holds only these bytes: its other lines are the same in many files."""
    body = b"".join(pem.splitlines()[1:-1])
    at = base64.b64decode(body).index(raw)
    first, last = -(-at // 3) * 4, (at + len(raw)) // 3 * 4
    lines = len(pem.splitlines()[0]) + 1  # a newline after the heading and after each 64 characters
    return pem[lines + first + first // 64 : lines + last + (last - 1) // 64]


def ed25519_file() -> Material:
    """Return a private key in a PEM file."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    raw = fresh()
    text = _pem(Ed25519PrivateKey.from_private_bytes(raw))
    return Material(text, {"its base64 text": _text_of(raw, text), "the private key": raw})


def password_of_a_file() -> Material:
    """Return the password of an encrypted PEM file."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    raw, password = fresh(), fresh()
    text = _pem(Ed25519PrivateKey.from_private_bytes(raw), password)
    return Material(password, {"the password": password, "the private key": raw}, {"file": text})


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
    return key, certificate.public_bytes(serialization.Encoding.PEM), _pem(key).decode()


def server_key() -> Material:
    """Return the private key of a TLS server and its certificate in a PEM file."""
    key, certificate, text = _certified()
    number = key.private_numbers().private_value
    hunted = {
        "its base64 text": _text_of(number.to_bytes(32, "big"), text.encode()),
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
        needs=_CRYPTOGRAPHY,
        instead="none in Python: OpenSSL has the parsed key in its heap for as long as the context lives",
        is_quick=True,
    ),
    Operation(
        "SSLObject.write(view)",
        "client, server = result = connected(); client.write(view)",
        setup=_TLS,
        make=over_tls,
        needs=_CRYPTOGRAPHY,
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
        needs=_CRYPTOGRAPHY,
        instead="none: OpenSSL decrypts in its own heap",
    ),
    Operation(
        "SSLObject.read(size)",
        "client, server = result = connected(); client.write(view); result = result, server.read(len(view))",
        setup=_TLS,
        make=over_tls,
        needs=_CRYPTOGRAPHY,
        instead="`read(size, room)` within `Secret.build`",
    ),
    Operation(
        "MemoryBIO.write(view)",
        "result = ssl.MemoryBIO(); result.write(view)",
        setup="import ssl",
        instead="only ciphertext belongs there",
    ),
)

_AEAD = "from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305\nnonce = bytes(12)"
_HASHES = "from cryptography.hazmat.primitives import hashes\n"


def _of_an_aead(name: str) -> Sequence[Operation]:
    fields: Any = {"setup": _AEAD, "needs": _CRYPTOGRAPHY}
    keyed: Any = {**fields, "make": formed("the key", bytes, "the key")}
    return (
        Operation(
            f"{name}(view)", **keyed, instead="one object per operation, dropped within the block", is_quick=True
        ),
        Operation(
            f"{name}(view).encrypt_into(...)",
            f"result = bytearray(48); {name}(view[:32]).encrypt_into(nonce, view[32:], None, result)",
            **fields,
            make=key_and_plaintext,
            instead=_STREAM,
        ),
        Operation(
            f"{name}(view).decrypt_into(..., room)",
            f"""
            engine = {name}(view)
            result = Secret.build(32, lambda room: engine.decrypt_into(nonce, public["sealed"], None, room))
            """,
            **fields,
            make=sealed_with(name),
            instead=_STREAM,
        ),
        Operation(
            f"{name}(view).decrypt(...)",
            f'result = {name}(view).decrypt(nonce, public["sealed"], None)',
            **fields,
            make=sealed_with(name),
            instead="`decrypt_into` within `Secret.build`",
        ),
        Operation(
            f"{name}(view).decrypt_into(..., a bytearray), InvalidTag",
            f"""
            result = bytearray(32)
            try:
                {name}(view).decrypt_into(nonce, public["sealed"], None, result)
            except InvalidTag:
                pass
            """,
            setup=_AEAD + "\nfrom cryptography.exceptions import InvalidTag",
            needs=_CRYPTOGRAPHY,
            make=sealed_with(name, is_forged=True),
            instead="`Secret.build`: its room is wiped; a `LockedBuffer` you wipe yourself",
            is_quick=True,
        ),
    )


def _derivation(call: str, setup: str, derive: Derive, instead: str = "") -> Operation:
    return Operation(
        f"{call}.derive_into(view, room)",
        f"result = Secret.build(32, lambda room: {call}.derive_into(view, room))",
        setup=setup,
        make=formed("the derived key", derive, "the secret"),
        needs=_CRYPTOGRAPHY,
        instead=instead,
    )


_SHA = "from cryptography.hazmat.primitives.hashes import SHA256\n"
_KDF = "from cryptography.hazmat.primitives.kdf"
CRYPTOGRAPHY: Sequence[Operation] = (
    *_of_an_aead("AESGCM"),
    *_of_an_aead("ChaCha20Poly1305"),
    Operation(
        "Cipher(AES(view), CTR(...)).encryptor()",
        "result = Cipher(algorithms.AES(view), modes.CTR(bytes(16))).encryptor()",
        instead="drop it within the block",
        setup="from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes",
        make=formed("the key", bytes, "the key"),
        needs=_CRYPTOGRAPHY,
    ),
    Operation(
        "Fernet(view)",
        setup="from cryptography.fernet import Fernet",
        make=fernet_key,
        needs=_CRYPTOGRAPHY,
        instead="`AESGCM`",
    ),
    Operation(
        "HMAC(view, SHA256())",
        "result = HMAC(view, hashes.SHA256()); result.update(b'message')",
        setup=_HASHES + "from cryptography.hazmat.primitives.hmac import HMAC",
        make=formed("the key", bytes, "the key"),
        needs=_CRYPTOGRAPHY,
    ),
    _derivation("HKDF(SHA256(), 32, None, None)", f"{_SHA}{_KDF}.hkdf import HKDF", hkdf, "none known"),
    _derivation('Scrypt(b"salt1234", 32, 16, 1, 1)', f"{_KDF}.scrypt import Scrypt", scrypt),
    _derivation('PBKDF2HMAC(SHA256(), 32, b"salt1234", 10)', f"{_SHA}{_KDF}.pbkdf2 import PBKDF2HMAC", pbkdf2),
    _derivation(
        'Argon2id(salt=b"salt1234", length=32, iterations=1, lanes=1, memory_cost=32)',
        f"{_KDF}.argon2 import Argon2id",
        argon2id,
        "`Scrypt`",
    ),
    Operation(
        "Ed25519PrivateKey.from_private_bytes(view)",
        "result = Ed25519PrivateKey.from_private_bytes(view); result.sign(b'message')",
        setup="from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey",
        make=formed("the private key", bytes, "the private key"),
        needs=_CRYPTOGRAPHY,
        instead="one object per signature, dropped within the block",
    ),
    Operation(
        "X25519PrivateKey.from_private_bytes(view).exchange(...)",
        """
        result = X25519PrivateKey.from_private_bytes(view)
        result = result, result.exchange(X25519PublicKey.from_public_bytes(public["theirs"]))
        """,
        setup="from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey",
        make=x25519,
        needs=_CRYPTOGRAPHY,
        instead="none: `exchange` returns bytes",
    ),
    Operation(
        "load_pem_private_key(view, None)",
        setup="from cryptography.hazmat.primitives.serialization import load_pem_private_key",
        make=ed25519_file,
        needs=_CRYPTOGRAPHY,
        instead="`from_private_bytes`, where the key can be kept raw",
    ),
    Operation(
        "load_pem_private_key(file, view)",
        'result = load_pem_private_key(public["file"], view)',
        setup="from cryptography.hazmat.primitives.serialization import load_pem_private_key",
        make=password_of_a_file,
        needs=_CRYPTOGRAPHY,
        instead="`from_private_bytes`, where the key can be kept raw",
    ),
)

OTHERS: Sequence[Operation] = (
    Operation(
        "numpy.frombuffer(view), used",
        "result = int(numpy.frombuffer(view, numpy.uint8).sum())",
        setup="import numpy",
        needs=("numpy",),
        is_quick=True,
    ),
    Operation(
        "numpy.array(memoryview(view))",
        setup="import numpy",
        needs=("numpy",),
        instead="`numpy.frombuffer`, dropped within the block",
    ),
    Operation(
        "nacl.secret.SecretBox(secret.reveal())",
        "result = SecretBox(secret.reveal())",
        setup="from nacl.secret import SecretBox",
        make=formed("the key", bytes, "the key"),
        is_opened=False,
        needs=("PyNaCl",),
        instead=_BYTES_ONLY + "`ChaCha20Poly1305` of `cryptography` takes a View",
    ),
    Operation(
        "httpx.Client(headers={...}), one request",
        """
        with httpx.Client(
            headers={"Authorization": "Bearer " + secret.reveal_text()},
            transport=httpx.MockTransport(lambda request: httpx.Response(200)),
        ) as result:
            result.get("http://localhost/")
        """,
        setup="import httpx",
        is_opened=False,
        needs=("httpx",),
        instead="none: it makes headers of its own",
    ),
    Operation(
        "requests.Session().headers.update(...), one request prepared",
        """
        result = requests.Session()
        result.headers.update({"Authorization": "Bearer " + secret.reveal_text()})
        result.prepare_request(requests.Request("GET", "http://localhost/"))
        """,
        setup="import requests",
        is_opened=False,
        needs=("requests",),
        instead="none: it makes headers of its own",
    ),
    Operation(
        'jwt.encode({}, secret.reveal(), "HS256")',
        setup="import jwt",
        make=formed("the key", bytes, "the key"),
        is_opened=False,
        needs=("PyJWT",),
        instead=_BYTES_ONLY + "`hmac.digest(view, ...)` over header and payload",
    ),
    Operation(
        "argon2.low_level.hash_secret_raw(secret.reveal(), ...)",
        'result = hash_secret_raw(secret.reveal(), b"salt1234", 1, 32, 1, 32, Type.ID)',
        setup="from argon2.low_level import Type, hash_secret_raw",
        make=formed("the derived key", argon2id, "the password"),
        is_opened=False,
        needs=("argon2-cffi",),
        instead=_BYTES_ONLY + "`Argon2id.derive_into` of `cryptography` takes a View",
    ),
)
