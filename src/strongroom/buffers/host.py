"""All that the native layer may ask of this package, by the names it knows; ``_native.install_host`` lists them."""

from __future__ import annotations

from strongroom.buffers.elsewhere import (
    file_ways,
    needs_no_lock,
    no_stand_in,
    not_burned,
    not_fetched,
    nowhere,
    stand_ins,
    tell_stand_in,
    volatile_ways,
)
from strongroom.buffers.evidence import collect
from strongroom.buffers.planning import keepers, plan, refusal, verify
from strongroom.buffers.waiting import wait_note, waiting

__all__ = [
    "collect",
    "file_ways",
    "keepers",
    "needs_no_lock",
    "no_stand_in",
    "not_burned",
    "not_fetched",
    "nowhere",
    "plan",
    "refusal",
    "stand_ins",
    "tell_stand_in",
    "verify",
    "volatile_ways",
    "wait_note",
    "waiting",
]
