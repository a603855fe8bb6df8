"""What ``help()`` shows: each public name has its docstring under the headings, and each test says what it holds."""

import ast
import inspect
import re
import textwrap
from typing import Any

import strongroom
import strongroom.vm.win32
from documents import ROOT
from strongroom import _native, vm

#: The headings of a public docstring, in their order.
HEADINGS = (
    "Args:",
    "Returns:",
    "Raises:",
    "Platform notes:",
    "Does not protect against:",
    "Source:",
    "Version added:",
)
#: What hands out a secret or a copy of one is annotated with one of these.
SECRET_RETURNS = {"Self", "bytes", "str"}


def missing_headings(thing: Any) -> list[str]:
    """What the docstring of a class or function lacks of what its code calls for."""
    text = inspect.getdoc(thing) or ""
    lines = text.splitlines()
    expected = ["Version added:"]
    function = thing.__init__ if inspect.isclass(thing) else thing
    if inspect.isfunction(function):
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        has_raise = any(isinstance(node, ast.Raise) for node in ast.walk(tree))
        if has_raise or (thing is function and "It raises nothing" not in text):
            expected.append("Raises:")
        names = inspect.signature(function).parameters
        if any(name not in ("self", "cls") and not name.startswith("_") for name in names):
            expected.append("Args:")
        returns = str(function.__annotations__["return"])
        if returns != "None":
            expected.append("Returns:")
        if returns in SECRET_RETURNS:
            expected.append("Does not protect against:")
    if inspect.isclass(thing) and issubclass(thing, _native.Block | _native.Sealed):
        expected += ["Raises:", "Platform notes:", "Does not protect against:", "Source:"]
    if inspect.isclass(thing) and issubclass(thing, Exception):
        expected += ["Raised when:", "What to do:"]
    missing = [heading for heading in expected if not any(line.startswith(heading) for line in lines)]
    if not lines or not re.search(r"[.:]", lines[0]) or (len(lines) > 1 and lines[1]):
        missing.append("a first line of its own")
    order = [line.split(":")[0] + ":" for line in lines]
    found = [heading for heading in order if heading in HEADINGS]
    if found != sorted(set(found), key=HEADINGS.index):
        missing.append("the order of the headings")
    return missing


def missing_in_compiled(method: Any) -> list[str]:
    """The same for a compiled method, whose code nobody can look at: what all of them need."""
    expected = ["Version added:"] + (["Args:"] if len(inspect.signature(method).parameters) > 1 else ["Raises:"])
    return [heading for heading in expected if heading not in (method.__doc__ or "")] + missing_headings(method)


def test_every_public_thing_has_a_docstring() -> None:
    """Each exported class and function says what it is, and its public methods too; in Python, under the headings."""
    lacking = {}
    for name in strongroom.__all__:
        value = getattr(strongroom, name)
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        assert value.__doc__, name
        is_compiled = value.__module__ == _native.__name__
        if not is_compiled or value is strongroom.LockedBuffer:
            lacking[name] = missing_headings(value)
        members = vars(value) if inspect.isclass(value) else {}
        if value is strongroom.LockedBuffer:  # most of it comes from what it has in common with rooms
            members = {member: getattr(value, member) for member in dir(value)}
        for member, thing in members.items():
            if member.startswith("_"):
                continue
            function = getattr(thing, "__func__", thing)  # what a class method or static method wraps
            if inspect.isfunction(function):
                lacking[f"{name}.{member}"] = missing_headings(function)
            elif isinstance(thing, property) or inspect.isgetsetdescriptor(thing):
                lacking[f"{name}.{member}"] = [] if "Version added:" in (thing.__doc__ or "") else ["Version added:"]
            elif value is strongroom.LockedBuffer:
                lacking[f"{name}.{member}"] = missing_in_compiled(thing)
            elif callable(thing):
                assert thing.__doc__, f"{name}.{member}"
    assert len(lacking) > len(strongroom.exceptions.__all__)
    assert {name: headings for name, headings in lacking.items() if headings} == {}


