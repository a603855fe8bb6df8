"""The house rule: imports point one way, and only certain rooms hold certain things."""

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "strongroom"

#: From the ground up: a module may import from lower numbers, and from its own package.
LEVELS = {
    "exceptions": 0,
    "guarantees": 0,
    "policy": 1,
    "_main_only": 0,
    "_loading": 1,
    "_native": 1,
    "_os": 2,
    "_sodium": 2,
    "vm": 3,
    "buffers": 3,
    "secret": 4,
    "process": 4,
    "": 5,  # the façade
    "report": 6,
    "scan": 6,
    "doctor": 6,
    "prove": 7,
    "testing": 7,
    "cli": 8,
    "__main__": 8,
}
#: Above the façade only its names are used, not the rooms below it.
USERS_OF_THE_FACADE = {"prove", "testing", "cli", "__main__"}
#: Packages with an ``__all__`` of their own, which the façade leaves out because importing them costs time. They are
#: for everybody as they are, and their modules are not.
PUBLIC_ROOMS = {"vm"}


def room_of(module: str) -> str:
    """The first name below strongroom: ``strongroom.buffers.locked`` lives in ``buffers``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def python_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name: str) -> bool:
    """Whether a dotted name is a module of the package, not something in one."""
    path = PACKAGE.parent / name.replace(".", "/")
    return path.with_suffix(".py").exists() or path.is_dir() or name == "strongroom._native"


def imports_of(path: Path) -> Iterator[str]:
    """Every strongroom module that a file imports, relative imports and functions' own ones included."""
    package = module_of(path).split(".")
    yield from read_imports(path, package if path.name == "__init__.py" else package[:-1])


def read_imports(path: Path, package: list[str]) -> Iterator[str]:
    """The same of a file that counts as one of a package."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] == "strongroom")
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            if base.split(".")[0] == "strongroom":
                for name in node.names:
                    yield f"{base}.{name.name}" if is_module(f"{base}.{name.name}") else base


def breaches(module: str, imported: list[str]) -> list[str]:
    """Each import of ``module`` that points the wrong way, in words."""
    here = room_of(module)
    found = []
    for other in imported:
        there = room_of(other)
        if there == here and here != "":
            continue
        if LEVELS[there] >= LEVELS[here]:
            found.append(f"{module} imports {other}: {there or 'the façade'} is not below {here or 'the façade'}")
        is_public = there in PUBLIC_ROOMS and other == f"strongroom.{there}"
        if here in USERS_OF_THE_FACADE and LEVELS[there] < LEVELS[""] and not is_public:
            found.append(f"{module} imports {other}: only the façade's names are for it")
        if ".attackers" in module and there in ("_native", "scan", *PUBLIC_ROOMS):
            found.append(f"{module} imports {other}: evidence must come by a different road")
    return found


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    """A module imports only what lies below it."""
    assert breaches(module_of(path), list(imports_of(path))) == []


def imported_when_run(tree: ast.AST) -> Iterator[str]:
    """The first names of what is imported, but for what only a type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]
        yield from imported_when_run(node)


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_are_installed_with_the_package(path: Path) -> None:
    """Nothing is imported but Python's own modules, the package and what it depends on."""
    imported = set(imported_when_run(ast.parse(path.read_text(encoding="utf-8"))))
    private = {"_xxsubinterpreters"}  # Python's own, and in no list of its modules
    optional = {"pydantic_core"} if path.name == "field.py" else set()  # its functions are called by pydantic alone
    assert imported - sys.stdlib_module_names - private <= {"strongroom", "nacl"} | optional


def test_an_import_that_is_not_installed_is_noticed() -> None:
    """The control: what stands under TYPE_CHECKING does not count, what stands in a try does."""
    code = "if TYPE_CHECKING:\n    import one\ntry:\n    from two.three import four\nexcept ImportError: pass"
    assert list(imported_when_run(ast.parse(code))) == ["two"]


def test_a_breach_is_noticed() -> None:
    """The rule can fail: upward, sideways, past the façade and by an attacker."""
    assert breaches("strongroom.buffers.locked", ["strongroom.secret"])
    assert breaches("strongroom.vm.region", ["strongroom.buffers"])
    assert breaches("strongroom.prove.runner", ["strongroom._native"])
    assert len(breaches("strongroom.prove.attackers.memory", ["strongroom._native"])) == 2


