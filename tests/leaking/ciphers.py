"""``cryptography``: ciphers, derived keys, private keys."""

import base64
from collections.abc import Sequence
from typing import Any

from leaking import pem
from leaking.operation import (
    BIND_NOW,
    CRYPTOGRAPHY,
    Derive,
    Material,
    Operation,
    argon2id,
    formed,
    fresh,
    hkdf,
    pbkdf2,
    scrypt,
)

_NONCE = bytes(12)
_DROPPED = "one object per operation, dropped within the block"
_STREAM = "`LD_BIND_NOW=1` in the environment"


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


def ed25519_file() -> Material:
    """Return a private key in a PEM file."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    raw = fresh()
    text = pem.written(Ed25519PrivateKey.from_private_bytes(raw))
    return Material(text, {"its base64 text": pem.text_of(raw, text), "the private key": raw})


def password_of_a_file() -> Material:
    """Return the password of an encrypted PEM file."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    raw, password = fresh(), fresh()
    text = pem.written(Ed25519PrivateKey.from_private_bytes(raw), password)
    return Material(password, {"the password": password, "the private key": raw}, {"file": text})


_AEAD = "from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305\nnonce = bytes(12)"
_HASHES = "from cryptography.hazmat.primitives import hashes\n"


def _of_an_aead(name: str) -> Sequence[Operation]:
    fields: Any = {"setup": _AEAD, "needs": CRYPTOGRAPHY}
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
            needs=CRYPTOGRAPHY,
            make=sealed_with(name, is_forged=True),
            instead="`Secret.build`: its room is wiped; a `LockedBuffer` you wipe yourself",
            is_quick=name == "ChaCha20Poly1305",
        ),
    )


def _derivation(call: str, setup: str, derive: Derive, instead: str = "") -> Operation:
    return Operation(
        f"{call}.derive_into(view, room)",
        f"result = Secret.build(32, lambda room: {call}.derive_into(view, room))",
        setup=setup,
        make=formed("the derived key", derive, "the secret"),
        needs=CRYPTOGRAPHY,
        instead=instead,
    )


_SHA = "from cryptography.hazmat.primitives.hashes import SHA256\n"
_KDF = "from cryptography.hazmat.primitives.kdf"
CIPHERS: Sequence[Operation] = (
    *_of_an_aead("AESGCM"),
    Operation(
        "AESGCM(view).decrypt_into(..., room) under LD_BIND_NOW=1",
        """
        engine = AESGCM(view)
        result = Secret.build(32, lambda room: engine.decrypt_into(nonce, public["sealed"], None, room))
        """,
        setup=_AEAD,
        make=sealed_with("AESGCM"),
        needs=CRYPTOGRAPHY,
        environment=BIND_NOW,
    ),
    *_of_an_aead("ChaCha20Poly1305"),
    Operation(
        "Cipher(AES(view), CTR(...)).encryptor()",
        "result = Cipher(algorithms.AES(view), modes.CTR(bytes(16))).encryptor()",
        instead="drop it within the block",
        setup="from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes",
        make=formed("the key", bytes, "the key"),
        needs=CRYPTOGRAPHY,
    ),
    Operation(
        "Fernet(view)",
        setup="from cryptography.fernet import Fernet",
        make=fernet_key,
        needs=CRYPTOGRAPHY,
        instead="`AESGCM`",
    ),
    Operation(
        "HMAC(view, SHA256())",
        "result = HMAC(view, hashes.SHA256()); result.update(b'message')",
        setup=_HASHES + "from cryptography.hazmat.primitives.hmac import HMAC",
        make=formed("the key", bytes, "the key"),
        needs=CRYPTOGRAPHY,
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
        needs=CRYPTOGRAPHY,
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
        needs=CRYPTOGRAPHY,
        instead="none: `exchange` returns bytes",
    ),
    Operation(
        "load_pem_private_key(view, None)",
        setup="from cryptography.hazmat.primitives.serialization import load_pem_private_key",
        make=ed25519_file,
        needs=CRYPTOGRAPHY,
        instead="`from_private_bytes`, where the key can be kept raw",
    ),
    Operation(
        "load_pem_private_key(file, view)",
        'result = load_pem_private_key(public["file"], view)',
        setup="from cryptography.hazmat.primitives.serialization import load_pem_private_key",
        make=password_of_a_file,
        needs=CRYPTOGRAPHY,
        instead="`from_private_bytes`, where the key can be kept raw",
    ),
)
