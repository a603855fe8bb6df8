"""``in_children``: what is kept opens in children and in theirs, what is forgotten says what to do."""

import ctypes
import gc
import inspect
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

import needs
from children import forked, succeed
from samples import made_of
from secrets_at_rest import envelope_of
from strongroom import DestroyedError, ForkedError, LockedBuffer, Secret, UnsupportedError, View

pytestmark = needs.fork
QUIET = {"PYTHONWARNINGS": "ignore::DeprecationWarning"}  # 3.12 and later: fork beside threads
Keeping = Literal["forget", "keep"]
CONTENT = b"bytes that are known to the test"


def kept(content: bytes = CONTENT) -> Secret:
    """Return a secret that is kept in children."""
    return made_of(content, in_children="keep")


def told(use: Callable[[], object]) -> str:
    """What an error says, with its type in front; ``nothing`` if there is none."""
    try:
        use()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def test_what_is_kept_opens_in_children_and_grandchildren() -> None:
    """Made before the fork, of any size, opened or compared; so do those that a child makes itself, in its children."""
    sizes = 1, 32, 33, 5000
    parents = [kept(bytes([size % 251]) * size) for size in sizes]

    def grandchild(own: Secret) -> str:
        with own.open() as view:
            assert view == b"the child's"
        return " ".join(str(secret == bytes([size % 251]) * size) for size, secret in zip(sizes, parents, strict=True))

    def child() -> str:
        assert [secret.reveal() for secret in parents] == [bytes([size % 251]) * size for size in sizes]
        own = kept(b"the child's")
        return forked(lambda: grandchild(own))

    assert forked(child) == "True True True True"
    assert [len(secret.reveal()) for secret in parents] == list(sizes)


def test_what_is_forgotten_says_what_to_do() -> None:
    """The default beside a kept one: ForkedError with the hooks of each kind of server, and the word to write."""
    secret, other = made_of(CONTENT), kept()

    def child() -> str:
        assert other.reveal() == CONTENT
        return "\n".join(told(use) for use in (secret.open, secret.reveal, lambda: secret == CONTENT))

    for line in forked(child).splitlines():
        assert line.startswith("ForkedError: ")
        for word in ("post_fork", "postfork", "initializer", "in_children='keep'"):
            assert word in line
    assert secret.reveal() == CONTENT


def pipe_with(content: bytes) -> int:
    """Return the reading end of a pipe in which this lies, and nothing more comes."""
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


def from_pipe(how: Keeping) -> Secret:
    """Make a secret from a pipe and close that."""
    reading = pipe_with(CONTENT)
    try:
        return Secret.from_fd(reading, in_children=how)
    finally:
        os.close(reading)


