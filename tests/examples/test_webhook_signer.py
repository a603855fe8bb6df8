"""examples/webhook_signer.py: what it signs and refuses, and that no copy of the key is in its memory."""

import hashlib
import hmac
import http.client
import secrets
from pathlib import Path

import pytest

import needs
from children import Live, _environment
from programs import Program, copies_in, failure_of, forms_of, tell

NAME = "webhook_signer.py"
DELIVERIES = 50
BLOCK_SIZE = 64  # SHA-256's
#: The usual way, and HMAC in Python, which makes the two padded keys as bytes.
ORDINARY = """
import hashlib, hmac
key = os.environ["WEBHOOK_KEY"].encode()
hmac.new(key, b"body", lambda data=b"": hashlib.sha256(data)).digest()
print("ready", flush=True)
os.read(0, 1)
"""


def forms_of_key(key: bytes) -> dict[str, bytes]:
    """Return what else HMAC makes of a key: it beside its padding, combined with the inner and the outer pad."""
    padded = key.ljust(BLOCK_SIZE, b"\0")
    pads = {f"pad {pad:#x}": bytes(byte ^ pad for byte in padded) for pad in (0x36, 0x5C)}
    return forms_of(key) | pads


def header(key: str, body: bytes) -> str:
    """Return what a sender would put into the header."""
    return "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


class Receiver(Program):
    """The program, serving."""

    def __init__(self, *arguments: str, env: dict[str, str] | None = None) -> None:
        super().__init__(NAME, *arguments, "serve", env=env)
        self.port = int(self.line().removeprefix("listening on "))

    def deliver(self, body: bytes, signature: str | None) -> int:
        """Send one delivery and return the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {} if signature is None else {"X-Signature-256": signature}
            connection.request("POST", "/hook", body, headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def announce(self, size: str) -> int:
        """Send the head of a delivery that says how large it is, and return the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest("POST", "/hook")
            connection.putheader("Content-Length", size)
            connection.endheaders()
            return connection.getresponse().status
        finally:
            connection.close()


@needs.linux
def test_no_copy_of_the_key_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    """After 50 deliveries, good and forged: not the key, not a half of it, not what HMAC pads it to."""
    key = secrets.token_urlsafe(33)
    with Receiver(env={"WEBHOOK_KEY": key}) as receiver:
        for number in range(DELIVERIES):
            body = b"delivery %d" % number
            assert receiver.deliver(body, header(key, body)) == 204
            assert receiver.deliver(body, header("another", body)) == 401
        found = copies_in(receiver.pid, forms_of_key(key.encode()))
    with Live(ORDINARY, env={"WEBHOOK_KEY": key}) as child:
        assert child.line() == "ready"
        control = copies_in(child.pid, forms_of_key(key.encode()))
    tell(capsys, f"hmac and http.server, copies of a key after {2 * DELIVERIES} deliveries: {found.total()}")
    assert found == {}
    assert control["whole"] >= 1  # the same search finds it there,
    assert control["pad 0x36"] + control["pad 0x5c"] >= 1  # and what was made of it and freed


@needs.linux
@pytest.mark.parametrize("is_bound", [True, False])
def test_while_it_reads_a_body_to_sign_there_is_no_copy(is_bound: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """``sign`` has the key before it has the body. What the loader saves of registers is told, and is not all of it."""
    key = secrets.token_urlsafe(33)
    body = secrets.token_bytes(1 << 20)  # more than a pipe holds: when all is sent, most of it was read
    env = {"WEBHOOK_KEY": key} | ({} if is_bound else {"LD_BIND_NOW": ""})
    with Program(NAME, "sign", env=env) as child:
        child.send(body)
        found = copies_in(child.pid, forms_of_key(key.encode()))
        control = copies_in(child.pid, {"body": body[:64]})
        assert child.end() == 0
        assert child.line() == "X-Signature-256: " + header(key, body)
    assert control["body"] >= 1
    if is_bound:
        assert found == {}
    else:
        tell(capsys, f"copies of a key's halves where the loader saved registers: {found.total()}")
        assert found.keys() <= {"first half", "second half"}


def test_whatever_is_not_the_signature_is_refused() -> None:
    """No header, one that is cut, in capitals, not ASCII, of another body, of another algorithm's length: 401."""
    with Receiver(env={"WEBHOOK_KEY": "key"}) as receiver:
        right = header("key", b"body")
        assert receiver.deliver(b"body", right) == 204
        others = [None, "", right[:-1], right + "0", right.upper(), right[7:], "sha1=" + "0" * 40, "sha256=" + "é" * 64]
        for wrong in [*others, header("key", b"Body")]:
            assert receiver.deliver(b"body", wrong) == 401, wrong
        assert receiver.announce(str(1024 * 1024 + 1)) == 413
        assert receiver.announce("-1") == 411
        assert receiver.deliver(b"body", right) == 204


@needs.unix
def test_the_key_may_come_from_a_file(tmp_path: Path) -> None:
    """A newline at its end is not part of it; a file that every user may read is refused."""
    file = tmp_path / "key"
    file.write_text("from a file\n")
    file.chmod(0o644)
    assert "chmod" in failure_of(NAME, "--key-file", str(file), "sign")
    file.chmod(0o600)
    with Receiver("--key-file", str(file)) as receiver:
        assert receiver.deliver(b"body", header("from a file", b"body")) == 204


def test_without_a_key_it_says_where_to_put_one() -> None:
    """One line that names the variable."""
    assert "WEBHOOK_KEY" not in _environment(None)
    assert "WEBHOOK_KEY" in failure_of(NAME, "sign")
    assert "empty" in failure_of(NAME, "sign", env={"WEBHOOK_KEY": ""})
