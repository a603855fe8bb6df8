"""The BufferError names who kept the memory: variable, attribute, container, with the kind of thing it is."""

import ctypes
import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from samples import array_of
from strongroom import LockedBuffer, View
from strongroom.buffers import keepers as search

KEPT_GLOBALLY: object = None
KEPT: list[object] = []


@pytest.fixture(autouse=True)
def _patient_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it takes: half a million objects are looked at in a second, or on a busy machine in ten."""
    monkeypatch.setattr(search, "_SEARCH_SECONDS", 600.0)


class Holder:
    """An ordinary object with an attribute."""

    kept: object


class Slotted:
    """An object without a dictionary."""

    __slots__ = ("kept",)
    kept: object


def complaint(keep: Callable[[View], object]) -> str:
    """Return the text of the BufferError when ``keep`` keeps something of a View."""
    buffer = LockedBuffer(32)
    held: list[object] = []
    with pytest.raises(BufferError) as caught, buffer.open("rw") as view:
        keep(view)
    held.clear()
    return str(caught.value)


def test_a_local_variable() -> None:
    """Its name, its function and the file."""
    buffer = LockedBuffer(32)
    with pytest.raises(BufferError) as caught, buffer.open() as view:
        leaked_name = memoryview(view)
    leaked_name.release()
    for part in ("memoryview", "local variable 'leaked_name'", "test_a_local_variable", "test_keepers.py"):
        assert part in str(caught.value)


def test_a_local_variable_is_told_once() -> None:
    """The interpreter's own snapshot of a frame's variables is not a second keeper."""
    buffer = LockedBuffer(32)
    with pytest.raises(BufferError) as caught, buffer.open() as view:
        leaked_name = memoryview(view)
    leaked_name.release()
    assert str(caught.value).count("leaked_name") == 1


def test_objects_that_resist_being_looked_at_do_not_replace_the_error() -> None:
    """Properties that raise and odd class attributes in the way of the search change nothing: BufferError it is."""

    class Resisting:
        __slots__ = ("kept",)
        kept: object

        @property
        def __dict__(self) -> dict[str, object]:  # type: ignore[override]
            raise RuntimeError("do not look at me")

    odd = type("Odd", (), {"__module__": []})()
    holder = Resisting()
    text = complaint(lambda view: setattr(holder, "kept", memoryview(view)))
    assert "memoryview in a Resisting" in text
    assert odd is not None
    holder.kept = None


@pytest.mark.usefixtures("all_objects")
def test_a_class_that_is_code_of_its_own_is_not_asked() -> None:
    """``isinstance`` would run it, and SystemExit is no Exception."""

    class Exiting:
        @property  # type: ignore[misc]
        def __class__(self) -> type:
            raise SystemExit("asked for its class")

    odd = Exiting()
    text = complaint(lambda view: KEPT.append(memoryview(view)))
    KEPT.clear()
    assert "memoryview in a list" in text
    assert type(odd) is Exiting


def test_the_search_among_very_many_objects_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while the error comes without the keeper's name."""
    monkeypatch.setattr(search, "_SEARCH_SECONDS", -1.0)
    text = complaint(lambda view: KEPT.append(memoryview(view)))
    KEPT.clear()
    assert "was not found among very many" in text


@pytest.mark.usefixtures("all_objects")
def test_modules_are_not_asked_what_their_c_code_refers_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer of one of Python 3.12.1's never ends. Global variables are found all the same."""
    asked: list[object] = []

    class Watched:
        get_objects = staticmethod(gc.get_objects)

        @staticmethod
        def get_referents(*things: object) -> list[object]:
            asked.extend(things)
            return gc.get_referents(*things)

    def keep(view: View) -> None:
        global KEPT_GLOBALLY
        KEPT_GLOBALLY = memoryview(view)

    monkeypatch.setattr(search, "gc", Watched)
    text = complaint(keep)
    globals()["KEPT_GLOBALLY"] = None
    assert "the global variable 'KEPT_GLOBALLY' of module" in text
    assert len(asked) > 1000
    assert not any(type(thing) is type(sys) for thing in asked)


def _keep_one() -> str:
    buffer = LockedBuffer(8)
    try:
        with buffer.open() as view:
            leaked_name = memoryview(view)
    except BufferError as error:
        leaked_name.release()
        return str(error)
    raise AssertionError("no error")


def _total(amounts: list[int]) -> int:
    so_far = 0
    for amount in amounts:
        so_far += amount
    return so_far


@pytest.mark.parametrize("install", [sys.settrace, sys.setprofile])
def test_variables_of_functions_that_are_traced_stay(install: Callable[[Any], None]) -> None:
    """What a debugger's callback does wrong costs the function it looks at nothing."""
    told: list[str] = []

    def look(frame: FrameType, _event: str, _argument: object) -> object:
        if frame.f_code is _total.__code__:
            told.append(_keep_one())
        return look

    before = sys.gettrace(), sys.getprofile()
    install(look)
    try:
        total = _total([1, 2, 3])
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])
    assert total == 6
    assert told
    assert all("'leaked_name'" in text for text in told)


