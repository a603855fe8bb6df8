"""The page of `map --html` as a browser shows it on a phone: 360 pixels wide."""

import html
import json
import re
import struct
import subprocess
import zlib
from typing import Any, NamedTuple

import numpy
import pytest

import memoryrows as rows
from memoryrows import MIB, PAGE
from pages import needs_proc
from strongroom.report import html as page
from strongroom.report.style import STYLE

pytestmark = needs_proc  # where Chromium is
WIDTH, HEIGHT = 360, 440  # the totals, and some of what is below them
ROUNDED = 12  # pixels at each end of a card's edge that are no straight line
GIB, TIB = MIB << 10, MIB << 20

#: One of each thing, and what is as long as it gets.
PROCESSES = {
    "one of each": rows.account(rows.service()),
    "long": rows.account(
        [
            rows.row(1 << 30, 1023 * TIB + 600 * GIB),
            rows.row(1 << 52, PAGE, resident_size=None, swapped_size=None, is_locked=None, path="/no-blank" * 30),
        ],
        name="a-name-without-a-blank-" * 3,
        unread=("read /proc/4242" + "/no-blank" * 30,),
    ),
}

#: A browser's own windows are wider than phones are. The page is a document of the same origin, which can be measured.
FRAME = """<iframe width="{width}" height="{height}" style="border:0;display:block" srcdoc="{page}" onload="
    const inner = this.contentDocument, told = {{}};
    told.width = inner.documentElement.scrollWidth;
    told.cut = [...inner.querySelectorAll('section, section *')].filter(
        one => one.scrollWidth > one.clientWidth && one.clientWidth > 0
            && !['auto', 'scroll'].includes(getComputedStyle(one).overflowX) && !one.closest('.map')
    ).map(one => one.tagName + '.' + one.className + ' ' + one.textContent.slice(0, 40));
    this.title = JSON.stringify(told);
"></iframe>
"""


class Look(NamedTuple):
    """What the browser made of the pages: of each how wide it is and what is cut off; the first one's pixels."""

    told: dict[str, Any]
    pixels: Any


def pixels(png: bytes) -> Any:
    """The colours of a picture as browsers write it: an array of rows, of pixels, of red, green and blue."""
    at, data, head = 8, b"", (0,) * 7
    while at < len(png):
        (size,), kind, content = struct.unpack_from(">I", png, at), png[at + 4 : at + 8], png[at + 8 :]
        if kind == b"IHDR":
            head = struct.unpack_from(">IIBBBBB", content)
        elif kind == b"IDAT":
            data += content[:size]
        at += 12 + size
    width, height, depth, colours, _, _, interlaced = head
    assert (depth, interlaced) == (8, 0)
    step = {2: 3, 6: 4}[colours]
    flat, before, lines = zlib.decompress(data), bytearray(width * step), []
    for begin in range(0, height * (width * step + 1), width * step + 1):
        line = bytearray(flat[begin + 1 : begin + 1 + width * step])
        for i in range(len(line)) if flat[begin] else ():
            left, corner = (line[i - step], before[i - step]) if i >= step else (0, 0)
            above = before[i]
            guess = left + above - corner
            nearest = min((left, above, corner), key=lambda one: abs(guess - one)) if flat[begin] == 4 else 0
            line[i] = line[i] + (0, left, above, (left + above) // 2, nearest)[flat[begin]] & 255
        lines.append(before := line)
    return numpy.array(lines, dtype=numpy.uint8).reshape(height, width, step)[:, :, :3]


@pytest.fixture(scope="module")
def look(chromium: list[str], tmp_path_factory: pytest.TempPathFactory) -> Look:
    """The pages, each in a frame as wide as a phone, the first one at the top."""
    folder = tmp_path_factory.mktemp("phone")
    document, shot = folder / "document.html", folder / "shot.png"
    texts = ["".join(page.page(account, "2026-11-22 12:00:00 +0000")) for account in PROCESSES.values()]
    frames = "".join(FRAME.format(width=WIDTH, height=HEIGHT, page=html.escape(text)) for text in texts)
    document.write_text(f'<!doctype html><meta charset="utf-8"><body style="margin:0">{frames}', encoding="utf-8")
    command = [*chromium, "--hide-scrollbars", f"--window-size=500,{HEIGHT}", f"--screenshot={shot}", "--dump-dom"]
    done = subprocess.run([*command, document.as_uri()], capture_output=True, text=True, timeout=300, check=True)
    titles = re.findall(r'<iframe[^>]* title="(\{[^"]*)"', done.stdout)
    told = [json.loads(html.unescape(title)) for title in titles]
    return Look(dict(zip(PROCESSES, told, strict=True)), pixels(shot.read_bytes())[:, :WIDTH])


def test_totals_have_all_their_lines(look: Look) -> None:
    """What divides the five totals goes from edge to edge, beside the place that has none, too."""
    colour = re.search(r"--line:#([0-9a-f]{6})", STYLE)
    assert colour
    is_line = (look.pixels == tuple(bytes.fromhex(colour[1]))).all(axis=2)
    lengths = is_line.sum(axis=1)
    across = [int(y) for y in numpy.flatnonzero(lengths > WIDTH / 3)]
    assert lengths.max() > WIDTH * 0.8
    assert len(across) >= 4  # above, between and below three lines of totals
    assert [int(lengths[y]) for y in across if lengths[y] < lengths.max() - 2 * ROUNDED] == []
    top, bottom = across[0], across[3]
    down = is_line[top : bottom + 1].sum(axis=0)
    assert any(down[WIDTH // 3 : -WIDTH // 3] == bottom + 1 - top)


@pytest.mark.parametrize("name", PROCESSES)
def test_nothing_is_wider_than_the_screen(look: Look, name: str) -> None:
    """What does not fit is scrolled by itself: the page is not, and no word stands beside its card."""
    assert look.told[name] == {"width": WIDTH, "cut": []}
