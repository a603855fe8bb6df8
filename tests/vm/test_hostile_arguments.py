"""Every public function of vm with every argument wrong in every way: an error that names it, and nothing happens."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hostile import HOSTILE, MARKER
from pages import PAGE
from strongroom import AccessError, DestroyedError, LockedBuffer, Secret, StrongroomError, vm

SIZE = 4 * PAGE
#: What a call takes that is right in every way but one, for the functions of the module and the methods of Region.
RIGHT: dict[str, dict[str, object]] = {
    "reserve": {"size": SIZE, "address": None, "near": None, "top_down": False},
    "allocate": {
        "size": SIZE,
        "protection": vm.READ_WRITE,
        "address": None,
        "near": None,
        "top_down": False,
        "large_pages": False,
    },
    "is_possible": {"protection": vm.READ_WRITE},
    "protection_name": {"protection": vm.READ_WRITE},
    "query": {"address": 0},
    "pages": {"address": 0, "size": 1, "pid": None},
    "regions": {"pid": None, "detail": "maps"},
    "probe": {"address": 0, "size": 1, "mode": vm.READ_ONLY},
    "set_working_set": {"minimum": 1 << 20, "maximum": 1 << 24},
    "find_view": {"address": 0},
    "faults": {"pid": None, "thread": False},
    "translate": {"address": 0, "pid": None},
    "page_out": {"where": 0, "offset": 0, "size": 1},
    "prefetch": {"where": 0, "offset": 0, "size": 1, "wait": True},
    "page_files": {},
    "clustering": {},
    "layout": {},
    "window": {"size": SIZE},
    "large_page_size": {},
    "lock_limit": {},
    "working_set": {},
    "Region": {
        "size": SIZE,
        "address": None,
        "near": None,
        "top_down": False,
        "alignment": 0,
        "large": None,
        "allocation_protection": vm.NO_ACCESS,
    },
    "Region.commit": {"offset": 0, "size": PAGE, "protection": vm.READ_WRITE},
    "Region.decommit": {"offset": 0, "size": PAGE},
    "Region.protect": {"offset": 0, "size": PAGE, "protection": vm.READ_ONLY},
    "Region.protected": {"offset": 0, "size": PAGE, "protection": vm.READ_ONLY},
    "Region.lock": {"offset": 0, "size": PAGE},
    "Region.locked": {"offset": 0, "size": PAGE},
    "Region.unlock": {"offset": 0, "size": PAGE},
    "Region.read": {"offset": 0, "size": PAGE},
    "Region.write": {"offset": 0, "data": b"1337"},
    "Region.fill": {"offset": 0, "size": PAGE, "byte": 1},
    "Region.view": {"offset": 0, "size": PAGE, "mode": "rw"},
    "Region.secure": {"offset": 0, "size": PAGE, "mode": vm.READ_ONLY, "permanent": False},
    "Region.pages": {"offset": 0, "size": PAGE},
    "Region.page_out": {"offset": 0, "size": PAGE},
    "Region.prefetch": {"offset": 0, "size": PAGE, "wait": True},
    "Region.reset": {"offset": 0, "size": PAGE},
    "Region.undo_reset": {"offset": 0, "size": PAGE},
    "Region.release": {},
}
CASES = [(call, argument) for call, right in RIGHT.items() for argument in right]
#: Sections have their own, test_hostile_sections.py; so has physical memory, of which a size that fits would be had.
OTHERS = {"create_section", "open_section", "map_file", "physical"}
#: Right after all: what it does is somebody else's test, and lasts.
FINE = {("Region.secure", "permanent", "True")}


def _public() -> dict[str, Callable[..., Any]]:
    """Every function of vm and method of Region that a user may call; Region itself too."""
    found: dict[str, Callable[..., Any]] = {"Region": vm.Region}
    for name in vm.__all__:
        if name not in OTHERS and callable(getattr(vm, name)) and not inspect.isclass(getattr(vm, name)):
            found[name] = getattr(vm, name)
    for name in dir(vm.Region):
        if not name.startswith("_") and callable(getattr(vm.Region, name)):
            found[f"Region.{name}"] = getattr(vm.Region, name)
    return found


def test_nothing_public_is_left_out() -> None:
    """The table has each function and method with each of its arguments."""
    taken = {
        name: [parameter for parameter in inspect.signature(function).parameters if parameter != "self"]
        for name, function in _public().items()
    }
    assert taken == {name: list(right) for name, right in RIGHT.items()}


@pytest.fixture
def region() -> Iterator[vm.Region]:
    """A region that is committed, holds something and is locked once."""
    with vm.allocate(SIZE) as made:
        made.write(0, b"kept")
        made.lock()
        yield made


def _call(name: str, region: vm.Region, arguments: dict[str, Any]) -> None:
    """Call it, enter what wants to be entered, and take back what was made."""
    function = _public()[name]
    made = function(region, **arguments) if name.startswith("Region.") else function(**arguments)
    if hasattr(made, "__exit__"):
        with made:
            pass


@pytest.mark.parametrize(("call", "argument"), CASES, ids=[".".join(case) for case in CASES])
def test_wrong_arguments_are_named(region: vm.Region, call: str, argument: str) -> None:
    """TypeError, ValueError or one of strongroom's own; the argument by its name, its content never."""
    before = region.pages(), region.read()
    wrong = []
    for kind, value in HOSTILE.items():
        if (call, argument, kind) in FINE:
            continue
        try:
            _call(call, region, {**RIGHT[call], argument: value})
        except (TypeError, ValueError) as error:
            if argument not in str(error).split("(")[0] or MARKER in str(error) or "4300" in str(error):
                wrong.append(f"{kind}: {type(error).__name__}: {error}")
        except (StrongroomError, ProcessLookupError, PermissionError) as error:  # 4,096 may be another user's process
            if MARKER in str(error):
                wrong.append(f"{kind}: {type(error).__name__}: {error}")
        except Exception as error:
            wrong.append(f"{kind}: {type(error).__name__}: {error}")
        else:
            region.commit()  # it was right for this one
            region.fill()
            region.write(0, b"kept")
            while region.pages()[0].locks or len(region.pages()) > 1:
                for run in region.pages():
                    if run.locks:
                        region.unlock(run.offset, run.size)
            region.lock()
        assert (before[0], b"kept") == (region.pages(), region.read(0, 4)), kind
    assert wrong == []


