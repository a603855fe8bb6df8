"""From what Windows says of a block's pages to evidence: VirtualQuery, and QueryWorkingSetEx's Locked bit. Pure.

Wine's QueryWorkingSetEx never sets that bit, so a bit that no page has refutes nothing; one that some pages have and
others lack does. That a page of the block is inaccessible does as well: Windows has ended its lock then.

Source: memoryapi.h, psapi.h (PSAPI_WORKING_SET_EX_BLOCK), winerror.h (ERROR_WAS_UNLOCKED).
"""

from __future__ import annotations

from strongroom import guarantees as words
from strongroom.guarantees import Evidence, Guarantees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from strongroom._os.entries import Entry

__all__ = ["judge_spans"]

_NO_ACCESS = 0x01  # winnt.h


def _is_closed(span: Entry) -> bool:
    """Whether nobody can touch these pages, and nobody else can be given them."""
    return span.state == "reserved" or (span.state == "committed" and span.protection == _NO_ACCESS)


def _lock(pages: list[Entry], locked: int, count: int, now: float) -> Evidence:
    if any(_is_closed(span) for span in pages):
        source = "VirtualQuery: a page is inaccessible, which ends its lock (winerror.h, ERROR_WAS_UNLOCKED)"
        return Evidence(words.REFUSED, source, now)
    if locked == count:
        return Evidence(words.VERIFIED, "QueryWorkingSetEx (psapi.h): every page has the Locked bit", now)
    if locked:
        source = f"QueryWorkingSetEx (psapi.h): only {locked:,} of {count:,} pages have the Locked bit"
        return Evidence(words.REFUSED, source, now)
    source = "VirtualLock succeeded; no page has the Locked bit of QueryWorkingSetEx (psapi.h), which Wine never sets"
    return Evidence(words.REQUESTED, source, now)


def judge_spans(
    spans: list[Entry], start: int, end: int, locked: int, count: int, answers: Guarantees, now: float
) -> Guarantees:
    """What Windows bears out for the pages from ``start`` up to ``end``.

    ``spans`` reach from the page below to the page above, ``locked`` of the ``count`` pages have the Locked bit, and
    ``answers`` is what the calls said.
    """
    found = Guarantees(answers)
    pages = [span for span in spans if span.address < end and span.address + span.size > start]
    reach = start
    for span in pages:
        if span.address > reach or span.state != "committed":
            return found  # not there as a whole: somebody changed it while it was listed
        reach = span.address + span.size
    if reach < end:
        return found
    if found[words.LOCKED].state == words.REQUESTED:
        found[words.LOCKED] = _lock(pages, locked, count, now)
    if all(span.type == "private" for span in pages):
        source = "VirtualQuery (memoryapi.h): MEM_PRIVATE, which no other process has, and there is no fork"
        found[words.NOT_IN_CHILD] = Evidence(words.VERIFIED, source, now)
    below = any(span.address < start <= span.address + span.size and _is_closed(span) for span in spans)
    above = any(span.address <= end < span.address + span.size and _is_closed(span) for span in spans)
    if below and above:
        source = "VirtualQuery (memoryapi.h): an inaccessible page below and above"
        found[words.GUARDED] = Evidence(words.VERIFIED, source, now)
    else:
        source = "VirtualQuery (memoryapi.h): a neighbouring page is accessible or free"
        found[words.GUARDED] = Evidence(words.REFUSED, source, now)
    return found
