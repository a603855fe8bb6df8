"""``cryptography`` with keys from Views and results into Views.

What it keeps of them is in the tables of docs/libraries.md; after InvalidTag the output holds the whole plaintext.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip(
    "cryptography",
    minversion="47",
    reason="needs cryptography >= 47, the first with _into: pip install '.[test]'; it does not load on Wine 8",
)

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hmac, poly1305, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

import samples
from strongroom import LockedBuffer, Secret

KEY, PLAIN, NONCE = bytes(range(32)), b"the plaintext of this very test.", bytes(12)


def made_of(content: bytes) -> Any:
    """Return a secret whose View may go where cryptography's stubs say bytes, bytearray or memoryview."""
    return samples.made_of(content)


AEADS: list[Callable[[Any], Any]] = [AESGCM, ChaCha20Poly1305]


@pytest.fixture
def key() -> Iterator[Any]:
    """KEY as the View of an opened secret."""
    with made_of(KEY).open() as view:
        yield view


@pytest.fixture
def out() -> Iterator[Any]:
    """A writable View of 48 bytes: a plaintext and its tag."""
    with LockedBuffer(48) as buffer, buffer.open("rw") as view:
        yield view


@pytest.mark.parametrize("aead", AEADS)
def test_aead_with_the_key_from_a_view(key: Any, aead: Callable[[Any], Any]) -> None:
    """The same ciphertext as with bytes; data and associated data may be Views, too."""
    expected = aead(KEY).encrypt(NONCE, PLAIN, KEY)
    with made_of(PLAIN).open() as plain:
        assert aead(key).encrypt(NONCE, plain, key) == expected
    with made_of(expected).open() as sealed:
        assert aead(key).decrypt(NONCE, sealed, key) == PLAIN


@pytest.mark.parametrize("aead", AEADS)
def test_aead_into_views(key: Any, out: Any, aead: Callable[[Any], Any]) -> None:
    """encrypt_into and decrypt_into write into locked memory, from locked memory; sizes must match exactly."""
    engine = aead(key)
    with made_of(PLAIN).open() as plain:
        assert engine.encrypt_into(NONCE, plain, None, out) == 48
        with pytest.raises(ValueError, match="buffer"):
            engine.encrypt_into(NONCE, plain, None, out[:47])
    assert bytes(out) == aead(KEY).encrypt(NONCE, PLAIN, None)
    opened = Secret.build(32, lambda view: int(engine.decrypt_into(NONCE, out, None, view)))
    assert opened == PLAIN


@pytest.mark.parametrize("aead", AEADS)
def test_a_forged_ciphertext_leaves_nothing_that_a_block_does_not_wipe(aead: Callable[[Any], Any], key: Any) -> None:
    """InvalidTag through Secret.build: no secret comes of it, and the room it wrote into is wiped by the time."""
    forged = bytearray(aead(KEY).encrypt(NONCE, PLAIN, None))
    forged[-1] ^= 1
    left: list[bytes] = []

    def fill(view: Any) -> int:
        try:
            return int(aead(key).decrypt_into(NONCE, forged, None, view))
        finally:
            left.append(bytes(view))

    with pytest.raises(InvalidTag):
        Secret.build(32, fill)
    assert left[0] in (PLAIN, bytes(32))  # measured with 50.0.2: the former; a later version may clean up
    with made_of(bytes(32)).open() as again:  # the same idle room
        assert again == bytes(32)


def test_a_read_only_view_is_not_written_to(key: Any) -> None:
    """decrypt_into asks for a writable buffer, and gets a BufferError from an opened secret."""
    sealed = AESGCM(KEY).encrypt(NONCE, PLAIN, None)
    with made_of(bytes(32)).open() as view:
        with pytest.raises((BufferError, TypeError, ValueError)):
            AESGCM(key).decrypt_into(NONCE, sealed, None, view)
        assert view == bytes(32)


def test_stream_ciphers_update_into_views(key: Any, out: Any) -> None:
    """Cipher with a key and IV from Views; update_into from View to View."""
    with made_of(NONCE + bytes(4)).open() as iv, made_of(PLAIN).open() as plain:
        encryptor = Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor()
        assert encryptor.update_into(plain, out[:32]) == 32
    expected = Cipher(algorithms.AES(KEY), modes.CTR(NONCE + bytes(4))).encryptor().update(PLAIN)
    assert bytes(out[:32]) == expected


def test_key_derivation_from_and_into_views(key: Any, out: Any) -> None:
    """HKDF, PBKDF2 and Scrypt derive_into a View what they derive as bytes; verify takes Views."""
    makers: list[Callable[[], Any]] = [
        lambda: HKDF(hashes.SHA256(), 48, b"salt", b"info"),
        lambda: PBKDF2HMAC(hashes.SHA256(), 48, b"salt", 3),
        lambda: Scrypt(b"salt", 48, 2, 1, 1),
    ]
    for make in makers:
        out[:] = bytes(48)
        assert make().derive_into(key, out) == 48
        assert bytes(out) == make().derive(KEY)
        make().verify(key, out)


def test_a_key_that_is_derived_never_leaves_locked_memory_on_our_side(key: Any) -> None:
    """HKDF.derive_into as the fill of Secret.build."""

    def fill(view: Any) -> int:
        return HKDF(hashes.SHA256(), 32, None, b"x").derive_into(key, view)

    derived = Secret.build(32, fill)
    assert derived == HKDF(hashes.SHA256(), 32, None, b"x").derive(KEY)


def test_macs_with_the_key_from_a_view(key: Any) -> None:
    """HMAC and Poly1305, keys and messages from Views."""
    with made_of(PLAIN).open() as plain:
        one, other = hmac.HMAC(key, hashes.SHA256()), hmac.HMAC(KEY, hashes.SHA256())
        one.update(plain)
        other.update(PLAIN)
        assert one.copy().finalize() == other.finalize()
        with pytest.raises(TypeError, match="bytes"):
            one.verify(key)  # what was received is no secret, and must be bytes
        assert poly1305.Poly1305.generate_tag(key, plain) == poly1305.Poly1305.generate_tag(KEY, PLAIN)


def test_x25519_from_a_view() -> None:
    """Both sides agree, one of them with its private key from a View."""
    mine, theirs = os.urandom(32), x25519.X25519PrivateKey.generate()
    with made_of(mine).open() as view:
        private = x25519.X25519PrivateKey.from_private_bytes(view)
    public = theirs.public_key()
    assert private.exchange(public) == theirs.exchange(private.public_key())
    with made_of(public.public_bytes_raw()).open() as view, pytest.raises(TypeError, match="bytes"):
        x25519.X25519PublicKey.from_public_bytes(view)  # nor is a public key a secret


def test_ed25519_from_a_view(key: Any) -> None:
    """The same signature as with bytes, of a message in a View; verified from Views."""
    private = ed25519.Ed25519PrivateKey.from_private_bytes(key)
    with made_of(PLAIN).open() as plain:
        signature = private.sign(plain)
        assert signature == ed25519.Ed25519PrivateKey.from_private_bytes(KEY).sign(PLAIN)
        with made_of(signature).open() as view:
            private.public_key().verify(view, plain)
            with pytest.raises(InvalidSignature):
                private.public_key().verify(view, key)


def test_an_encrypted_key_file_is_read_with_a_password_from_a_view() -> None:
    """load_pem_private_key takes file and password as Views."""
    private = ed25519.Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"a password"),
    )
    with made_of(pem).open() as file, made_of(b"a password").open() as password:
        loaded: Any = serialization.load_pem_private_key(file, password)
    assert loaded.private_bytes_raw() == private.private_bytes_raw()
