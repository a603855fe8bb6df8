"""What users see: exported names, the stub, the README, the numbers in the docs."""

import ast
import inspect
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import needs
import strongroom
import strongroom.vm.win32
from strongroom import _native, guarantees, policy, vm
from strongroom._os import terminal
from strongroom.buffers import planning, waiting

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md")]
PAGES_WITH_PYTHON = [
    *("README.md", "docs/buffers.md", "docs/ends.md", "docs/policy.md", "docs/pydantic.md"),
    *("docs/secret.md", "docs/tutorial.md", "docs/unlocked.md", "docs/vm/README.md", "docs/vm/win32.md"),
]


def test_all_is_sorted_and_complete() -> None:
    """``__all__`` is sorted, every name in it exists, and nothing public is missing from it."""
    assert list(strongroom.__all__) == sorted(strongroom.__all__)
    public = {
        name
        for name, value in vars(strongroom).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    }
    assert public == set(strongroom.__all__) - {"__version__"}


def test_each_exported_class_has_one_home() -> None:
    """A public class is exported by the façade and defined in exactly one module."""
    for name in strongroom.__all__:
        value = getattr(strongroom, name)
        if inspect.isclass(value):
            assert value.__module__.startswith("strongroom."), name
            assert getattr(sys.modules[value.__module__], name) is value


