"""docs/prove.md and the schema of --json: their words, exit codes and sizes are the program's."""

import json
import os
import re
from pathlib import Path

import pytest

from documents import read, table
from strongroom.prove import model

PAGE = read("docs/prove.md")
#: So far may the file system of another mkfs.ext4 be from what the page says.
TOLERANCE_MIB = 1.5


def test_every_word_is_explained_and_no_other() -> None:
    """The table of words has each that a cell can show."""
    words = {re.sub(" [(].*", "", first.strip("`")) for first in list(table(PAGE, "## Words"))[2:]}
    assert words == set(model._SEVERITY)


def test_a_loss_that_nobody_noticed_is_in_every_list_of_exit_codes() -> None:
    """1 is a leak, or contents lost without a word: the page and the schema say both (and --help: tests/cli)."""
    codes = table(PAGE, "## Exit codes")
    assert list(codes)[2:] == ["0", "1", "2", "3", "4"]
    assert "lost its contents without saying so" in codes["1"][0]
    told = json.loads(read("docs/schema/prove.schema.json"))["properties"]["exit_code"]
    assert told["enum"] == [0, 1, 3]
    assert f"1 leaked, or lost without a word ({model.UNNOTICED})" in told["description"]


def test_the_sizes_of_what_it_makes() -> None:
    """Swap file and disk image are as large as the page says."""
    pytest.importorskip("fcntl", reason="needs a Unix")
    from strongroom.prove import changes, disk

    assert f"a {changes.SWAP_SIZE >> 20} MiB swap file" in PAGE
    assert f"a {disk.DISK_SIZE >> 20} MiB disk image" in PAGE


def test_what_a_disk_image_takes(request: pytest.FixtureRequest) -> None:
    """So much of the image is used, by the count of the file system that it lies on."""
    pytest.importorskip("fcntl", reason="needs a Unix")
    made = request.getfixturevalue("own_disk")
    point = os.open(made.point, os.O_RDONLY)
    try:
        os.fsync(point)
    finally:
        os.close(point)
    image = os.open(made.path, os.O_RDONLY)
    try:
        os.fsync(image)
    finally:
        os.close(image)
    (said,) = re.findall(r"\(about ([0-9]+) MiB are used\)", PAGE)
    assert abs(Path(made.path).stat().st_blocks * 512 / (1 << 20) - int(said)) < TOLERANCE_MIB