@pytest.mark.parametrize("make", [LockedBuffer, Secret.random])
@pytest.mark.parametrize("kind", sorted(set(HOSTILE) - {"2**31", "0x1000"}))
def test_sizes_of_buffers(make: Callable[[Any], object], kind: str) -> None:
    """The same for what a secret is made with."""
    with pytest.raises((TypeError, ValueError), match="size must be") as raised:
        make(HOSTILE[kind])
    assert MARKER not in str(raised.value)


@pytest.mark.parametrize("mode", [MARKER, MARKER.encode(), [MARKER]])
def test_what_was_passed_is_not_printed(region: vm.Region, mode: Any) -> None:
    """A string in a place where it does not belong may be a secret: its type is all that is said."""
    for attempt in (lambda: region.view(0, 1, mode), lambda: vm.probe(region.address, 1, mode)):
        with pytest.raises((TypeError, ValueError), match=f"mode must be .*{type(mode).__name__}") as raised:
            attempt()
        assert MARKER not in str(raised.value)


@pytest.mark.parametrize("wrong", ["no", "", 0, 1, None, [], 1.0])
def test_a_yes_or_no_is_a_bool(region: vm.Region, wrong: Any) -> None:
    """Sealing cannot be undone: ``permanent="no"`` is refused, not taken for yes."""
    with pytest.raises(TypeError, match="permanent must be True or False"):
        region.secure(0, PAGE, permanent=wrong)
    with pytest.raises(TypeError, match="top_down must be True or False"):
        vm.reserve(PAGE, top_down=wrong)
    with pytest.raises(TypeError, match="top_down must be True or False"):
        vm.allocate(PAGE, top_down=wrong)
    with pytest.raises(TypeError, match="large_pages must be True or False"):
        vm.allocate(PAGE, large_pages=wrong)
    region.decommit()


def test_names_of_what_is_no_protection() -> None:
    """Bits that nobody has given a name are shown as what they are, beside those that have one."""
    assert vm.protection_name(0) == "reserved"
    assert vm.protection_name(0x1000) == "0x1000"
    assert vm.protection_name(0x3004) == "READ_WRITE | 0x3000"


def test_reading_more_than_there_is_memory_for() -> None:
    """What cannot be read is an AccessError about its pages, however much of it was asked for."""
    with vm.reserve(1 << 40) as region:
        with pytest.raises(AccessError, match="read: the page at offset 0x0 is reserved"):
            region.read()
        region.commit(0, PAGE)
        with pytest.raises(AccessError, match=f"read: the page at offset {PAGE:#x} is reserved"):
            region.read()
        region.commit(PAGE, PAGE, vm.READ_WRITE | vm.GUARD)
        with pytest.raises(AccessError, match="guards no more"):
            region.read()
        assert region.pages()[0] == (0, 2 * PAGE, vm.READ_WRITE, 0)


def test_writing_nothing_is_checked_too() -> None:
    """An offset outside and a released region are errors, if there is nothing to write as well."""
    region = vm.allocate(PAGE)
    assert region.write(0, b"") == 0
    assert region.write(PAGE, b"") == 0  # where a loop over parts ends
    with pytest.raises(ValueError, match="offset 1,000,000,000 is outside"):
        region.write(10**9, b"")
    region.release()
    for offset in (0, 10**9):
        with pytest.raises((DestroyedError, ValueError)):
            region.write(offset, b"")
    with pytest.raises(DestroyedError, match="write"):
        region.write(0, b"")


def test_a_region_is_made_once() -> None:
    """Initializing it again is refused: it would be another region under the same name, or none."""
    with vm.allocate(PAGE) as region:
        for again in ((PAGE,), (2 * PAGE,)):
            with pytest.raises(TypeError, match="made once"):
                region.__init__(*again)  # type: ignore[misc]
        assert (region.size, region.is_released) == (PAGE, False)