def test_stub_lists_what_the_module_has() -> None:
    """``_native.pyi`` and the compiled module have the same names, and their classes the same members."""
    tree = ast.parse((ROOT / "src" / "strongroom" / "_native.pyi").read_text(encoding="utf-8"))
    stub: dict[str, set[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            names = {
                item.name if isinstance(item, ast.FunctionDef) else item.target.id  # type: ignore[union-attr]
                for item in node.body
                if isinstance(item, ast.FunctionDef | ast.AnnAssign)
            }
            stub[node.name] = names
        elif isinstance(node, ast.FunctionDef):
            stub[node.name] = set()
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            stub[node.target.id] = set()
    del stub["_Host"]  # a protocol, not an object
    imported = {*strongroom.exceptions.__all__, "NO_SUCH_CALL", "annotations"}
    module = {name for name in vars(_native) if not name.startswith("_") and name not in imported}
    assert set(stub) == module
    for name, members in stub.items():
        kind = getattr(_native, name)
        if inspect.isclass(kind):
            own = {member for member in vars(kind) if not re.fullmatch(r"__\w+__", member)}
            own -= {"__pyx_vtable__"}
            assert {m for m in members if not re.fullmatch(r"__\w+__", m)} == own, name


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


def test_importing_changes_nothing() -> None:
    """``import strongroom`` locks nothing, starts nothing, and loads neither the cipher library nor slow modules."""
    code = """if True:
        import json, sys
        def state():
            status = open("/proc/self/status").read()
            return [line for line in status.splitlines() if line.startswith(("VmLck", "Threads", "SigCgt"))]
        before = state(); modules = set(sys.modules)
        import strongroom
        print(json.dumps({"same": state() == before, "new": sorted(set(sys.modules) - modules)}))
    """
    if not sys.platform.startswith("linux") or not Path("/proc/self/status").exists():
        pytest.skip("needs /proc: run on Linux")
    ran = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    seen = json.loads(ran.stdout)
    assert seen["same"]
    slow = {"dataclasses", "typing", "secrets", "pathlib", "importlib.metadata", "nacl", "cffi", "ctypes", "enum"}
    slow |= {"pydantic", "pydantic_core"}
    assert slow & set(seen["new"]) == set()


def code_blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES_WITH_PYTHON, ids=str)
def test_the_python_in_the_documents_runs(page: str, tmp_path: Path) -> None:
    """The Python of each page, one block after the other, runs as it stands, and its assertions hold."""
    blocks = code_blocks(ROOT / page, "python")
    assert blocks
    command = [sys.executable, "-I", "-c", "\n".join(blocks)]
    if "CryptProtectMemory" in command[-1] and needs.WINDOWS:
        pytest.skip("Wine's CryptProtectMemory does nothing, and is refused for that: needs Windows itself")
    if "import pydantic" in command[-1] or "from pydantic" in command[-1]:
        pytest.importorskip("pydantic", reason="needs pydantic: pip install '.[test]'")
    if "VolatileBuffer" in command[-1]:
        try:
            strongroom.VolatileBuffer(1).destroy()
            strongroom.FileBuffer(1, tmp_path).destroy()
        except strongroom.UnsupportedError as error:
            pytest.skip(f"needs memory that may vanish, and temporary files on a disk: {error}")
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr


def test_no_page_with_python_is_left_out() -> None:
    """The list above is all of them."""
    found = {page.relative_to(ROOT).as_posix() for page in DOCUMENTS if code_blocks(page, "python")}
    assert found == set(PAGES_WITH_PYTHON)


def test_ci_runs_the_readme_command() -> None:
    """``.ci/run`` runs the README's second command to the letter."""
    commands = [block.strip() for block in code_blocks(ROOT / "README.md", "sh")]
    assert commands[0].endswith("strongroom prove")
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert commands[1].endswith(".venv/bin/pytest")


def test_numbers_in_prose_are_the_constants() -> None:
    """What the documents say of sizes is what the code does."""
    locked = strongroom.LockedBuffer.__doc__ or ""
    assert re.search(rf"plus {_native.CANARY_SIZE}\s+bytes for the canary", locked)
    assert f"up to {_native.SLOT_MAX_SIZE:,} bytes" in locked.lower()
    assert f"up to {planning.SMALL_MAX_SIZE // 1024} KiB" in locked
    assert f"over {terminal.LINE_MAX_SIZE - 2:,} bytes" in (strongroom.Secret.from_prompt.__doc__ or "")
    security = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert f"a {_native.CANARY_SIZE}-byte canary" in security
    assert f"the {_native.KEY_SIZE} bytes they are sealed under" in security
    rules = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    assert f"looking every {waiting.POLL_SECONDS:g} seconds" in " ".join(rules.split())
    assert f"(for up to {planning.SMALL_MAX_SIZE // 1024} KiB)" in rules
    assert len(guarantees.ALL) == 10
    assert "ten promises" in (guarantees.__doc__ or "")


@pytest.mark.parametrize(
    ("page", "heading"),
    [("SECURITY.md", "## What is required by default"), ("docs/policy.md", "| required by default |")],
)
def test_the_table_of_defaults_is_the_code(page: str, heading: str) -> None:
    """Both pages require by default what planning does."""
    table = (ROOT / page).read_text(encoding="utf-8").partition(heading)[2]
    rows = {"linux": "Linux", "darwin": "macOS, BSD", "windows": "Windows"}
    for platform, title in rows.items():
        row = next(line for line in table.splitlines() if line.startswith(f"| {title} "))
        assert set(re.findall(r"`([A-Z_]+)`", row)) == planning.DEFAULT_REQUIRE[platform], title


def test_the_table_of_protections_is_the_code() -> None:
    """docs/vm/README.md has each constant with its value, and refuses on Unix what is refused."""
    rows = [line.split("|")[1:-1] for line in (ROOT / "docs/vm/README.md").read_text(encoding="utf-8").splitlines()]
    table = {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in rows if " 0x" in "".join(cells[1:2])}
    assert {name: int(cells[0], 16) for name, cells in table.items()} == dict(_native.PROTECTIONS)
    if sys.platform == "win32":
        return
    for name, (value, _, meaning) in table.items():
        protection = int(value, 16) | (vm.READ_WRITE if int(value, 16) >= vm.GUARD else 0)
        assert vm.is_possible(protection) == (meaning != "refused" and "views of files only" not in meaning), name


def test_documents_link_to_files_that_exist() -> None:
    """No link inside the project is dead."""
    for page in DOCUMENTS:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_package_says_its_version_once() -> None:
    """``__version__`` is the version that was packaged."""
    assert f'version = "{strongroom.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f"## {strongroom.__version__} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_table_of_fields_is_the_class() -> None:
    """docs/policy.md has each field of a Policy with its words and its default, and so has the operator's example."""
    page = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    rows = [
        line.split("|")[1:-1] for line in page.partition("## The fields")[2].partition("**`require`")[0].splitlines()
    ]
    table = {cells[0].strip(" `"): (cells[1], cells[2]) for cells in rows if cells and cells[0].startswith(" `")}
    fields = {name: value for name, value in vars(strongroom.Policy).items() if isinstance(value, property)}
    assert table.keys() == fields.keys()
    for name, (words, default) in table.items():
        assert repr(getattr(strongroom.Policy(), name)).replace("'", '"').removesuffix(".0") in default, name
        for word in re.findall(r'"(\w+)"', words):
            value = (word,) if isinstance(getattr(strongroom.Policy(), name), tuple) else word
            arguments: dict[str, Any] = {"directory": "/x", name: value}
            strongroom.Policy(**arguments)
    examples = [policy.parse(text, "the page") for text in re.findall(r'STRONGROOM_POLICY="([^"]+)"', page)]
    assert examples
    for fields_of_one in examples:
        policy.overridden(strongroom.Policy(), fields_of_one)
    assert {name for fields_of_one in examples for name in fields_of_one} == fields.keys()
