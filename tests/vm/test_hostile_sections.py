"""Sections, files and views with every argument wrong in every way: named errors, and the file as it was."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hostile import HOSTILE, MARKER
from strongroom import StrongroomError, vm

CONTENT = bytes(range(256)) * 512
RIGHT: dict[str, dict[str, object]] = {
    "create_section": {"size": 4096, "file": None, "name": None, "protection": vm.READ_WRITE},
    "open_section": {"name": "nobody-has-this-one", "protection": vm.READ_WRITE},
    "map_file": {"file": None, "offset": 0, "size": 4096, "protection": vm.READ_ONLY},
    "Section.map": {"offset": 0, "size": 4096, "protection": vm.READ_ONLY},
    "MappedView.flush": {"offset": 0, "size": 1},
    "MappedView.view": {"offset": 0, "size": 1, "mode": "r"},
    "MappedView.protect": {"offset": 0, "size": 1, "protection": vm.READ_ONLY},
}
CASES = [(call, argument) for call, right in RIGHT.items() for argument in right]


def _function(call: str) -> Callable[..., Any]:
    house, _, method = call.rpartition(".")
    return getattr(getattr(vm, house) if house else vm, method)  # type: ignore[no-any-return]


def test_the_table_has_every_argument() -> None:
    """And in their order."""
    taken = {call: [name for name in inspect.signature(_function(call)).parameters if name != "self"] for call in RIGHT}
    assert taken == {call: list(right) for call, right in RIGHT.items()}


@pytest.mark.parametrize(("call", "argument"), CASES, ids=[".".join(case) for case in CASES])
def test_wrong_arguments_are_named(call: str, argument: str, tmp_path: Path) -> None:
    """TypeError, ValueError or one of strongroom's own; the argument by its name, its content never."""
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    wrong = []
    with path.open("r+b") as file, vm.create_section(file=file) as section, section.map() as view:
        holders: dict[str, Any] = {"Section": section, "MappedView": view}
        for kind, value in HOSTILE.items():
            arguments = RIGHT[call] | ({"file": file} if call == "map_file" else {}) | {argument: value}
            if kind == "2**31" and argument == "size" and call == "map_file":
                continue  # right: the file would grow to it
            held = [holders[call.partition(".")[0]]] if "." in call else []
            try:
                made = _function(call)(*held, **arguments)
                if hasattr(made, "__exit__"):
                    with made:
                        pass
            except (TypeError, ValueError) as error:
                if argument not in str(error) or MARKER in str(error) or "4300" in str(error):
                    wrong.append(f"{kind}: {type(error).__name__}: {error}")
            except (StrongroomError, OSError) as error:
                if MARKER in str(error):
                    wrong.append(f"{kind}: {type(error).__name__}: {error}")
            except Exception as error:
                wrong.append(f"{kind}: {type(error).__name__}: {error}")
            assert path.stat().st_size == len(CONTENT), kind
            assert view.read(0, 256) == CONTENT[:256]
    assert wrong == []
