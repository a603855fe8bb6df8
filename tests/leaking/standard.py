"""The language and its standard library."""

import base64
import zlib
from collections.abc import Sequence

from leaking.operation import BIND_NOW, NAME, Operation, digits, formed, in_environment, pbkdf2, scrypt

_VIEW = "give the View to what takes a buffer"
_DERIVED = "`derive_into` of `cryptography`, below"
_DEBUG = {"PYTHONMALLOC": "debug"}

OURS: Sequence[Operation] = (
    Operation("secret.open()", "result = None", is_quick=True),
    Operation("secret == view", "result = secret == view"),
    Operation("view[:16]", "result = len(view[:16])"),
    Operation("secret.reveal()", is_opened=False, instead=_VIEW, is_quick=True),
    Operation("secret.reveal_text()", is_opened=False, instead=_VIEW),
    Operation(
        "secret.write_to(fd)",
        "r, w = os.pipe(); result = secret.write_to(w); os.close(r); os.close(w)",
        is_opened=False,
    ),
    Operation(
        f'Secret.from_env("{NAME}")',
        is_opened=False,
        make=in_environment,
        rounds=1,
        instead="`LD_BIND_NOW=1` in the environment",
    ),
    Operation(
        f'Secret.from_env("{NAME}") under LD_BIND_NOW=1',
        f'result = Secret.from_env("{NAME}")',
        is_opened=False,
        make=in_environment,
        environment=BIND_NOW,
        rounds=1,
        is_quick=True,
    ),
)

LANGUAGE: Sequence[Operation] = (
    Operation("bytes(view)", instead=_VIEW, is_quick=True),
    Operation("bytearray(view)", instead="`LockedBuffer.copy_from`"),
    Operation('str(view, "utf-8")', instead=_VIEW),
    Operation(
        "memoryview(view).hex()",
        make=formed("its hex text", lambda text: text.hex().encode()),
        instead="none; for the way in `Secret.from_hex`",
    ),
    Operation(
        'int.from_bytes(view, "big")',
        make=formed("the int's digits", digits),
        instead="the library's `from_private_bytes`",
    ),
    Operation(
        'f"Bearer {secret.reveal_text()}"',
        is_opened=False,
        instead='write `b"Bearer "`, then the View, to the socket',
        is_quick=True,
    ),
    Operation(
        'f"Bearer {secret.reveal_text()}" under LD_BIND_NOW=1 PYTHONMALLOC=debug',
        'result = f"Bearer {secret.reveal_text()}"',
        is_opened=False,
        environment={**BIND_NOW, **_DEBUG},
        instead="drop it soon: the setting overwrites what Python frees",
    ),
    Operation(
        "bytes(view) under PYTHONMALLOC=debug",
        "result = bytes(view)",
        environment=_DEBUG,
        instead="drop it soon: the setting overwrites what Python frees",
    ),
    Operation(
        'json.dumps({"token": secret.reveal_text()})',
        setup="import json",
        is_opened=False,
        instead="write what comes before and after, and the View between",
    ),
)

