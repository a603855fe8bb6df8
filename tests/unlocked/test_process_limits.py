"""The process's own limits, on descriptors and on the size of files: met for real, and named in the error."""

import json
from pathlib import Path
from typing import Any

import pytest

import loopmounted
import needs
from children import succeed

pytestmark = needs.linux
#: Run with the error of each way, or its backing, in ``told``; what stands between is done while the limit holds.
BEGIN = """
import resource
from strongroom import FileBuffer, VolatileBuffer
directory = {directory!r}
def made(make):
    try:
        with make() as buffer:
            return [buffer.backing, ""]
    except Exception as error:
        return [type(error).__name__, str(error)]
def each():
    return dict(
        file=made(lambda: FileBuffer(5000, directory)),
        partial=made(lambda: VolatileBuffer(32, backing="partial", directory=directory)),
        fallback=made(lambda: LockedBuffer(
            5000, isolated=True, policy=Policy(fallback=("file",), directory=directory))),
    )
children.limit_locks(0)
each()  # whatever is opened once for all
told = []
def low(kind, limit):
    resource.setrlimit(kind, (limit, resource.getrlimit(kind)[1]))
"""


def told(code: str, directory: Path) -> list[dict[str, Any]]:
    """Run code in a child and return its list ``told``."""
    begin = BEGIN.format(directory=str(loopmounted.on_disk(directory)))
    result: list[dict[str, Any]] = json.loads(succeed(f"import warnings\n{begin}\n{code}\nprint(json.dumps(told))"))
    return result


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    """With none, one and two to be had the error advises about descriptors; a fallback says the same. Then all serve.

    A directory of which it cannot be told for want of a descriptor is not said to lie in memory.
    """
    *few, enough = told(
        """
low(resource.RLIMIT_NOFILE, 32)
taken = []
try:
    while True:
        taken.append(os.open("/", os.O_RDONLY))
except OSError:
    pass
for _ in range(3):
    told.append(each())
    os.close(taken.pop())
while taken:
    os.close(taken.pop())
told.append(each())
""",
        tmp_path,
    )
    assert {kind: made[0] for kind, made in enough.items()} == {
        "file": "file",
        "partial": "partial",
        "fallback": "file",
    }
    refused = [made for answers in few for made in answers.values() if made[0] not in ("file", "partial")]
    assert len(refused) >= 6
    for answers in few:
        for kind, (made, words) in answers.items():
            if made in ("file", "partial"):
                continue
            assert made == ("LockLimitError" if kind == "fallback" else "SystemCallError"), words
            assert "Too many open files" in words
            assert "ulimit -n" in words or kind == "fallback"
            assert "Name a directory" not in words
            assert "lies in memory" not in words


@pytest.mark.parametrize("limit", [0, 511])
def test_a_file_that_may_not_be_so_large(tmp_path: Path, limit: int) -> None:
    """``ulimit -f``: the error names that limit. With room for 512 bytes a partial page is made, and no larger file."""
    low, some = told(
        f"""
low(resource.RLIMIT_FSIZE, {limit})
told.append(each())
low(resource.RLIMIT_FSIZE, 4096)
told.append(each())
""",
        tmp_path,
    )
    for kind, words in [low["file"], low["partial"], some["file"]]:
        assert kind == "SystemCallError"
        assert "File too large" in words
        assert "ulimit -f" in words
    assert some["partial"] == ["partial", ""]
