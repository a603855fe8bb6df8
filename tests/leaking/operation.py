"""What is measured: a call, what it is given, and which bytes are looked for afterwards."""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

#: A token is text, so that one kind serves every call; 24 random bytes are 32 characters.
_TOKEN_RANDOM_SIZE = 24
NAME = "API_TOKEN"
THE_SECRET = "the secret"
#: The dynamic linker looks functions up at the start, not each at its first call; ld.so(8).
BIND_NOW = {"LD_BIND_NOW": "1"}
#: What rows of ``cryptography`` need, and those whose material is made with it.
CRYPTOGRAPHY = ("cryptography",)

Derive = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Material:
    """A fresh secret for one process, the bytes to look for by their names, and what else the process needs."""

    secret: bytes
    hunted: dict[str, bytes]
    #: Not secret; the child has it as ``public``.
    public: dict[str, bytes] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """One row or, where several things are looked for, as many as those."""

    call: str
    #: Statements that have ``secret``, ``view`` and ``public``, and leave in ``result`` what lives on; else the call.
    code: str = ""
    setup: str = ""
    make: Callable[[], Material] = lambda: token()
    #: False: ``code`` opens the secret itself, or reveals it.
    is_opened: bool = True
    #: Distributions without which there is nothing to measure.
    needs: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    #: 1 for what can be done only once in a process.
    rounds: int | None = None
    instead: str = ""
    #: Measured by the tests, too.
    is_quick: bool = False


def fresh() -> bytes:
    """Return 32 characters that are nowhere else."""
    return secrets.token_urlsafe(_TOKEN_RANDOM_SIZE).encode()


def token() -> Material:
    """Return a token to look for."""
    text = fresh()
    return Material(text, {THE_SECRET: text})


def formed(name: str, form: Derive, secret: str = THE_SECRET) -> Callable[[], Material]:
    """Return what makes a token that is looked for in another form as well."""

    def make() -> Material:
        text = fresh()
        return Material(text, {secret: text, name: form(text)})

    return make


def in_environment() -> Material:
    """Return a token that the process finds in its environment."""
    text = fresh()
    return Material(b"", {THE_SECRET: text}, environment={NAME: text.decode()})


def digits(text: bytes) -> bytes:
    """Return the bytes as a Python int has them: 30 bits in each 32; Include/cpython/longintrepr.h."""
    number, words = int.from_bytes(text, "big"), []
    while number:
        words.append(number & (1 << 30) - 1)
        number >>= 30
    return b"".join(word.to_bytes(4, "little") for word in words)


def hkdf(key: bytes) -> bytes:
    """Return 32 bytes of HKDF-SHA256 without salt or info; RFC 5869."""
    import hmac

    extracted = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(extracted, b"\1", "sha256")


def scrypt(password: bytes) -> bytes:
    """Return 32 bytes with the least cost."""
    return hashlib.scrypt(password, salt=b"salt1234", n=16, r=1, p=1, dklen=32)


def pbkdf2(password: bytes) -> bytes:
    """Return 32 bytes of ten iterations."""
    return hashlib.pbkdf2_hmac("sha256", password, b"salt1234", 10)


def argon2id(password: bytes) -> bytes:
    """Return 32 bytes with the least cost."""
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    return Argon2id(salt=b"salt1234", length=32, iterations=1, lanes=1, memory_cost=32).derive(password)
