"""Sections among processes that start and end: what is shared, who keeps it, and what a third one finds afterwards."""

from pathlib import Path

import pytest

from children import Live, succeed
from sections import is_there, unique
from strongroom import SystemCallError, vm

SIZE = 3 * vm.GRANULARITY

#: A process that does what it is told, a line at a time, and says what came of it.
ACTOR = """
from strongroom import vm
held = {}
for line in sys.stdin:
    print(eval(line), flush=True)
"""


class Actor(Live):
    """A process that is told what to do."""

    def __init__(self) -> None:
        super().__init__(ACTOR)

    def do(self, code: str) -> str:
        """Have it evaluate an expression; return what it prints."""
        self.send(code.encode() + b"\n")
        return self.line()

    def leave(self) -> None:
        """Let it end as programs do."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(60) == 0


@pytest.fixture
def name() -> str:
    return unique()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "mapped"
    file.write_bytes(b"....")
    return file


def mapped(path: Path, protection: str = "READ_WRITE") -> str:
    """An expression that keeps a view of all of a file of SIZE bytes."""
    return f"held.update(file=vm.map_file(os.open({str(path)!r}, os.O_RDWR), 0, {SIZE}, vm.{protection}))"


@pytest.mark.parametrize("end", ["leaves", "is killed"])
def test_a_name_and_a_file_among_three(end: str, name: str, path: Path) -> None:
    """Two share a name and a file; however the last of them ends, a third finds the file as they left it, no name."""
    with Actor() as one, Actor() as two:
        one.do(f"held.update(name=vm.create_section({SIZE}, name={name!r}).map())")
        two.do(f"held.update(name=vm.open_section({name!r}).map())")
        for actor in (one, two):
            actor.do(mapped(path))
        one.do("[held[what].write(0, b'one') for what in held]")
        assert two.do("[held[what].read(0, 3) for what in held]") == "[b'one', b'one']"
        two.do(f"[held[what].write({SIZE - 3}, b'two') for what in held]")
        assert one.do(f"[held[what].read({SIZE - 3}, 3) for what in held]") == "[b'two', b'two']"
        one.leave()
        assert is_there(name)
        assert two.do("held['name'].read(0, 3)") == "b'one'"
        if end == "leaves":
            two.leave()
    third = f"""
        from strongroom import vm
        try:
            vm.open_section({name!r})
        except SystemCallError as error:
            print("no name")
        with open({str(path)!r}, "rb") as file, vm.map_file(file, protection=vm.READ_ONLY) as view:
            print(view.size, view.read(0, 4), view.read({SIZE - 3}))
        with vm.create_section(1, name={name!r}) as section, section.map() as view:
            print(section.existed, view.read(0, 1))
    """
    assert succeed(third).splitlines() == ["no name", f"{SIZE} b'one.' b'two'", "False b'\\x00'"]
    assert path.stat().st_size == SIZE


def test_the_file_grows_while_others_show_it(path: Path) -> None:
    """A view of more than the file has makes it larger for all; views that are there keep their size."""
    with Actor() as one, Actor() as two:
        one.do(mapped(path))
        two.do(f"held.update(far=vm.map_file(os.open({str(path)!r}, os.O_RDWR), {4 * SIZE}, 10))")
        two.do("held['far'].write(0, b'far')")
        assert one.do("held['file'].size") == str(SIZE)
        assert one.do("held['file'].read(0, 5)") == r"b'....\x00'"
        one.do(f"held.update(again=vm.map_file(os.open({str(path)!r}, os.O_RDWR)))")
        assert one.do(f"(held['again'].size, held['again'].read({4 * SIZE}))") == repr(
            (4 * SIZE + 10, b"far" + bytes(7))
        )


def test_a_copy_is_seen_by_none_of_the_others(path: Path) -> None:
    """Of three views of one file in three processes one is WRITE_COPY: what it wrote is nowhere else."""
    with Actor() as one, Actor() as two, Actor() as three:
        one.do(mapped(path))
        two.do(mapped(path, "WRITE_COPY"))
        three.do(mapped(path, "READ_ONLY"))
        two.do("held['file'].write(1, b'!')")
        one.do("held['file'].write(2, b'?')")
        assert [actor.do("held['file'].read(0, 4)") for actor in (one, two, three)] == ["b'..?.'", "b'.!..'", "b'..?.'"]
        two.do("held['file'].flush()")
        assert path.read_bytes()[:4] == b"..?."


def test_a_name_that_was_made_twice_is_one(name: str) -> None:
    """Who makes a name that another process has made gets that one, as large as it is, and says so."""
    with Actor() as one, vm.create_section(SIZE, name=name) as section, section.map() as view:
        view.write(0, b"1337")
        one.do(f"held.update(section=vm.create_section(1, name={name!r}))")
        assert one.do("(held['section'].existed, held['section'].size)") == f"(True, {SIZE})"
        assert one.do("held['section'].map().read(0, 4)") == "b'1337'"
    assert not section.existed
    with pytest.raises(SystemCallError):
        vm.open_section(name)