def from_files(how: Keeping, monkeypatch: pytest.MonkeyPatch) -> list[Secret]:
    """Make secrets of a file, by its path and as a credential."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "token")
        path.write_bytes(CONTENT)
        path.chmod(0o600)
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", directory)
        return [Secret.from_file(path, in_children=how), Secret.from_credential("token", in_children=how)]


def test_every_way_of_making_one_can_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """And forgets it when it is told so; the same signature everywhere."""
    ways = [name for name, way in inspect.getmembers(Secret, inspect.ismethod) if not name.startswith("_")]
    assert {"build", "random", "from_env", "from_file", "from_prompt"} < set(ways)
    for name in ways:
        parameter = inspect.signature(getattr(Secret, name)).parameters["in_children"]
        assert (parameter.kind, parameter.default) == (parameter.KEYWORD_ONLY, "forget"), name

    def all_ways(how: Keeping) -> list[Secret]:
        monkeypatch.setenv("SR_TEST_TOKEN", CONTENT.decode())
        return [
            made_of(CONTENT, in_children=how),
            Secret.from_env("SR_TEST_TOKEN", in_children=how),
            Secret.from_buffer(bytearray(CONTENT), in_children=how),
            Secret.from_hex(CONTENT.hex(), in_children=how),
            Secret.from_base64("Ynl0ZXMgdGhhdCBhcmUga25vd24gdG8gdGhlIHRlc3Q=", in_children=how),
            from_pipe(how),
            *from_files(how, monkeypatch),
        ]

    keeps, forgets = all_ways("keep"), all_ways("forget")
    drawn = Secret.random(32, in_children="keep")
    expected = drawn.reveal()

    def child() -> str:
        assert all(secret.reveal() == CONTENT for secret in keeps)
        assert drawn.reveal() == expected
        return " ".join({told(secret.reveal).partition(":")[0] for secret in forgets})

    assert forked(child) == "ForkedError"


@pytest.mark.parametrize("word", ["Keep", "", "share", None, True, b"keep", 1])
def test_other_words_are_refused(word: object) -> None:
    """The error names the two there are; nothing is made, and a source is left as it was."""
    source = bytearray(CONTENT)
    with pytest.raises((ValueError, TypeError), match=r"forget.*keep"):
        Secret.from_buffer(source, in_children=word)  # type: ignore[arg-type]
    with pytest.raises((ValueError, TypeError), match=r"forget.*keep"):
        Secret.random(8, in_children=word)  # type: ignore[arg-type]
    assert source == CONTENT


def test_a_fork_in_mid_block() -> None:
    """The View of before is refused in the child and its block ends with ForkedError; opened anew it has the bytes.

    The parent's block goes on, and it leaves nothing in the child that later openings stumble over.
    """
    secret, other = kept(), kept(b"other")

    def child(view: View, leave: Callable[..., object]) -> str:
        first = told(lambda: view[0]).partition(":")[0]
        with secret.open() as mine:
            assert mine == CONTENT
            with secret.open() as again, other.open() as another:
                assert again == CONTENT
                assert another == b"other"
        ended = told(lambda: leave(None, None, None)).partition(":")[0]
        assert secret.reveal() == CONTENT
        return f"{first} {ended} {forked(lambda: secret.reveal_text())}"

    access = secret.open()
    with access as view:
        assert forked(lambda: child(view, access.__exit__)) == f"ForkedError ForkedError {CONTENT.decode()}"
        assert view == CONTENT
    with secret.open(), secret.open(), other.open():
        assert forked(lambda: secret.reveal_text() + other.reveal_text()) == CONTENT.decode() + "other"


def test_a_fork_inside_fill() -> None:
    """The child has no room to seal from: ForkedError there; what was made before opens there all the same."""
    before = kept(b"before")
    answers: list[str] = []

    def fill(view: View) -> None:
        view[:] = CONTENT
        pid = os.fork()
        if pid == 0:
            answers.append("child")
        else:
            answers.append(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))

    try:
        secret = Secret.build(len(CONTENT), fill, in_children="keep")
    except BaseException as error:
        if answers == ["child"]:
            os._exit(7 if isinstance(error, ForkedError) and before.reveal() == b"before" else 8)
        raise
    if answers == ["child"]:
        os._exit(9)
    assert answers == ["7"]
    assert forked(secret.reveal_text) == CONTENT.decode()


def test_what_a_child_does_stays_there() -> None:
    """It destroys, it purges: the parent's secrets open as before, and so do those of children forked later."""
    secret, other = kept(), kept(b"other")

    def destroys() -> str:
        secret.destroy()
        return told(secret.reveal).partition(":")[0] + " " + other.reveal_text()

    assert forked(destroys) == "DestroyedError other"
    out = succeed("""
        secret = Secret.random(32, in_children="keep")
        expected = secret.reveal()
        pid = os.fork()
        if pid == 0:
            purge()
            try:
                secret.reveal()
            except PurgedError:
                own = Secret.random(16, in_children="keep")
                pid = os.fork()
                if pid == 0:
                    os._exit(len(own.reveal()))
                os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            os._exit(1)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        pid = os.fork()
        if pid == 0:
            os._exit(7 if secret.reveal() == expected else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), secret.reveal() == expected)
        purge()
        pid = os.fork()
        if pid == 0:
            try:
                secret.reveal()
            except (PurgedError, ForkedError):
                os._exit(7)
            os._exit(1)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        after = Secret.random(9, in_children="keep")
        pid = os.fork()
        if pid == 0:
            os._exit(len(after.reveal()))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """)
    assert out.split() == ["16", "7", "True", "7", "9"]


