"""Windows' rows as records: rows recorded under Wine, rows that are made up, and whatever else bytes may be."""

import contextlib
import itertools
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import _native
from strongroom._os.entries import Entry
from strongroom._os.windowsentries import CALL, parse
from strongroom.exceptions import SystemCallError

COMMIT, RESERVE, FREE = 0x1000, 0x2000, 0x10000
PRIVATE, MAPPED, IMAGE = 0x20000, 0x40000, 0x1000000
P = _native.PROTECTIONS
#: One row a line, in hexadecimal: what os_windows_asking.c handed up of a process under Wine 8, a choice.
RECORDED = Path(__file__).with_name("windows-rows.txt")


def recorded() -> list[bytes]:
    return [bytes.fromhex(line) for line in RECORDED.read_text(encoding="ascii").splitlines()]


def row(
    address: int,
    size: int = 4096,
    state: int = COMMIT,
    protection: int = 4,
    kind: int = PRIVATE,
    name: str = "",
    allocation: int | None = None,
    made_with: int = 4,
) -> bytes:
    """One row as the C side packs it."""
    text = name.encode("utf-16-le", "surrogatepass")
    wide = (address, size, address if allocation is None else allocation)
    narrow = (made_with, state, protection, kind, len(text))
    return b"".join(n.to_bytes(8, "little") for n in wide) + b"".join(n.to_bytes(4, "little") for n in narrow) + text


def by_reference(raw: bytes) -> list[tuple[Any, ...]] | None:
    """What the rows say, read another way; None if they are none."""
    words = {COMMIT: "committed", RESERVE: "reserved", FREE: "free"}
    kinds = {PRIVATE: "private", MAPPED: "mapped", IMAGE: "image"}
    found: list[tuple[Any, ...]] = []
    while raw:
        head, raw = raw[:44], raw[44:]
        if len(head) < 44:
            return None
        address, size, allocation = (int.from_bytes(head[at : at + 8], "little") for at in (0, 8, 16))
        made_with, state, protection, kind, length = (
            int.from_bytes(head[at : at + 4], "little") for at in range(24, 44, 4)
        )
        name, raw, is_whole = raw[:length], raw[length:], len(raw) >= length
        in_pages = address & 0xFFF == size & 0xFFF == 0 and size and address + size <= 1 << 64
        if not is_whole or length & 1 or not in_pages or state not in words:
            return None
        if state == FREE:
            if length:
                return None
            found.append((address, size, "free", 0, 0, 0, "", None, None))
            continue
        if kind not in kinds or allocation > address or (length and kind == PRIVATE):
            return None
        path = name.decode("utf-16-le", "surrogatepass")
        is_shared = kind == MAPPED and not made_with & 0x88
        allowed = protection if state == COMMIT else 0
        found.append((address, size, words[state], allowed, allocation, made_with, kinds[kind], is_shared, path))
    return found


def compared(raw: bytes) -> bool:
    """Whether this is a listing; that both readers say so, and the same."""
    expected = by_reference(raw)
    if expected is None:
        with pytest.raises(SystemCallError, match=r"Record [\d,]+ is not") as caught:
            parse(raw)
        assert caught.value.call == CALL
        return False
    found = parse(raw)
    assert [tuple(entry[:9]) for entry in found] == expected
    assert {entry[9:] for entry in found} <= {(None,) * 13}
    return True


def test_recorded_rows() -> None:
    """Private, mapped and image, named or not, committed, reserved and guarded, as they were."""
    rows = recorded()
    assert compared(b"".join(rows))
    found = parse(b"".join(rows))
    assert len(found) == len(rows)
    assert {entry.type for entry in found} == {"private", "mapped", "image"}
    assert {entry.state for entry in found} == {"committed", "reserved"}
    guard = next(entry for entry in found if entry.protection & P["GUARD"])
    assert (guard.protection, guard.type) == (P["READ_WRITE"] | P["GUARD"], "private")
    image = next(entry for entry in found if entry.type == "image")
    assert (image.path or "").lower().endswith(".dll")
    assert (image.is_shared, image.allocation_protection) == (False, P["EXECUTE_WRITE_COPY"])
    copied = [entry for entry in found if entry.type == "mapped" and not entry.is_shared]
    assert [entry.allocation_protection for entry in copied] == [P["WRITE_COPY"]] * len(copied)
    assert any(entry.type == "mapped" and entry.is_shared and entry.path == "" for entry in found)


def test_fields() -> None:
    """Each where it belongs; what is not committed has no protection, what is free nothing at all."""
    raw = (
        row(0x10000, 0x3000, RESERVE, 0xDEAD, made_with=1)
        + row(0x13000, 0x1000, COMMIT, 0x104, allocation=0x10000, made_with=1)
        + row(0x14000, 0x2000, FREE, 1, 0xBAD, allocation=1 << 50, made_with=7)
        + row(0x20000, kind=MAPPED, name="\\Device\\x\ud800", made_with=8)
        + row((1 << 64) - 4096, kind=MAPPED)
    )
    assert compared(raw)
    assert [tuple(entry[:9]) for entry in parse(raw)] == [
        (0x10000, 0x3000, "reserved", 0, 0x10000, 1, "private", False, ""),
        (0x13000, 0x1000, "committed", 0x104, 0x10000, 1, "private", False, ""),
        (0x14000, 0x2000, "free", 0, 0, 0, "", None, None),
        (0x20000, 0x1000, "committed", 4, 0x20000, 8, "mapped", False, "\\Device\\x\ud800"),
        ((1 << 64) - 4096, 4096, "committed", 4, (1 << 64) - 4096, 4, "mapped", True, ""),
    ]
    assert isinstance(parse(raw)[0], Entry)
    assert parse(b"") == []


@pytest.mark.parametrize(
    "wrong",
    [
        row(0x10001),
        row(0x10000, 0),
        row(0x10000, 4097),
        row((1 << 64) - 4096, 8192),
        row(0x10000, state=0),
        row(0x10000, state=COMMIT | RESERVE),
        row(0x10000, kind=0),
        row(0x10000, kind=PRIVATE, name="x"),
        row(0x10000, state=FREE, kind=IMAGE, name="x"),
        row(0x10000, allocation=0x20000),
        row(0x10000, kind=MAPPED, name="x")[:-1],
        row(0x10000, kind=MAPPED, name="x") + b"\0",
    ],
    ids=itertools.count(),
)
def test_what_is_no_row(wrong: bytes) -> None:
    """Refused, by its number alone; nothing of what came before it is used."""
    assert not compared(wrong)
    with pytest.raises(SystemCallError, match=r"Record [23] is not") as caught:
        parse(row(0x1000) + wrong)
    assert "1000" not in str(caught.value)


def test_cut_at_every_byte() -> None:
    """Whole between two rows, and no listing amid one."""
    rows = recorded()[:6]
    raw, ends = b"".join(rows), {sum(map(len, rows[:count])) for count in range(len(rows) + 1)}
    assert {length for length in range(len(raw) + 1) if compared(raw[:length])} == ends


def test_spoilt_rows() -> None:
    """Ten thousand listings with bytes of them changed: as the other reader has them, or the one error."""
    chance, raw, accepted = random.Random(7), b"".join(recorded()[:8]), 0
    for _ in range(10_000):
        spoilt = bytearray(raw)
        for _ in range(chance.randrange(1, 3)):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        accepted += compared(bytes(spoilt))
    assert 1000 < accepted < 9500


@given(st.binary(max_size=200))
def test_any_bytes(raw: bytes) -> None:
    """Any bytes are a listing, or the one error."""
    with contextlib.suppress(SystemCallError):
        parse(raw)
