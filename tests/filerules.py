"""The rules of mapped files, each asked of the system by trying; docs/vm/files.md prints what comes out."""

import ctypes
import os
import signal
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

from children import Live, run
from sections import is_there, unique
from strongroom import AccessError, SystemCallError, vm

PAGE, STEP = vm.PAGE_SIZE, vm.GRANULARITY
#: Of the files here: two pages and a bit, so that the last page has a rest.
SIZE = 2 * PAGE + 100

NOT_THERE = "cannot come about"


def _new(directory: Path, size: int = SIZE) -> Path:
    path = directory / uuid.uuid4().hex
    path.write_bytes(b"x" * size)
    return path


def shorten(descriptor: int, size: int) -> int:
    """Make a file shorter; return 0 or the system's code. On Windows ``os.truncate`` hides a refusal."""
    if sys.platform != "win32":
        os.ftruncate(descriptor, size)
        return 0
    import msvcrt

    kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    handle = ctypes.c_void_p(msvcrt.get_osfhandle(descriptor))
    assert kernel32.SetFilePointerEx(handle, ctypes.c_longlong(size), None, 0)
    return 0 if kernel32.SetEndOfFile(handle) else ctypes.get_last_error()


def _offset(directory: Path) -> str:
    with _new(directory, 4 * 65_536).open("r+b") as file:
        for step in (1 << power for power in range(18)):
            try:
                vm.map_file(file, step).release()
            except ValueError:
                continue
            return "a page" if step == PAGE else f"{step:,} bytes"
    return "nothing"


