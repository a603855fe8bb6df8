"""Secret.from_hex and from_base64: decoded in locked memory, strictly, and silent about what was wrong."""

import base64
import binascii
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

import needs
from children import Live
from observed import Memory
from strongroom import Secret

MAKERS: dict[str, Callable[[str | bytes], Secret]] = {"hex": Secret.from_hex, "base64": Secret.from_base64}


@given(st.binary(min_size=1, max_size=200), st.sampled_from(["", " ", "\n", "\r\n\t"]))
def test_whatever_was_encoded_comes_back(content: bytes, blanks: str) -> None:
    """Small and capital digits, either alphabet, with and without padding, blanks anywhere, str and bytes."""
    digits = blanks.join(content.hex())
    for text in (digits, digits.upper(), digits.encode()):
        assert Secret.from_hex(text) == content
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        padded = encode(content).decode()
        for text in (padded, padded.rstrip("="), blanks.join(padded), padded.encode() + blanks.encode()):
            assert Secret.from_base64(text) == content


@given(st.text(max_size=40))
def test_what_python_refuses_is_refused(text: str) -> None:
    """Nothing that is no hex becomes a secret, and nothing that is no base64."""
    try:
        expected = bytes.fromhex("".join(text.split()) if text.isascii() else text)
    except ValueError:
        expected = b""
    try:
        made = Secret.from_hex(text).reveal()
    except ValueError:
        made = b""
    if made:
        assert made == expected
    elif expected:  # \x1c to \x1f count as blanks for str.split
        assert any("\x1c" <= c <= "\x1f" for c in text)
    try:
        made = Secret.from_base64(text).reveal()
    except ValueError:
        return
    plain = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    assert made == binascii.a2b_base64(plain + "=" * (-len(plain) % 4), strict_mode=True)


@pytest.mark.parametrize(
    ("form", "text", "words"),
    [
        ("hex", "secr3t", "position 0"),
        ("hex", "00 secr3t", "position 3"),
        ("hex", "abc", "cut short"),
        ("hex", "abcé", "not ASCII"),
        ("hex", "", "nothing"),
        ("hex", " \n", "nothing"),
        ("base64", "hunter2!", "position 7"),
        ("base64", "QUJD=QUI", "position 4"),
        ("base64", "hunt2", "cut short"),
        ("base64", "QQ=", "cut short"),
        ("base64", "QUI==", "cut short"),
        ("base64", "QUJD=", "cut short"),
        ("base64", "QR==", "cut short"),
        ("base64", "====", "position 0"),
        ("base64", "", "nothing"),
        ("base64", "==", "cut short"),
    ],
)
def test_errors_say_where_and_nothing_of_what(form: str, text: str, words: str) -> None:
    """The position or the kind of mistake; no character of it. Bytes get the same error."""
    for given_text in (text, text.encode()) if text.isascii() else (text,):
        with pytest.raises(ValueError, match=words) as caught:
            MAKERS[form](given_text)
        assert str(caught.value).startswith(f"{form}: ")
        for secret in ("secr", "hunt", "QUI", "abc"):
            assert secret not in str(caught.value)
        assert caught.value.__context__ is None


@pytest.mark.parametrize("form", MAKERS)
def test_neither_text_nor_bytes(form: str) -> None:
    """Refused by type."""
    for wrong in (None, 5, ["QQ"]):
        with pytest.raises(TypeError, match=f"not {type(wrong).__name__}"):
            MAKERS[form](wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", MAKERS)
def test_a_str_that_says_it_is_longer(form: str) -> None:
    """What a subclass says of its length is not believed."""

    class Long(str):
        __slots__ = ()

        def __len__(self) -> int:
            return 1 << 44

    assert len(MAKERS[form](Long("ABCD"))) in (2, 3)


@needs.linux
@pytest.mark.parametrize("form", MAKERS)
def test_a_second_process_finds_what_was_decoded_nowhere_else(form: str) -> None:
    """The whole process is searched: the plaintext is not there, but with Python's own decoding it is (control)."""
    with Live(
        f"""
        text = bytearray(take_line())
        secret = Secret.from_{form}(text)
        text[:] = bytes(len(text))
        print(len(secret), flush=True)
        os.read(0, 1)
        text = bytearray(take_line())
        import base64
        kept = bytes.fromhex(text.decode()) if "{form}" == "hex" else base64.b64decode(text)
        print(len(kept), flush=True)
        os.read(0, 1)
        """.replace("take_line()", "os.read(0, 4096).strip()")
    ) as child:
        mark = bytes(range(200, 240)) + b"decoded"
        text = mark.hex().encode() if form == "hex" else base64.b64encode(mark)
        child.send(text + b"\n")
        assert child.line() == str(len(mark))
        with Memory(child.pid) as memory:
            assert memory.count(mark) == 0
            child.go()
            child.send(text + b"\n")
            assert child.line() == str(len(mark))
            assert memory.count(mark) > 0
