"""Where the page of `map --html` goes: whole or not at all, for its user alone, through no link."""

import io
import os
import stat
from pathlib import Path
from typing import Any

import pytest

import needs
from strongroom import cli
from strongroom.cli import mapping
from strongroom.report import memory


@pytest.mark.usefixtures("made_up")
def test_html_is_written_whole_and_for_its_user_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file is there when it is complete, with nothing beside it; who may read the old one does not see the new."""
    target = tmp_path / "map.html"
    target.write_text("before")
    assert cli.main(["map", "self", "--html", str(target)]) == 0
    text = target.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert text.endswith("</html>\n")
    assert [path.name for path in tmp_path.iterdir()] == ["map.html"]
    if not needs.WINDOWS:
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert capsys.readouterr().out == ""
    assert cli.main(["map", "self", "--html", "-"]) == 0
    assert capsys.readouterr().out.startswith("<!doctype html>")


@pytest.mark.usefixtures("made_up")
def test_html_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error while the page is made: 4, the old file is as it was, and no half of a new one lies beside it."""

    def pages(*_: object, **__: object) -> Any:
        yield "half"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("strongroom.report.html.page", pages)
    target = tmp_path / "map.html"
    target.write_text("before")
    assert cli.main(["map", "self", "--html", str(target)]) == 4
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["map.html"]


@pytest.mark.usefixtures("made_up")
def test_html_on_standard_output_is_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page calls itself UTF-8: so it is, on a terminal or console of another encoding, too (Windows' is one)."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252", write_through=True)
    monkeypatch.setattr("sys.stdout", stream)
    assert cli.main(["map", "self", "--html", "-"]) == 0
    told = stream.buffer.getvalue().decode("utf-8")
    assert '<meta charset="utf-8">' in told
    assert "⋯" in told
    assert ">·<" in told


@needs.unix
@pytest.mark.usefixtures("made_up")
def test_a_link_that_is_put_there_late_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes one between the look at the arguments and the writing gets nothing overwritten; 4."""
    victim, target = tmp_path / "victim", tmp_path / "map.html"
    victim.write_text("before")
    whole = mapping.read

    def read(*given: Any, **named: Any) -> memory.Account:
        target.symlink_to(victim)
        return whole(*given, **named)

    monkeypatch.setattr(mapping, "read", read)
    assert cli.main(["map", "self", "--html", str(target)]) == 4
    assert victim.read_text() == "before"


@needs.unix
@pytest.mark.usefixtures("made_up")
def test_places_that_are_no_files(tmp_path: Path) -> None:
    """A folder, a folder that is missing and a link are usage errors; a device or pipe is written to, not replaced."""
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    for place in (tmp_path, tmp_path / "missing" / "x.html", tmp_path / "link", ""):
        with pytest.raises(SystemExit) as ended:
            cli.main(["map", "self", "--html", str(place)])
        assert ended.value.code == 2
    assert not (tmp_path / "victim").exists()
    assert cli.main(["map", "self", "--html", "/dev/null"]) == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
