"""No accidental way out: pickle, copy, json, text, logging, tracebacks show nothing of a secret, or refuse."""

import copy
import dataclasses
import io
import json
import logging
import multiprocessing
import pickle
import pprint
import subprocess
import sys
import traceback
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from children import succeed
from strongroom import Access, LockedBuffer, Secret, View

MARK = b"hunter2-marked-content-of-32-byt"
Thing = LockedBuffer | Secret | View | Access
KINDS = ["buffer", "view", "slice", "access", "secret", "secret view"]


@pytest.fixture(params=KINDS)
def thing(request: pytest.FixtureRequest) -> Iterator[Thing]:
    """Each kind of object that holds the marked content, while it is open."""
    with LockedBuffer(32) as buffer:
        secret = Secret.build(32, lambda view: view.__setitem__(slice(None), MARK))
        access = buffer.open("rw")
        with access as view, secret.open() as opened:
            view[:] = MARK
            things: dict[str, Thing] = {
                "buffer": buffer,
                "view": view,
                "slice": view[1:],
                "access": access,
                "secret": secret,
                "secret view": opened,
            }
            yield things[request.param]
            del things


def shows(text: object) -> bool:
    """Whether a text or bytes holds a part of the content, plain, as hex or as numbers."""
    told = text.decode("latin-1") if isinstance(text, bytes) else str(text)
    return any(form in told for form in ("hunter2", MARK.hex(), "104, 117, 110", "marked"))


def test_what_shows_is_seen() -> None:
    """Control: ordinary bytes show everywhere."""
    assert shows(repr(MARK))
    assert shows(pickle.dumps(MARK))
    assert shows(list(MARK))
    assert shows(MARK.hex())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_refuses(thing: Thing, protocol: int) -> None:
    """With every protocol, with a sentence that says why, and nothing written before the refusal."""
    out = io.BytesIO()
    with pytest.raises(TypeError, match=type(thing).__name__):
        pickle.Pickler(out, protocol).dump(thing)
    assert not shows(out.getvalue())


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy])
def test_copy_refuses(thing: Thing, way: Callable[[object], object]) -> None:
    """A copy would live in ordinary memory. Of an Access it would upset the counts of what is open: see below."""
    if isinstance(thing, Access):
        return
    with pytest.raises(TypeError, match=type(thing).__name__):
        way(thing)


def test_json_refuses(thing: Thing) -> None:
    """As a value and inside something."""
    for value in (thing, {"key": [thing]}):
        with pytest.raises(TypeError, match="not JSON serializable"):
            json.dumps(value)


TEXTS: dict[str, Callable[[Thing], object]] = {
    "str": str,
    "format": format,
    "format with a spec": lambda thing: format(thing, ">40"),
    "f-string": lambda thing: f"{thing}",
    "percent s": lambda thing: "%s" % (thing,),  # noqa: UP031
    "str.format": lambda thing: "{}".format(thing),  # noqa: UP032
    "print": lambda thing: print(thing, file=io.StringIO()),
}


@pytest.mark.parametrize("way", TEXTS)
def test_text_refuses(thing: Thing, way: str) -> None:
    """Whatever would put it into a sentence raises TypeError; an Access holds nothing and has its plain repr."""
    if isinstance(thing, Access):
        assert not shows(TEXTS[way](thing) if "spec" not in way else "")
        return
    with pytest.raises(TypeError, match=type(thing).__name__):
        TEXTS[way](thing)


@pytest.mark.parametrize("way", [repr, ascii, pprint.pformat, lambda thing: f"{thing!r}", dir])
def test_debugging_text_shows_nothing(thing: Thing, way: Callable[[object], object]) -> None:
    """repr and its relatives name the type and redact the rest."""
    told = str(way(thing))
    assert not shows(told)
    assert way is dir or type(thing).__name__ in told


def test_there_are_no_variables(thing: Thing) -> None:
    """vars() has nothing to show, and no attribute can be hung on."""
    with pytest.raises(TypeError):
        vars(thing)
    with pytest.raises(AttributeError):
        thing.note = "x"  # type: ignore[union-attr]


def test_hash_refuses_what_holds_content(thing: Thing) -> None:
    """A hash of content would tell it; an access is hashed by identity."""
    if isinstance(thing, View | Secret | LockedBuffer):
        with pytest.raises(TypeError, match="unhashable"):
            hash(thing)
    else:
        hash(thing)


