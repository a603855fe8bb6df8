"""No accidental way out: pickle, copy, json, text, logging, tracebacks show nothing of a secret, or refuse."""

import copy
import dataclasses
import io
import json
import logging
import multiprocessing
import os
import pickle
import pprint
import string
import subprocess
import sys
import traceback
import types
import weakref
from collections.abc import Callable, Iterator
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

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
    assert shows(pickle.dumps(MARK, protocol))


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy])
def test_copy_refuses(thing: Thing, way: Callable[[object], object]) -> None:
    """A copy would live in ordinary memory. Of an Access it would upset the counts of what is open: see below."""
    if isinstance(thing, Access):
        return
    with pytest.raises(TypeError, match=type(thing).__name__):
        way(thing)
    assert way(bytearray(MARK)) == MARK


def test_json_refuses(thing: Thing) -> None:
    """As a value and inside something."""
    for value in (thing, {"key": [thing]}):
        with pytest.raises(TypeError, match="not JSON serializable"):
            json.dumps(value)
    assert shows(json.dumps({"key": [MARK.decode()]}))


def printed(thing: object) -> str:
    """What print writes."""
    out = io.StringIO()
    print(thing, file=out)
    return out.getvalue()


TEXTS: dict[str, Callable[[object], object]] = {
    "str": str,
    "format": format,
    "format with a spec": lambda thing: format(thing, ">40"),
    "f-string": lambda thing: f"{thing}",
    "percent s": lambda thing: "%s" % (thing,),  # noqa: UP031
    "str.format": lambda thing: "{}".format(thing),  # noqa: UP032
    "Template": lambda thing: string.Template("$thing").substitute(thing=thing),
    "print": printed,
}


@pytest.mark.parametrize("way", TEXTS)
def test_text_refuses(thing: Thing, way: str) -> None:
    """Whatever would put it into a sentence raises TypeError; an Access holds nothing and has its plain repr."""
    assert shows(TEXTS[way](MARK.decode()))
    if isinstance(thing, Access):
        assert not shows(TEXTS[way](thing) if "spec" not in way else "")
        return
    with pytest.raises(TypeError, match=type(thing).__name__):
        TEXTS[way](thing)


@pytest.mark.parametrize(
    "way",
    [repr, ascii, pprint.pformat, lambda thing: f"{thing!r}", lambda thing: "%r" % (thing,), dir],  # noqa: UP031
)
def test_debugging_text_shows_nothing(thing: Thing, way: Callable[[object], object]) -> None:
    """repr and its relatives name the type and redact the rest."""
    told = str(way(thing))
    assert not shows(told)
    assert way is dir or type(thing).__name__ in told
    assert way is dir or shows(way(MARK))


def test_there_are_no_variables(thing: Thing) -> None:
    """vars() has nothing to show, and no attribute can be hung on."""
    with pytest.raises(TypeError):
        vars(thing)
    with pytest.raises(AttributeError):
        thing.note = "x"  # type: ignore[union-attr]
    ordinary = types.SimpleNamespace()
    ordinary.note = MARK
    assert shows(vars(ordinary))


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
    logger.warning("the key is %(key)s", {"key": thing})
    told = out.getvalue() + "".join(capsys.readouterr())
    assert type(thing).__name__ in told
    assert not shows(told)
    logger.warning("the key is %s", MARK)
    assert shows(out.getvalue())


def reported(local: object) -> str:
    """What crash reporters write of an error in a function that has this in a variable."""
    try:
        raise KeyError(type(local))
    except KeyError as error:
        report = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(report.format())


def test_a_traceback_with_variables_shows_nothing(thing: Thing) -> None:
    """Every frame's variables by repr."""
    assert f"local = {thing!r}" in reported(thing)
    assert not shows(reported(thing))
    assert shows(reported(MARK))


@dataclasses.dataclass
class Settings:
    """What programs put secrets into."""

    user: str
    token: Thing | bytes


def test_a_dataclass_shows_nothing(thing: Thing) -> None:
    """Its repr has the thing's; asdict, which copies values, refuses."""
    settings = Settings("me", thing)
    assert not shows(repr(settings))
    for way in (dataclasses.asdict, dataclasses.astuple):
        with pytest.raises(TypeError, match=type(thing).__name__):
            way(settings)
        assert shows(way(Settings("me", MARK)))
    assert shows(repr(Settings("me", MARK)))


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

    def output(names: str) -> str:
        command = [sys.executable, "-m", "pytest", "-l", "-vv", "-p", "no:cacheprovider", "test_it.py", "-k", names]
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        environment = {**ours, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # whose import is most of the time
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stdout

    ours = output("secret or view")
    for name in ("test_secret", "test_view"):
        assert "something else" in ours.partition(f"_ {name} _")[2].partition("\n____")[0]
    assert "2 failed" in ours
    assert "hunter2" not in ours
    assert "hunter2" in output("control")


@pytest.mark.parametrize("method", sorted({*multiprocessing.get_all_start_methods()} - {"fork"}))
def test_arguments_of_processes_refuse(thing: Thing, method: str) -> None:
    """What is started anew gets its arguments pickled; the error comes at once, in the parent."""
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=print, args=(thing,))
    with pytest.raises(TypeError, match=type(thing).__name__):
        process.start()
    assert shows(ForkingPickler.dumps(MARK).tobytes())


def test_what_goes_between_processes_refuses(thing: Thing) -> None:
    """A pipe pickles too; nothing was sent when it refuses."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver, sender:
        with pytest.raises(TypeError, match=type(thing).__name__):
            sender.send(thing)
        assert not receiver.poll(0)
        sender.send(MARK)
        assert shows(receiver.recv())


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