def _other_offset(directory: Path) -> str:
    with _new(directory, 2 * STEP).open("r+b") as file:
        try:
            vm.map_file(file, STEP // 2).release()
        except ValueError:
            return "`ValueError`"
    return "taken"


def _sizes(directory: Path) -> str:
    with _new(directory).open("r+b") as file:
        for size in (1, PAGE - 1, PAGE + 1, SIZE):
            with vm.map_file(file, 0, size) as view:
                if (view.size, view.read()) != (size, b"x" * size):
                    return "rounded"
    return "any, and stays as asked"


def _rest_beyond_the_file(directory: Path) -> str:
    path = _new(directory)
    with path.open("r+b") as file, vm.map_file(file) as view:
        rest = ctypes.string_at(view.address + SIZE, PAGE - 100)
        ctypes.memset(view.address + SIZE, 1, 50)
        view.flush()
    zeros = "zeros" if rest == bytes(PAGE - 100) else "anything"
    return f"{zeros}; what is written there is " + ("lost" if path.read_bytes() == b"x" * SIZE else "kept")


def _rest_within_the_file(directory: Path) -> str:
    with _new(directory).open("r+b") as file, vm.map_file(file, 0, 10) as view:
        rest = ctypes.string_at(view.address + 10, PAGE - 10)
    return "the file's own bytes" if rest == b"x" * (PAGE - 10) else "not the file's"


def _beyond_the_end(directory: Path) -> str:
    path = _new(directory, 10)
    with path.open("r+b") as file, vm.map_file(file, STEP, 10) as view:
        zeros = view.read() == bytes(10)
    return "it grows, with zeros" if zeros and path.stat().st_size == STEP + 10 else "it does not"


def _beyond_the_end_unwritable(directory: Path) -> str:
    path = _new(directory, 10)
    with path.open("r+b") as file:
        for protection in (vm.READ_ONLY, vm.WRITE_COPY):
            try:
                vm.map_file(file, STEP, 10, protection).release()
            except SystemCallError:
                continue
            return "taken"
    return "`SystemCallError`" if path.read_bytes() == b"x" * 10 else "it has changed"


def _empty(directory: Path) -> str:
    with _new(directory, 0).open("r+b") as file:
        try:
            vm.map_file(file).release()
        except ValueError:
            return "`ValueError`"
    return "taken"


def _made_shorter(directory: Path) -> str:
    with _new(directory).open("r+b") as file, vm.map_file(file):
        code = shorten(file.fileno(), 100)
    return f"refused, with {code}" if code else "is done"


def _cut_and_copied(directory: Path) -> str:
    with _new(directory).open("r+b") as file, vm.map_file(file) as view:
        if shorten(file.fileno(), 100):
            return NOT_THERE
        for verb in (
            lambda: view.read(PAGE, 4),
            lambda: view.write(PAGE, b"lost"),
            lambda: view.fill(PAGE, 4, 1),
        ):
            try:
                verb()
            except AccessError:
                continue
            return "done"
    return "`AccessError`"


_TOUCH = """
from strongroom import vm
from filerules import PAGE, shorten
with open({path!r}, "r+b") as file, vm.map_file(file) as view, view.view(mode="rw") as window:
    if shorten(file.fileno(), 100):
        raise SystemExit(7)
    window[50]  # the control: what is left can be touched
    print("before", flush=True)
    {touch}
"""


def _cut_and_touched(directory: Path) -> str:
    ends = set()
    for touch in ("window[PAGE]", "window[PAGE] = 1"):
        done = run(_TOUCH.format(path=str(_new(directory)), touch=touch))
        if done.code == 7:
            return NOT_THERE
        assert done.out == "before\n", done
        ends.add(done.code)
    return "a fault (SIGBUS)" if ends == {-signal.SIGBUS} else f"{ends}"


def _cut_and_private(directory: Path) -> str:
    with _new(directory).open("r+b") as file, vm.map_file(file, protection=vm.WRITE_COPY) as view:
        view.write(0, b"mine")
        view.write(PAGE, b"mine")
        if shorten(file.fileno(), 100):
            return NOT_THERE
        assert view.read(0, 4) == b"mine"  # the control
        try:
            view.read(PAGE, 4)
        except AccessError:
            return "lost with it"
    return "stays"


def _longer_again(directory: Path) -> str:
    with _new(directory).open("r+b") as file, vm.map_file(file) as view:
        if shorten(file.fileno(), 100):
            return NOT_THERE
        file.truncate(SIZE)
        return "zeros" if view.read(PAGE) == bytes(SIZE - PAGE) else "anything else"


def _made_longer(directory: Path) -> str:
    with _new(directory).open("r+b", buffering=0) as file, vm.map_file(file) as view:
        file.seek(0, os.SEEK_END)
        file.write(b"new" * PAGE)
        end = ctypes.string_at(view.address + SIZE, 6)
        with vm.map_file(file) as another:
            assert another.read(SIZE, 6) == b"newnew"  # the control
        assert view.size == SIZE
    return "stays as large; its last page has more of the file" if end == b"newnew" else "nothing is seen of it"


def _coherent(directory: Path) -> str:
    with _new(directory).open("r+b", buffering=0) as file, vm.map_file(file) as view, vm.map_file(file) as other:
        view.write(10, b"view")
        seen = file.read(14)[10:] == other.read(10, 4) == b"view"
        file.seek(20)
        file.write(b"file")
        return "the same bytes, at once" if seen and view.read(20, 4) == b"file" else "others"


def _not_yet_copied(directory: Path) -> str:
    with _new(directory).open("r+b", buffering=0) as file, vm.map_file(file, protection=vm.WRITE_COPY) as view:
        assert view.read(0, 4) == b"xxxx"
        file.write(b"news")
        return "shows what others write" if view.read(0, 4) == b"news" else "does not show what others write"


def _copied(directory: Path) -> str:
    with _new(directory).open("r+b", buffering=0) as file, vm.map_file(file, protection=vm.WRITE_COPY) as view:
        view.write(10, b"mine")
        file.write(b"news")
        alone = view.read(0, 14) == b"x" * 10 + b"mine"
        view.flush()
        file.seek(10)
        return "this view's alone, whole pages of it" if alone and file.read(4) == b"xxxx" else "not alone"


def _removed(directory: Path) -> str:
    path = _new(directory)
    with path.open("r+b") as file, vm.map_file(file) as view:
        try:
            path.unlink()
        except PermissionError:
            return "refused while it is open"
        view.write(0, b"left")
        return "the view keeps the file" if view.read(0, 4) == b"left" and not path.exists() else "lost"


def _killed_before_flush(directory: Path) -> str:
    path = _new(directory)
    code = (
        "from strongroom import vm\n"
        f"with open({str(path)!r}, 'r+b') as file: view = vm.map_file(file)\n"
        "view.write(5, b'1337'); print('written', flush=True); sys.stdin.readline()"
    )
    with Live(code) as child:
        assert child.line() == "written"
    return "in the file, for everybody" if path.read_bytes() == b"xxxxx1337" + b"x" * (SIZE - 9) else "lost"


def _killed_with_a_name(directory: Path) -> str:
    name = unique()
    code = f"from strongroom import vm\nv = vm.create_section(10, name={name!r}).map()\nprint(1, flush=True); input()"
    with Live(code) as child:
        child.line()
        assert is_there(name)  # the control
    return "stays" if is_there(name) else "gone"


#: What the page says of each, word for word, and how it is found out in a directory of the test's own.
RULES: dict[str, Callable[[Path], str]] = {
    "`offset` is a multiple of": _offset,
    "another `offset`": _other_offset,
    "`size`": _sizes,
    "the last page's rest, beyond the file's end": _rest_beyond_the_file,
    "the last page's rest, within the file": _rest_within_the_file,
    "a file that is shorter than its `READ_WRITE` view is to be": _beyond_the_end,
    "than its `READ_ONLY` or `WRITE_COPY` view": _beyond_the_end_unwritable,
    "an empty file, no `size`": _empty,
    "making the file shorter under a view": _made_shorter,
    "`read`, `write`, `fill` of what was cut off": _cut_and_copied,
    "touching a View of it": _cut_and_touched,
    "a page of it that `WRITE_COPY` had copied": _cut_and_private,
    "the file is made longer again": _longer_again,
    "the file is made longer: a view of all of it": _made_longer,
    "views, and `read` and `write` of the file": _coherent,
    "a page of `WRITE_COPY`, not written": _not_yet_copied,
    "the same page, written": _copied,
    "removing the file's name": _removed,
    "a persisted file whose last user is killed before a flush": _killed_before_flush,
    "a name whose last user is killed": _killed_with_a_name,
}


def column() -> str:
    """The heading of this system's column."""
    return "Linux" if sys.platform.startswith("linux") else "Windows" if sys.platform == "win32" else "macOS, BSD"
