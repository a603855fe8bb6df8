"""The form in which an operator writes a policy, and what a mistake in it is told."""

import os

import pytest

from strongroom import Policy
from strongroom.policy import PLAIN, overridden, parse

KNOWN = (
    "require=NAME,NAME on_shortfall=raise|warn|allow wait_seconds=SECONDS verify=first|each hibernation=allow|block "
    "fallback=none|volatile,file directory=/PATH"
)
#: An absolute path, here.
PLACE = os.path.abspath(os.sep)


def test_every_field_can_be_written() -> None:
    """One word for each, in any order and with any white space."""
    text = "  hibernation=block\twait_seconds=2.5 require=NO_MERGE,NO_DUMP  on_shortfall=warn verify=each\n"
    text += f"fallback=file,volatile directory={PLACE}"
    expected = Policy(
        require={"NO_MERGE", "NO_DUMP"},
        on_shortfall="warn",
        wait_seconds=2.5,
        verify="each",
        hibernation="block",
        fallback=("file", "volatile"),
        directory=PLACE,
    )
    assert Policy(**parse(text, "HERE")) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "  \n"])
def test_nothing_written_changes_nothing(text: str) -> None:
    """An empty variable is as good as none, down to the object, which is the quick way through planning."""
    assert overridden(PLAIN, parse(text, "HERE")) is PLAIN


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("on_shortfal=warn", "no such field"),
        ("warn", "no such field"),
        ("=warn", "no such field"),
        ("ON_SHORTFALL=warn", "no such field"),
        ("on_shortfall=ignore", "raise, warn, allow"),
        ("on_shortfall=", "raise, warn, allow"),
        ("require=LOCKD", "unknown guarantee 'LOCKD'"),
        ("require=LOCKED,", "unknown guarantee ''"),
        ("require=", "names no guarantee"),
        ("wait_seconds=soon", "number of seconds"),
        ("wait_seconds=", "number of seconds"),
        ("wait_seconds=-1", "finite"),
        ("wait_seconds=inf", "finite"),
        ("verify=always", "first, each"),
        ("hibernation=no", "allow, block"),
        ("fallback=disk", "fallback knows 'volatile' and 'file', or 'none' alone, not 'disk'"),
        ("fallback=", "fallback knows 'volatile' and 'file', or 'none' alone, not ''"),
        ("fallback=file,", "or 'none' alone, not ''"),
        ("fallback=none,file", "or 'none' alone, not 'none,file'"),
        ("fallback=file,none", "or 'none' alone, not 'file,none'"),
        ("fallback=NONE", "or 'none' alone, not 'NONE'"),
        ("fallback=None,file", "or 'none' alone, not 'None'"),
        ("fallback=volatile,volatile", "names 'volatile' twice"),
        ("fallback=('file',)", "fallback knows"),
        ("directory=", "must be an absolute path, not ''"),
        ("directory=here", "must be an absolute path, not 'here'"),
        ("directory=~/x", "must be an absolute path, not '~/x'"),
    ],
)
def test_a_mistake_names_where_what_and_what_is_known(word: str, why: str) -> None:
    """The source, the word as it was written, why it is wrong, and every form there is."""
    with pytest.raises(ValueError, match="cannot take") as caught:
        parse(f"verify=first {word}" if not word.startswith("verify") else word, "HERE")
    text = str(caught.value)
    assert text.startswith(f"HERE: cannot take {word!r}: ")
    assert why in text
    assert text.endswith(f"Known: {KNOWN}")


def test_a_fallback_can_be_switched_off() -> None:
    """``fallback=none`` puts nothing in the place of the program's, its directory stays; and LOCKED may be required."""
    base = Policy(fallback=("volatile", "file"), directory=PLACE)
    assert overridden(base, parse("fallback=none", "HERE")) == Policy(directory=PLACE)
    required = Policy(require={"LOCKED"}, directory=PLACE)
    assert overridden(base, parse("fallback=none require=LOCKED", "HERE")) == required
    with pytest.raises(TypeError, match="fallback must be a tuple"):
        Policy(fallback="none")


def test_a_field_is_set_once() -> None:
    """Of two words for one field nobody knows which was meant."""
    with pytest.raises(ValueError, match="'verify=each': the field was set by an earlier word"):
        parse("verify=first verify=each", "HERE")


def test_an_override_replaces_the_named_fields_and_no_others() -> None:
    """What the operator does not name stays as the program has it."""
    base = Policy(require={"LOCKED"}, wait_seconds=3)
    assert overridden(base, parse("on_shortfall=warn wait_seconds=1", "HERE")) == Policy(
        require={"LOCKED"}, on_shortfall="warn", wait_seconds=1
    )
    assert base == Policy(require={"LOCKED"}, wait_seconds=3)


def test_words_that_make_sense_only_together() -> None:
    """Each is checked for itself when it is read; whether they fit shows when all of them are known, in any order."""
    base = Policy(directory=PLACE)
    assert overridden(base, parse("fallback=file", "HERE")).fallback == ("file",)
    assert overridden(PLAIN, parse(f"directory={PLACE} fallback=file", "HERE")).directory == PLACE
    with pytest.raises(ValueError, match="fallback 'file' needs directory="):
        overridden(PLAIN, parse("fallback=volatile,file", "HERE"))
    with pytest.raises(ValueError, match="which no fallback gives: leave out the one or the other"):
        overridden(Policy(require={"LOCKED"}), parse("fallback=volatile", "HERE"))


@pytest.mark.parametrize("text", ["require=LOCKED", f"require=NO_DUMP,LOCKED directory={PLACE}"])
def test_a_lock_that_is_required_beside_the_programs_fallback(text: str) -> None:
    """There is no fallback among the operator's words: it says whose is meant, and the words that end it work."""
    base = Policy(fallback=("volatile", "file"), directory=PLACE)
    with pytest.raises(ValueError, match="require names LOCKED") as caught:
        overridden(base, parse(text, "HERE"))
    words = str(caught.value)
    assert words == (
        "require names LOCKED, which no fallback gives, and the program's own policy has fallback=volatile,file: "
        "fallback=none beside it switches that off"
    )
    assert overridden(base, parse(f"fallback=none {text}", "HERE")).fallback == ()