def test_public_rooms_are_open_to_users_and_their_modules_are_not(tmp_path: Path) -> None:
    """``from strongroom import vm`` is no breach; what lies within vm, or a room that is not public, is one."""
    for code, expected in {
        "from strongroom import vm": 0,
        "from strongroom.vm import regions": 0,
        "import strongroom.vm": 0,
        "from strongroom.vm import listing": 1,
        "from strongroom.vm.listing import regions": 1,
        "import strongroom.vm.win32": 1,
        "from strongroom import buffers": 1,
        "from strongroom._os import procfs": 1,
    }.items():
        path = tmp_path / "user.py"
        path.write_text(code, encoding="utf-8")
        imported = list(read_imports(path, ["strongroom", "cli"]))
        assert len(breaches("strongroom.cli.map", imported)) == expected, code
    assert breaches("strongroom.exceptions", ["strongroom.vm"])  # public is not below everything
    assert breaches("strongroom.prove.attackers.memory", ["strongroom.vm"])  # nor a different road
    for room in PUBLIC_ROOMS:
        assert importlib.import_module(f"strongroom.{room}").__all__


def test_relative_imports_are_seen(tmp_path: Path) -> None:
    """Dots do not hide where an import leads."""
    here = PACKAGE / "prove" / "attackers" / "memory.py"
    assert "strongroom.prove.attackers.needles" in list(imports_of(here))
    assert any(name.startswith("strongroom.prove") for name in imports_of(PACKAGE / "prove" / "undo.py"))


def test_attackers_use_nothing_of_ours() -> None:
    """The attackers import no strongroom module outside their own package."""
    for path in sorted((PACKAGE / "prove" / "attackers").rglob("*.py")):
        for name in imports_of(path):
            assert name.startswith("strongroom.prove.attackers"), f"{path.name} imports {name}"


def test_only_the_os_room_asks_which_system_it_is() -> None:
    """``sys.platform``, ``os.name`` and ``platform.system`` are read in ``_os`` alone."""
    switch = re.compile(r"\bsys\.platform\b|\bos\.name\b|\bplatform\.system\b")
    users = [path for path in python_files() if switch.search(path.read_text(encoding="utf-8"))]
    assert {path.relative_to(PACKAGE).parts[0] for path in users} <= {"_os"}, users


def test_native_code_is_plain_c() -> None:
    """No C file includes Python.h or asks which system it is for; system headers stay in ``os_*.c``."""
    system = {"sys/mman.h", "windows.h", "unistd.h", "pthread.h", "sys/prctl.h", "sys/syscall.h", "signal.h"}
    files = sorted((PACKAGE / "native").glob("*.[ch]"))
    assert files
    for path in files:
        text = path.read_text(encoding="utf-8")
        included = set(re.findall(r'#\s*include\s*[<"]([^>"]+)[>"]', text))
        assert "Python.h" not in included, path
        assert not re.search(r"#\s*if.*\b(_WIN32|__linux__|__APPLE__)\b", text), path
        if not path.name.startswith("os_"):
            assert not included & system, path


def test_every_operating_system_has_the_same_functions() -> None:
    """Each function of the contract is defined exactly once for each system that the build knows."""
    import sys

    sys.path.insert(0, str(ROOT))
    try:
        import native_sources
    finally:
        sys.path.remove(str(ROOT))
    headers = "".join(path.read_text(encoding="utf-8") for path in sorted((PACKAGE / "native").glob("sr_os*.h")))
    declared = set(re.findall(r"\b(sr_os_\w+)\(", headers))
    for platform in ("linux", "darwin", "freebsd", "netbsd", "openbsd", "windows"):
        text = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in native_sources.sources(platform))
        defined = re.findall(r"^(?!static)[A-Za-z_][\w ]*?[ *](sr_os_\w+)\([^;{]*\)\s*\{", text, re.MULTILINE)
        assert sorted(defined) == sorted(declared), platform


@pytest.mark.parametrize(
    ("pattern", "limit"),
    [("**/*.py", 350), ("native/*.c", 300), ("native/*.h", 200), ("*.pyx", 300), ("native/*.pxi", 350)],
)
def test_files_stay_small(pattern: str, limit: int) -> None:
    """A file that outgrows its purpose is two files."""
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.glob(pattern)}
    assert sizes
    assert {path.name: size for path, size in sizes.items() if size > limit} == {}