def test_looking_keeps_nothing_alive() -> None:
    """A variable of a function that was looked at, once deleted, keeps its object no longer."""
    thing = Holder()
    gone = weakref.ref(thing)
    assert "'leaked_name'" in _keep_one()
    del thing
    assert gone() is None


def test_variables_that_are_shared_with_inner_functions() -> None:
    """Cells and free variables are named like the others."""
    buffer = LockedBuffer(8)

    def keep(view: View) -> Callable[[], int]:
        leaked_cell = memoryview(view)

        def inner() -> int:
            with pytest.raises(BufferError) as caught, buffer.open():
                pass
            text = str(caught.value)
            assert "'leaked_cell'" in text
            return len(leaked_cell)

        return inner

    with pytest.raises(BufferError), buffer.open() as view:
        call = keep(view)
    assert call() == 8
    del call


def test_a_numpy_array_in_a_local_variable() -> None:
    """The collector does not see arrays; the search does."""
    buffer = LockedBuffer(32)
    with pytest.raises(BufferError) as caught, buffer.open() as view:
        leaked_array = array_of(view)[3:]
    del leaked_array
    assert "ndarray in the local variable 'leaked_array'" in str(caught.value)


def test_a_strided_memoryview() -> None:
    """A slice with a step is no simple buffer and is found all the same."""
    buffer = LockedBuffer(32)
    with pytest.raises(BufferError) as caught, buffer.open() as view:
        leaked_name = memoryview(view)[::2]
    leaked_name.release()
    assert "'leaked_name'" in str(caught.value)


def test_a_ctypes_array() -> None:
    """Found under the name of the variable that holds it."""
    buffer = LockedBuffer(32)
    with pytest.raises(BufferError) as caught, buffer.open("rw") as view:
        leaked_array = (ctypes.c_char * 8).from_buffer(view)
    del leaked_array
    assert "'leaked_array'" in str(caught.value)


@pytest.fixture
def all_objects() -> Iterator[None]:
    """This module's own variables among them, which conftest.py had the collector forget."""
    gc.unfreeze()
    yield
    gc.freeze()


@pytest.mark.usefixtures("all_objects")
def test_a_global_variable() -> None:
    """Its name and the module's."""

    def keep(view: View) -> None:
        global KEPT_GLOBALLY
        KEPT_GLOBALLY = memoryview(view)

    text = complaint(keep)
    keep_nothing = globals()
    keep_nothing["KEPT_GLOBALLY"] = None
    assert "memoryview in the global variable 'KEPT_GLOBALLY'" in text
    assert "test_keepers" in text


def test_an_attribute() -> None:
    """The attribute's name and the class of its object, also when nobody ever asked for its ``__dict__``."""
    holder = Holder()
    text = complaint(lambda view: setattr(holder, "kept", memoryview(view)))
    del holder.kept
    assert "memoryview in the attribute 'kept' of a Holder object" in text


def test_an_attribute_in_a_slot() -> None:
    """At least the class that holds it."""
    holder = Slotted()
    text = complaint(lambda view: setattr(holder, "kept", memoryview(view)))
    del holder.kept
    assert "Slotted" in text


@pytest.mark.parametrize("kind", ["list", "tuple", "dict"])
def test_a_container(kind: str) -> None:
    """The kind of container; a dict's key is content as much as its values are."""
    held: list[object] = []

    def keep(view: View) -> None:
        raw = memoryview(view)
        held.append({"list": [raw], "tuple": (raw, raw), "dict": {"the key": raw}}[kind])

    text = complaint(keep)
    held.clear()
    assert f"memoryview in a {kind}" in text
    assert "the key" not in text


def test_a_generator() -> None:
    """A suspended generator that has it in a variable is called one."""

    def generate(leaked_name: memoryview) -> Iterator[int]:
        yield leaked_name[0]

    held: list[Iterator[int]] = []

    def keep(view: View) -> None:
        held.append(generate(memoryview(view)))
        next(held[0])

    text = complaint(keep)
    held.clear()
    assert "generator" in text


def test_many_keepers_are_counted_not_listed() -> None:
    """Three are named, the rest is a number; the error stays readable."""
    held: list[dict[str, object]] = []
    text = complaint(lambda view: held.extend({f"key {i}": memoryview(view)} for i in range(100)))
    held.clear()
    assert "more" in text
    assert len(text) < 1000


def test_neither_content_nor_address_is_told() -> None:
    """Names and types only."""
    buffer = LockedBuffer(32)
    with pytest.raises(BufferError) as caught, buffer.open("rw") as view:  # noqa: PT012
        view[:] = b"hunter2-hunter2-hunter2-hunter2-"
        leaked_name = memoryview(view)
    leaked_name.release()
    text = str(caught.value)
    assert __file__ in text
    text = text.replace(__file__, "")  # which may have anything in it: temporary folders have random names
    assert "hunter2" not in text
    assert "0x" not in text
