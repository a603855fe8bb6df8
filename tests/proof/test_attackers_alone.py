"""The attackers share nothing with the library: evidence by a different road."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="needs a Unix")

from strongroom.prove import spawn
from strongroom.prove.attackers import needles

pytestmark = pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="needs Linux")
ATTACKERS = Path(needles.__file__).parent


def imports_of(path: Path, package: str) -> set[str]:
    """Absolute names of everything a file imports, relative imports resolved."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {module} | {f"{module}.{name.name}" for name in node.names if node.module is None}
    return names


ALLOWED = {
    "__future__",
    "ast",
    "collections.abc",
    "contextlib",
    "ctypes",
    "errno",
    "fcntl",
    "json",
    "mmap",
    "os",
    "struct",
    "sys",
    "typing",
}


@pytest.mark.parametrize("path", sorted(ATTACKERS.glob("*.py")), ids=lambda path: path.name)
def test_attackers_import_only_the_standard_library_and_each_other(path: Path) -> None:
    """Evidence by a different road: nothing of strongroom is behind an attacker, by whatever spelling."""
    inside = "strongroom.prove.attackers"
    for name in imports_of(path, inside):
        assert name in ALLOWED or name == inside or name.startswith(inside + "."), f"{path.name} imports {name}"
    assert "importlib" not in path.read_text()


def test_a_forbidden_import_would_be_noticed(tmp_path: Path) -> None:
    """The rule can fail, also for relative spellings."""
    (tmp_path / "x.py").write_text("from ... import _native\nfrom ...scan import engine\nimport strongroom\n")
    assert imports_of(tmp_path / "x.py", "strongroom.prove.attackers") == {
        "strongroom", "strongroom._native", "strongroom.scan",
    }  # fmt: skip


@pytest.mark.parametrize("module", ["attackers.entry", "janitor"])
def test_attackers_and_janitor_run_without_strongroom(module: str) -> None:
    """In their own bare process no module of strongroom is loaded at all."""
    command = spawn.bare_command(module)
    code = command[4].split("; sys.exit")[0] + "; print(sorted(sys.modules))"
    told = subprocess.run([*command[:4], code, command[5]], capture_output=True, text=True, check=True).stdout
    assert f"'prove.{module}'" in told
    assert "strongroom" not in told
    assert "_native" not in told
