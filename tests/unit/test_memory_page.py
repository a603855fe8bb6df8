"""The page of --html: the terminal's picture, every name escaped, nothing fetched, readable for everybody."""

import html.parser
import re
from typing import Any

import pytest

import memoryrows as rows
from memoryrows import MIB, PAGE, account, row
from strongroom.report import html as page
from strongroom.report import picture
from strongroom.report.memory import KINDS, MARKS
from strongroom.report.style import STYLE

WHEN = "2026-11-22 12:00:00 +0000"
VOID = {"meta", "br"}


class Reader(html.parser.HTMLParser):
    """What a browser makes of a page: elements in their nesting, their attributes, the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """It must be the last one that began."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text."""
        self.text += data


def shown(rows_of: list[Any], **told: Any) -> str:
    """The page of a process with these rows."""
    has_addresses = told.pop("has_addresses", True)
    return "".join(page.page(account(rows_of, **told), WHEN, has_addresses=has_addresses))


def test_the_page_has_the_same_cells_as_the_picture() -> None:
    """Letter by letter, each piece as wide as its letters, in the colour of its letter."""
    made = account(rows.service())
    text = shown(rows.service())
    drawn = re.findall(r'<div class="row">(.*?)</div>\n', text)
    lines = picture.lines_of(made, page.PER_LINE, page.MOST_LINES)
    assert len(drawn) == len(lines)
    for html_line, line in zip(drawn, lines, strict=True):
        pieces = re.findall(r'class="p ([^"]*)" style="--n:(\d+)"[^>]*>(.*?)</(?:a|span)>', html_line)
        letters = "".join(
            picture.GAP_CELL * int(count) if classes == "free" else re.sub("</?i>", "", inner)
            for classes, count, inner in pieces
        )
        assert letters == "".join(cell.char for cell in line.cells)
        assert f"{line.address:012x}" in html_line
    for title in (kind.title for letter, kind in (KINDS | MARKS).items() if letter != "?"):
        assert title.replace("'", "&#x27;") in text or title in text, title


