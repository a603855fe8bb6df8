"""Secret: right content at every size, and what build, open, reveal and == promise."""

import gc
import os

import pytest

import needs
from samples import array_of, made_of
from strongroom import AccessError, DestroyedError, Secret, View


def pattern(size: int) -> bytes:
    """Return recognisable bytes of any size."""
    return bytes((i * 7 + size) % 256 for i in range(size))


@pytest.mark.parametrize("size", [*range(1, 101), 4079, 4080, 4081, 4095, 4096, 4097, 100_000])
def test_what_is_sealed_is_what_opens(size: int) -> None:
    """Twice, with the right length, from rooms that other secrets used before."""
    secret = made_of(pattern(size))
    assert len(secret) == size
    for _ in range(2):
        with secret.open() as view:
            assert len(view) == size
            assert bytes(view) == pattern(size)
            assert view.readonly
    assert secret.reveal() == pattern(size)


@pytest.mark.parametrize("size", [0, -1, 2**63, 2**200, 1.5, None, True])
def test_impossible_sizes_are_named(size: object) -> None:
    """As for buffers, by build and random."""
    told = f"{size:,}" if type(size) is int else str(size)
    with pytest.raises((ValueError, TypeError), match=told):
        Secret.build(size, lambda _view: None)  # type: ignore[arg-type]
    with pytest.raises((ValueError, TypeError), match=told):
        Secret.random(size)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", ["hunter2", b"hunter2"])
def test_content_passed_as_a_size_is_not_echoed(size: object) -> None:
    """The type is told, not the value."""
    with pytest.raises(TypeError) as caught:
        Secret.random(size)  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


def test_random_secrets_differ() -> None:
    """And are not zeros."""
    drawn = {Secret.random(16).reveal() for _ in range(100)}
    assert len(drawn) == 100
    assert bytes(16) not in drawn


def test_build_gives_zeros_to_fill() -> None:
    """Also in a room that another secret has used."""
    made_of(b"\xff" * 4000).reveal()
    seen: list[bytes] = []
    for size in (1, 32, 4000, 5000):
        Secret.build(size, lambda view: seen.append(bytes(view)))
    assert seen == [bytes(size) for size in (1, 32, 4000, 5000)]


def test_fill_may_write_less_than_it_was_given() -> None:
    """What it returns is the size; the answer of a file's readinto, as of os.readv, fits as it is."""
    reading, writing = os.pipe()
    os.write(writing, b"short")
    os.close(writing)
    with open(reading, "rb", buffering=0) as file:
        secret = Secret.build(100, file.readinto)
    assert (len(secret), secret.reveal()) == (5, b"short")


@pytest.mark.parametrize(
    ("written", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (17, ValueError),
        (2**70, ValueError),
        (True, TypeError),
        (1.0, TypeError),
        ("hunter2", TypeError),
        (b"hunter2", TypeError),
    ],
)
def test_fill_must_return_a_size(written: object, error: type[Exception]) -> None:
    """Within the View; numbers are named, anything else is not."""
    with pytest.raises(error) as caught:
        Secret.build(16, lambda _view: written)  # type: ignore[arg-type, return-value]
    assert "hunter2" not in str(caught.value)


def test_an_error_in_fill_arrives_and_nothing_is_made() -> None:
    """The user's exception, unchanged; the room is clean for the next."""

    def fill(view: View) -> None:
        view[:] = b"x" * 16
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        Secret.build(16, fill)
    test_build_gives_zeros_to_fill()


def test_fill_may_not_keep_what_it_got() -> None:
    """A kept View raises on use; a kept buffer is a BufferError with its holder, and shows nothing any more."""
    views: list[View] = []
    Secret.build(16, views.append)
    with pytest.raises(AccessError):
        bytes(views[0])
    kept: list[memoryview] = []

    def keep(view: View) -> None:
        view[0] = 65
        kept.append(memoryview(view))

    with pytest.raises(BufferError, match="list"):
        Secret.build(16, keep)
    assert bytes(kept[0]) == bytes(16)
    kept[0].release()


def test_a_secret_may_be_made_and_opened_inside_fill() -> None:
    """Each has a room of its own."""

    def fill(view: View) -> None:
        with made_of(b"inner").open() as inner:
            view[:5] = inner
            view[5:] = made_of(b"other").reveal()

    assert Secret.build(10, fill).reveal() == b"innerother"


@needs.fork
def test_a_fork_inside_fill_is_told_in_the_child() -> None:
    """The child has no room to seal from: ForkedError there, a secret here."""
    told: list[int] = []

    def fill(view: View) -> None:
        view[:] = b"x" * 16
        pid = os.fork()
        told.append(pid)

    try:
        secret = Secret.build(16, fill)
    except BaseException as error:
        if told and told[0] == 0:
            os._exit(7 if type(error).__name__ == "ForkedError" else 8)
        raise
    if told[0] == 0:
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(told[0], 0)[1]) == 7
    assert secret.reveal() == b"x" * 16


def test_reveal_text_is_utf8() -> None:
    """And what is not says so without the bytes, in the message and in its chain."""
    assert made_of("geheim£".encode()).reveal_text() == "geheim£"
    with pytest.raises(ValueError, match="UTF-8") as caught:
        made_of(b"hunter2\xff").reveal_text()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_equality() -> None:
    """With secrets, bytes, any buffer; never with text; unequal lengths are unequal."""
    one = made_of(b"same content")
    assert one == one
    assert one == made_of(b"same content")
    assert one != made_of(b"same conten!")
    assert one != made_of(b"same")
    assert one == b"same content"
    assert one == bytearray(b"same content")
    assert one == memoryview(b"same content")
    assert one == array_of(b"same content")
    assert b"same content" == one  # noqa: SIM300 - the reflected comparison
    assert one != b"same conten"
    assert one != 5
    assert one is not None
    assert one != None  # noqa: E711
    with one.open() as view:
        assert one == view
    with pytest.raises(TypeError, match="not with str"):
        assert one == "same content"
    with pytest.raises(TypeError, match="not with str"):
        assert "same content" == one  # noqa: SIM300


def test_destroy() -> None:
    """Twice is fine; use after it raises; what is open stays until its end."""
    secret = made_of(b"content")
    with secret.open() as view:
        secret.destroy()
        assert view == b"content"
    secret.destroy()
    assert secret.is_destroyed
    assert repr(secret) == "<Secret 7 bytes, destroyed>"
    for use in (secret.open, secret.reveal, secret.reveal_text, lambda: secret == b"content"):
        with pytest.raises(DestroyedError):
            use()


def test_an_access_made_before_destroy_does_not_open() -> None:
    """open() alone holds nothing."""
    secret = made_of(b"content")
    access = secret.open()
    secret.destroy()
    with pytest.raises(DestroyedError), access:
        pass


def test_the_access_keeps_its_secret() -> None:
    """A secret that nobody else refers to lives as long as its block."""
    with made_of(b"content").open() as view:
        gc.collect()
        assert view == b"content"


def test_a_secret_is_not_made_by_calling_the_class() -> None:
    """The error names the ways there are; an empty shell made past it refuses too."""
    with pytest.raises(TypeError, match=r"Secret\.random"):
        Secret()
    with pytest.raises(DestroyedError):
        Secret.__new__(Secret).reveal()