def test_what_was_destroyed_before_the_fork_stays_destroyed() -> None:
    """DestroyedError in the child, as in the parent."""
    secret = kept()
    secret.destroy()
    assert forked(lambda: told(secret.reveal)).startswith(DestroyedError.__name__)


def test_a_forgotten_one_is_not_opened_by_the_key_of_a_kept_one() -> None:
    """Both kinds side by side in the parent, compared and opened; in the child the child's own forgotten ones work."""
    pairs = [(kept(bytes([n]) * 20), made_of(bytes([n]) * 20)) for n in range(40)]
    assert all(one == other for one, other in pairs)

    def child() -> str:
        own = made_of(b"\x07" * 20)
        assert all(one == bytes([n]) * 20 for n, (one, _) in enumerate(pairs))
        assert pairs[7][0] == own
        return " ".join({told(other.reveal).partition(":")[0] for _, other in pairs})

    assert forked(child) == "ForkedError"


def test_siblings_never_seal_alike() -> None:
    """The same content sealed by parent and children, two of them at the same place in memory: no ciphertext twice.

    A nonce used twice under one key would give the content away; they have the key, so they must not have its nonces.
    """
    first = kept()

    def seal() -> str:
        secret = kept(b"z" * 32)
        _, text = envelope_of(secret)
        return f"{id(secret):x} {ctypes.string_at(text, 48).hex()}"

    told = [forked(seal).split()]
    while told[-1][0] not in [place for place, _text in told[:-1]]:  # where memory is free changes with every string
        assert len(told) < 40, "no two children have sealed at one place"
        told.append(forked(seal).split())
    # What is bound to the ciphertext, its address and size, is the same in two of them now.
    told.append(seal().split())
    assert len({text for _place, text in told}) == len(told)
    assert first.reveal() == CONTENT


@pytest.mark.parametrize("shielded", [False, True])
def test_many_generations(shielded: bool) -> None:
    """Each makes a kept secret of its own, under a key of its own, and opens those of all its ancestors."""
    depth = 12

    def live(ancestors: list[Secret]) -> str:
        assert [secret.reveal() for secret in ancestors] == [b"%d" % n for n in range(len(ancestors))]
        if len(ancestors) == depth:
            return "fine"
        own = made_of(b"%d" % len(ancestors), in_children="keep", shielded=shielded)
        return forked(lambda: live([*ancestors, own]))

    assert live([]) == "fine"


def test_a_chain_that_has_too_many_keys() -> None:
    """With one more in each generation, making it is refused at last, in the sixteenth at most; all others open."""
    gc.collect()  # secrets that other tests left would keep their keys, which are of the sixteen

    def live(ancestors: list[Secret]) -> str:
        try:
            own = kept(b"%d" % len(ancestors))
        except UnsupportedError as error:
            assert [secret.reveal() for secret in ancestors] == [b"%d" % n for n in range(len(ancestors))]
            return f"{len(ancestors)} {error}"
        assert len(ancestors) < 20
        return forked(lambda: live([*ancestors, own]))

    generations, _, words = live([]).partition(" ")
    assert 12 <= int(generations) <= 16
    assert words.startswith("there are 16 keys")


def test_buffers_are_not_kept() -> None:
    """in_children is about secrets: a LockedBuffer knows no such argument and is refused in a child as ever."""
    with pytest.raises(TypeError):
        LockedBuffer(32, in_children="keep")  # type: ignore[call-arg]
    buffer, secret = LockedBuffer(32), kept()
    assert forked(lambda: told(buffer.open().__enter__) + secret.reveal_text()).startswith(ForkedError.__name__)
