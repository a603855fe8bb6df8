"""What users see of the package: exported names, the stub, what importing does, the version."""

import ast
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import strongroom
from documents import ROOT
from strongroom import _native


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
    del stub["_Host"], stub["_Lockable"]  # for the type checker: a protocol, and what two classes have in common
    imported = {*strongroom.exceptions.__all__, "NO_SUCH_CALL", "annotations"}
    module = {name for name in vars(_native) if not name.startswith("_") and name not in imported}
    assert set(stub) == module
    for name, members in stub.items():
        kind = getattr(_native, name)
        if inspect.isclass(kind):
            own = {member for member in vars(kind) if not re.fullmatch(r"__\w+__", member)}
            own -= {"__pyx_vtable__"}
            assert {m for m in members if not re.fullmatch(r"__\w+__", m)} == own, name


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


def test_the_package_says_its_version_once() -> None:
    """``__version__`` is the version that was packaged."""
    assert f'version = "{strongroom.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f"## {strongroom.__version__} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