def public_callables() -> dict[str, Any]:
    """Every function and method that users may call, by the name they know it by."""
    found: dict[str, Any] = {}
    for house in (strongroom, vm):
        for name in house.__all__:
            value = getattr(house, name)
            if inspect.isclass(value) and not issubclass(value, Exception | dict | tuple):
                members = {member: getattr(value, member) for member in dir(value) if not member.startswith("_")}
                found |= {f"{name}.{member}": thing for member, thing in members.items() if callable(thing)}
            elif callable(value) and not inspect.isclass(value):
                found[name] = value
    return found


def test_everything_in_vm_says_what_it_raises_and_where_it_is_from() -> None:
    """Compiled or not: each function, each method of a region, and the classes that these give."""
    lacking = {}
    things = {name: thing for name, thing in public_callables().items() if getattr(vm, name.split(".")[0], None)}
    things |= {kind.__name__: kind for kind in (vm.Region, vm.RegionAccess, vm.SecureHandle)}
    for name, thing in things.items():
        text = inspect.getdoc(thing) or ""
        lines = text.splitlines()
        expected = {"Raises:", "Source:", "Version added:"} - ({"Raises:"} if "It raises nothing" in text else set())
        if not inspect.isclass(thing):
            names = [n for n in inspect.signature(thing).parameters if n != "self"]
            expected |= {"Args:"} if names else set()
            assert all(re.search(rf"^ +{n}: ", text, re.MULTILINE) for n in names), name
        lacking[name] = expected - {heading for heading in HEADINGS for line in lines if line.startswith(heading)}
        order = [line.split(":")[0] + ":" for line in lines if line.split(":")[0] + ":" in HEADINGS]
        assert order == sorted(set(order), key=HEADINGS.index), name
    assert len(lacking) > 25
    assert {name: headings for name, headings in lacking.items() if headings} == {}


def test_help_shows_the_arguments() -> None:
    """``inspect.signature`` works for whatever can be called, compiled or not, and for the classes users make."""
    without = set()
    callables = public_callables() | {kind.__name__: kind for kind in (vm.Region, strongroom.LockedBuffer)}
    for name, function in callables.items():
        try:
            inspect.signature(function)
        except ValueError:
            without.add(name)
    assert without == set()
    assert len(callables) > 50
    commit = inspect.signature(vm.Region.commit)
    assert str(commit) == f"(self, /, offset=0, size=None, protection={vm.READ_WRITE})"
    assert "--" not in str(vm.Region.commit.__doc__)


def lacking_in(module: Any) -> dict[str, list[str]]:
    """What the docstrings of a module's functions, its classes and their public methods lack."""
    lacking = {}
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isfunction(value):
            lacking[name] = missing_headings(value)
        if not inspect.isclass(value) or value.__module__ == "strongroom.exceptions":
            continue
        if value.__module__ != _native.__name__:
            lacking[name] = [] if "Version added:" in (value.__doc__ or "") else ["Version added:"]
        for member in {*dir(value)} - {*dir(tuple)}:
            method = inspect.getattr_static(value, member)
            if not member.startswith("_") and (inspect.isfunction(method) or inspect.ismethoddescriptor(method)):
                text = method.__doc__ or ""
                lacking[f"{name}.{member}"] = [] if "Version added:" in text else ["Version added:"]
    return lacking


def test_every_public_function_of_win32_has_its_headings() -> None:
    """Each function says what it takes, returns and raises, and since when; classes and methods say the last."""
    lacking = lacking_in(vm.win32)
    assert len(lacking) > 15
    assert {name: headings for name, headings in lacking.items() if headings} == {}


def test_every_test_says_what_it_holds() -> None:
    """Each test states the behaviour it checks in its docstring."""
    silent = [
        f"{path.name}: {node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert silent == []