STANDARD: Sequence[Operation] = (
    Operation("hashlib.sha256(view).digest()", setup="import hashlib", is_quick=True),
    Operation(
        "hashlib.sha256(view)",
        setup="import hashlib",
        instead="take the digest and drop the object within the block",
        is_quick=True,
    ),
    Operation('hashlib.blake2b(b"message", key=view).digest()', setup="import hashlib", is_quick=True),
    Operation(
        'hashlib.scrypt(view, salt=b"salt1234", n=16, r=1, p=1, dklen=32)',
        setup="import hashlib",
        make=formed("the derived key", scrypt, "the password"),
        instead=_DERIVED,
        is_quick=True,
    ),
    Operation(
        'hashlib.pbkdf2_hmac("sha256", view, b"salt1234", 10)',
        setup="import hashlib",
        make=formed("the derived key", pbkdf2, "the password"),
        instead=_DERIVED,
        is_quick=True,
    ),
    Operation('hmac.digest(view, b"message", "sha256")', setup="import hmac", is_quick=True),
    Operation(
        'hmac.new(secret.reveal(), b"message", "sha256")',
        setup="import hmac",
        is_opened=False,
        instead="`hmac.digest(view, ...)`: `hmac.new` refuses Views",
    ),
    Operation("hmac.compare_digest(view, bytes(32))", setup="import hmac", is_quick=True),
    Operation(
        "base64.b64encode(view)",
        setup="import base64",
        make=formed("its base64 text", base64.b64encode),
        instead="none: what it returns is the secret",
        is_quick=True,
    ),
    Operation(
        "binascii.hexlify(view)",
        setup="import binascii",
        make=formed("its hex text", lambda text: text.hex().encode()),
        instead="none: what it returns is the secret",
        is_quick=True,
    ),
    Operation("zlib.crc32(view)", setup="import zlib", is_quick=True),
    Operation("zlib.compress(view)", setup="import zlib", make=formed("the result", zlib.compress), instead="none"),
    Operation("os.write(fd, view)", "r, w = os.pipe(); result = os.write(w, view); os.close(r); os.close(w)"),
    Operation(
        "os.readv(fd, [room])",
        """
        def fill(room):
            r, w = os.pipe()
            os.write(w, view)
            os.readv(r, [room])
            os.close(r); os.close(w)
        result = Secret.build(32, fill)
        """,
        is_quick=True,
    ),
    Operation(
        "socket.sendall(view), socket.recv_into(room)",
        """
        def fill(room):
            with one, other:
                one.sendall(view)
                other.recv_into(room)
        one, other = socket.socketpair()
        result = Secret.build(32, fill)
        """,
        setup="import socket",
        is_quick=True,
    ),
    Operation(
        "socket.recv(32)",
        """
        one, other = socket.socketpair()
        with one, other:
            one.sendall(view)
            result = other.recv(32)
        """,
        setup="import socket",
        instead="`recv_into` within `Secret.build`",
    ),
    Operation(
        'open(path, "wb").write(view)',
        """
        result = open("/dev/null", "wb")
        result.write(view)
        """,
        instead="`secret.write_to(fd)`, or `buffering=0`",
    ),
    Operation(
        'open(path, "wb", buffering=0).write(view)',
        """
        result = open("/dev/null", "wb", buffering=0)
        result.write(view)
        """,
    ),
    Operation("io.BytesIO(view)", instead=_VIEW),
    Operation(
        "multiprocessing.Pipe: send_bytes(view)",
        "one, other = Pipe(); one.send_bytes(view); one.close(); other.close(); result = None",
        setup="from multiprocessing import Pipe",
        instead="`secret.write_to(connection)`, and its length first",
    ),
    Operation(
        f'os.environ["{NAME}"] from the start, then pop',
        f'result = os.environ.get("{NAME}"); os.environ.pop("{NAME}")',
        is_opened=False,
        make=in_environment,
        rounds=1,
        instead=f'`Secret.from_env("{NAME}")`',
        is_quick=True,
    ),
    Operation(
        f'os.environ["{NAME}"] = secret.reveal_text(), then pop',
        f'os.environ["{NAME}"] = secret.reveal_text(); result = os.environ.pop("{NAME}")',
        is_opened=False,
        instead="pass a descriptor to the child, and write to it with `write_to`",
    ),
    Operation(
        "subprocess.run(..., env={...: secret.reveal_text()})",
        f'result = subprocess.run(["true"], env={{"PATH": os.environ["PATH"], "{NAME}": secret.reveal_text()}})',
        setup="import subprocess",
        is_opened=False,
        instead="as above; every process of the user may read a child's environment",
    ),
    Operation(
        "subprocess.run([..., secret.reveal_text()])",
        'result = subprocess.run(["true", secret.reveal_text()])',
        setup="import subprocess",
        is_opened=False,
        instead="as above; every user may read a child's arguments",
    ),
    Operation(
        "subprocess.run(..., input=secret.reveal())",
        'result = subprocess.run(["cat"], input=secret.reveal(), stdout=subprocess.DEVNULL)',
        setup="import subprocess",
        is_opened=False,
        instead="`Popen(..., stdin=subprocess.PIPE)`, and `secret.write_to` its `stdin`",
    ),
    Operation(
        "subprocess.Popen(stdin=PIPE), secret.write_to(stdin)",
        """
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as result:
            secret.write_to(result.stdin)
        """,
        setup="import subprocess",
        is_opened=False,
    ),
    Operation(
        'http.client: request(headers={"Authorization": ...})',
        """
        result = HTTPConnection("localhost")
        result.sock, other = socket.socketpair()
        with other:
            result.request("GET", "/", headers={"Authorization": "Bearer " + secret.reveal_text()})
        """,
        setup="import socket\nfrom http.client import HTTPConnection",
        is_opened=False,
        instead="write the head's parts and then the View to the socket yourself",
    ),
)