@pytest.mark.parametrize("kind", [LockedBuffer, Secret])
def test_weak_references_work(kind: type[LockedBuffer] | type[Secret]) -> None:
    """They are how caches let go of secrets."""
    made = LockedBuffer(1) if kind is LockedBuffer else Secret.random(1)
    reference = weakref.ref(made)
    assert reference() is made
    del made
    assert reference() is None


def test_logging_shows_nothing(thing: Thing, capsys: pytest.CaptureFixture[str]) -> None:
    """A log call with the object as argument: an error of the logging, no content."""
    out = io.StringIO()
    logger = logging.Logger("silence")
    logger.addHandler(logging.StreamHandler(out))
    logger.warning("the key is %s", thing)
    logger.warning("the key is %r", thing)
    told = out.getvalue() + "".join(capsys.readouterr())
    assert type(thing).__name__ in told
    assert not shows(told)


def test_a_traceback_with_variables_shows_nothing(thing: Thing) -> None:
    """What crash reporters do: every frame's variables by repr."""
    try:
        local = thing
        raise KeyError("mine")
    except KeyError as error:
        report = traceback.TracebackException.from_exception(error, capture_locals=True)
    told = "".join(report.format())
    assert type(local).__name__ in told
    assert not shows(told)


@dataclasses.dataclass
class Settings:
    """What programs put secrets into."""

    user: str
    token: Thing


def test_a_dataclass_shows_nothing(thing: Thing) -> None:
    """Its repr has the thing's; asdict, which copies values, refuses."""
    settings = Settings("me", thing)
    assert not shows(repr(settings))
    with pytest.raises(TypeError, match=type(thing).__name__):
        dataclasses.asdict(settings)


def test_pytest_shows_nothing_of_what_it_compares(tmp_path: Path) -> None:
    """A failed assertion with local variables: the secret by its repr, while ordinary bytes are printed (control)."""
    (tmp_path / "test_it.py").write_text(
        f"""
from strongroom import LockedBuffer, Secret
def made():
    return Secret.build({len(MARK)}, lambda view: view.__setitem__(slice(None), CONTENT))
CONTENT = bytes({list(MARK)})
def test_secret():
    secret = made()
    assert secret == b"something else"
def test_view():
    with made().open() as view:
        assert view == b"something else"
def test_control():
    ordinary = CONTENT
    assert ordinary == b"something else"
""",
        encoding="utf-8",
    )

    def output(name: str) -> str:
        command = [sys.executable, "-m", "pytest", "-l", "-vv", "-p", "no:cacheprovider", "test_it.py", "-k", name]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stdout

    for name in ("secret", "view"):
        assert "something else" in output(name)
        assert "hunter2" not in output(name)
    assert "hunter2" in output("control")


def test_arguments_of_processes_refuse(thing: Thing) -> None:
    """What is spawned gets its arguments pickled; the error comes at once, in the parent."""
    process = multiprocessing.get_context("spawn").Process(target=print, args=(thing,))
    with pytest.raises(TypeError, match=type(thing).__name__):
        process.start()


def test_buffers_and_secrets_are_not_bytes() -> None:
    """bytes() of the closed object refuses; only its View is a buffer."""
    for closed in (LockedBuffer(32), Secret.random(32)):
        for way in (bytes, bytearray, memoryview, list):
            with pytest.raises(TypeError):
                way(closed)  # type: ignore[call-overload, arg-type]


def test_subclasses_are_as_silent() -> None:
    """Own attributes are theirs, the content is not among them."""

    class Token(Secret):
        pass

    class Key(LockedBuffer):
        pass

    for made in (Token.build(32, lambda view: view.__setitem__(slice(None), MARK)), Key(32)):
        assert type(made).__name__ in repr(made)
        assert not shows(vars(made))
        with pytest.raises(TypeError, match=type(made).__name__):
            pickle.dumps(made)
        with pytest.raises(TypeError, match=type(made).__name__):
            str(made)


def test_a_copied_access_harms_nobody() -> None:
    """A copy of an open access is refused; it would close the memory under its owner (in a child: it may crash)."""
    assert (
        succeed("""
        import copy
        with LockedBuffer(32) as buffer:
            access = buffer.open("rw")
            with access as view:
                for way in (copy.copy, copy.deepcopy, lambda one: one.__reduce_ex__(2), lambda one: one.__reduce__()):
                    try:
                        twin = way(access)
                        del twin
                        print("copied")
                    except TypeError:
                        pass
                    gc.collect()
                assert "open" in repr(buffer), repr(buffer)
                view[0] = 1
    """)
        == ""
    )
