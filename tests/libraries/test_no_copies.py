"""What uses a View and leaves no copy of it, seen by another process: docs/libraries.md lists these."""

import re
import secrets
from pathlib import Path

import pytest

import needs
from children import Live
from observed import Memory

pytestmark = needs.linux
PAGE = Path(__file__).resolve().parents[2] / "docs" / "libraries.md"
SIZE = 32

#: Each does something with ``view`` and then waits; nothing that was used stays alive, unless it says so.
WITHOUT_A_COPY = {
    "hashlib.sha256": "import hashlib; hashlib.sha256(view).digest()",
    "hashlib.blake2b(key=)": "import hashlib; hashlib.blake2b(b'message', key=view).digest()",
    "hashlib.pbkdf2_hmac": "import hashlib; hashlib.pbkdf2_hmac('sha256', view, b'salt', 10)",
    "hashlib.scrypt": "import hashlib; hashlib.scrypt(view, salt=b'salt', n=16, r=1, p=1)",
    "hmac.digest": "import hmac; hmac.digest(view, b'message', 'sha256')",
    "hmac.compare_digest": "import hmac; hmac.compare_digest(view, bytes(32))",
    "os.write, os.readv": "r, w = os.pipe(); os.write(w, view); view[:] = bytes(32); os.readv(r, [view])",
    "socket.send, recv_into": """
import socket
one, other = socket.socketpair()
one.send(view); view[:] = bytes(32); other.recv_into(view)
""",
    "base64.b64encode": "import base64; base64.b64encode(view)",
    "binascii.hexlify": "import binascii; binascii.hexlify(view)",
    "zlib.crc32": "import zlib; zlib.crc32(view)",
    "numpy.frombuffer": "import numpy; array = numpy.frombuffer(view, numpy.uint8); int(array.sum()); del array",
}
PARENT = """
buffer = LockedBuffer(32, backing="locked", isolated=True)
access = buffer.open("rw")
view = access.__enter__()
take(view)
{code}
print("ready", flush=True)
os.read(0, 1)
"""


def copies_after(code: str) -> int:
    """Return how many copies of a fresh tracer are in the ordinary memory of a process that has it in a View."""
    tracer = secrets.token_bytes(SIZE)
    with Live(PARENT.format(code=code)) as live:
        live.send(tracer)
        assert live.line() == "ready"
        with Memory(live.pid) as memory:
            found = memory.count(tracer)
    assert found >= 1  # the View's own memory
    return found - 1


@pytest.mark.parametrize("name", WITHOUT_A_COPY)
def test_no_copy_is_left(name: str) -> None:
    """Of the 32 bytes nothing whole is on the heap, on the stack or in freed memory when the call has returned."""
    assert copies_after(WITHOUT_A_COPY[name]) == 0


def test_control_copies_are_found() -> None:
    """The same search finds what is kept, and what was freed a moment ago."""
    assert copies_after("pass") == 0
    assert copies_after("kept = bytes(view)") >= 1
    assert copies_after("bytes(view)") >= 1


def test_the_page_lists_these() -> None:
    """docs/libraries.md calls these, and no others, without a copy."""
    section = PAGE.read_text(encoding="utf-8").partition("## Without a copy")[2].partition("\n## ")[0]
    assert set(re.findall(r"^- `([^`]+)`", section, re.MULTILINE)) == WITHOUT_A_COPY.keys()