def test_the_page_is_well_formed_and_alone() -> None:
    """Every element is closed; no script, nothing fetched, and a policy that would forbid both."""
    reader = Reader(shown(rows.service()))
    tags = {tag for tag, _ in reader.found}
    assert tags <= {
        *(
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "main",
            "h1",
            "h2",
            "p",
            "section",
            "div",
            "dl",
            "dt",
            "dd",
        ),
        *("span", "a", "i", "b", "ul", "li", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    }
    for _, attributes in reader.found:
        assert not any(name.startswith("on") or name == "src" for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    policy = next(attributes["content"] for tag, attributes in reader.found if attributes.get("http-equiv"))
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def test_a_gap_behind_a_full_line_has_its_own() -> None:
    """Words that a wide window would cut off stand below; those that have room stand behind the cells."""
    full = [row(0, PAGE << page.PER_LINE - 1 - 60), row(1 << 62, PAGE)]
    cells = [len(line.cells) for line in picture.lines_of(account(full), page.PER_LINE, page.MOST_LINES)]
    assert cells == [page.PER_LINE - 60, 1]
    assert '"row after"' not in shown(full)
    full[:0] = [row(index * 2 * PAGE - 80 * PAGE, PAGE) for index in range(30)]
    shifted = [one._replace(address=one.address + 100 * PAGE) for one in full]
    assert len(picture.lines_of(account(shifted), page.PER_LINE, page.MOST_LINES)[0].cells) == page.PER_LINE
    text = shown(shifted)
    assert text.count('"row after"') == 1
    Reader(text)


def test_each_piece_leads_to_its_row() -> None:
    """Every link has its target, and every row its own name once."""
    reader = Reader(shown(rows.service()))
    links = {(attributes["href"] or "")[1:] for tag, attributes in reader.found if tag == "a"}
    targets = [attributes["id"] for _, attributes in reader.found if "id" in attributes]
    assert links <= set(targets)
    assert len(targets) == len(set(targets)) == len(rows.service()) - 1


@pytest.mark.parametrize(
    "name",
    [
        "/x<script>alert(1)</script>",
        '/x"><img src=x onerror=alert(1)>',
        "/x' onmouseover='alert(1)",
        "/x</title></style><script>",
        "/x&lt;b&gt;&#x3c;",
        "/x\x1b[31m\x00\u202e\udcff",
    ],
)
def test_hostile_names_are_text(name: str) -> None:
    """A file's name, and a process's own, is text wherever it stands: the page has the elements of a harmless one."""
    harmless = Reader(shown([row(PAGE, PAGE, type="mapped", path="/x")], name="x"))
    text = shown([row(PAGE, PAGE, type="mapped", path=name)], name=name, refused=None)
    hostile = Reader(text)
    assert [(tag, set(attributes)) for tag, attributes in hostile.found] == [
        (tag, set(attributes)) for tag, attributes in harmless.found
    ]
    assert all(char.isprintable() or char == "\n" for char in text)
    refused = Reader(shown([], name=name, refused=name, everybody={"VmSize": 1}))
    assert "script" not in {tag for tag, _ in refused.found}


def test_without_addresses() -> None:
    """Neither addresses nor the sizes of large gaps, in text or titles."""
    text = shown(rows.service(), has_addresses=False)
    for one in rows.service():
        assert f"{one.address:x}" not in text
    assert "TiB free" not in text
    assert "⋯ free" in text


def test_another_users_process_is_a_page_too() -> None:
    """The reason and the totals that everybody may read, and no picture."""
    text = shown([], refused="read /proc/1/smaps: Permission denied", everybody={"VmSize": 3 * MIB, "VmLck": 0})
    assert "Permission denied" in text
    assert "3.0 MiB" in text
    assert 'class="map"' not in text
    Reader(text)


def test_what_could_not_be_read_is_on_the_page() -> None:
    """Torn, unread, unknown: in words."""
    unknown = row(0, PAGE, resident_size=None, swapped_size=None)
    text = shown([unknown, row(PAGE, PAGE)], torn=True, unread=("read /proc/9/pagemap: no",), is_self=False)
    for words in (
        "of no single moment",
        "read /proc/9/pagemap: no",
        "unknown",
        "only that process knows",
        "p kA maybe",
    ):
        assert words in text, words


def test_pages_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser gets so many rows, and is told where the rest is. No link leads to a row that is not there."""
    monkeypatch.setattr(page, "MOST_ROWS", 10)
    text = shown([row(index * 2 * PAGE, PAGE) for index in range(30)])
    assert text.count("<tr id=") == 10
    assert "30 regions in order of address, of which the first 10 are here: --json has all." in text
    links = {int(number) for number in re.findall(r'href="#r(\d+)"', text)}
    assert links == set(range(10))


def _colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([A-Za-z]+):(#[0-9a-f]{3,6})\b", block))


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _mixed(share: float, one: str, other: str) -> str:
    """CSS's color-mix(in srgb): the share of the first, the rest of the second."""
    full = [colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:]) for colour in (one, other)]
    parts = zip(*([int(digits[at : at + 2], 16) for at in (0, 2, 4)] for digits in full), strict=True)
    return "#" + "".join(f"{round(share * first + (1 - share) * second):02x}" for first, second in parts)


def test_the_contrast_is_measured_right() -> None:
    """The control: black on white is 21 to 1, a colour on itself 1 to 1."""
    assert round(_contrast("#000", "#ffffff"), 1) == 21.0
    assert _contrast("#8b3fc4", "#8b3fc4") == 1.0
    assert _mixed(0.5, "#000", "#ffffff") == "#808080"


@pytest.mark.parametrize("is_dark", [False, True])
def test_letters_can_be_read(is_dark: bool) -> None:
    """Letters and text stand 4.5 to 1 against what is behind them (WCAG 2.2, 1.4.3), light and dark, full and pale."""
    light, _, rest = STYLE.partition("@media(prefers-color-scheme:dark)")
    colours = _colours(light)
    if is_dark:
        colours |= _colours(rest.partition("}}")[0])
    ink, card = colours["ink"], colours["card"]
    papers = {"secret": colours["onsecret"], "locked": colours["onlocked"], "none": ink}
    names = [*"IFMAHSK", "none", "untold", "secret", "secured", "danger", "locked", "droppable", "swapped", "nodump"]
    shares = re.search(r"\.p\.out\{[^}]*?--c\) (\d+)%[^}]*?--c\)\) (\d+)%", STYLE)
    assert shares
    tint, tone = (int(share) / 100 for share in shares.groups())
    for name in names:
        assert _contrast(colours[name], papers.get(name, colours["on"])) >= 4.5, name
        toned = colours[{"none": "soft", "locked": "lockedink"}.get(name, name)]
        pale, letter = _mixed(tint, colours[name], card), _mixed(tone, toned, ink)
        assert _contrast(pale, letter) >= 4.5, (name, "pale")
    for text, behind in (("ink", "page"), ("ink", "card"), ("soft", "page"), ("soft", "card"), ("warn", "warnbg")):
        assert _contrast(colours[text], colours[behind]) >= 4.5, (text, behind)
