"""NumPy, PyNaCl, HTTP clients and others."""

from collections.abc import Sequence

from leaking.operation import Operation, argon2id, formed

_BYTES_ONLY = "takes bytes only: "

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
