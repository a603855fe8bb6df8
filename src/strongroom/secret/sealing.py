"""The keys that secrets are sealed under, and the cipher that does it.

A key is random bytes in locked memory, drawn when the first secret of its kind is made: again in each forked
child, again after ``purge()`` and by ``rekey()``. It is resident and readable by this process as long as there are
secrets under it; everything sealed depends on nobody else reading it.

Which cipher, and whose, is chosen in engines.py.
"""

from __future__ import annotations

from strongroom import _native
from strongroom._loading import forks_wait, have_forks_wait
from strongroom._native import LockedBlock
from strongroom.secret import engines, forking

__all__ = ["draw_key", "rekey"]


def draw_key(kind: int) -> None:
    """Make sure that this process has a key to seal secrets of this kind under.

    Raises:
        LockLimitError: No memory can be locked for the key.
        UnsupportedError: No installed library has a cipher that computes its published example.
    """
    if _native.has_key(kind):
        return
    if kind & _native.KEPT_KEY:
        forking.prepare()
    have_forks_wait()
    hashing = engines.hash_address() if kind & _native.SHIELDED_KEY else 0
    block = LockedBlock(_native.key_memory_size(kind), isolated=True)  # between guard pages
    with forks_wait:
        for candidate in engines.candidates():
            if _native.begin_key(block, kind, *candidate, hashing):
                return


def rekey() -> None:
    """Draw a new key, and have each secret sealed under it when it is opened next.

    What a thief copied of this process's memory before, keys included, opens nothing that was sealed anew since. An
    earlier key stays in locked memory until no secret is left under it. To have them all change over, open each once.

    Raises:
        LockLimitError: No memory can be locked for one more key. Secrets are as they were, and the old key goes on.
        UnsupportedError: There are 16 keys with secrets under each.
        SystemCallError: Another refusal, with the call's name.

    Platform notes: a page of locked memory for each key; five, as a rule, for one of shielded secrets. Before the first
    secret there is no key, and nothing is done. A child has keys of its own; of what it inherited with
    ``in_children="keep"``, only what it opens after drawing such a key itself is sealed anew.

    Does not protect against: whoever reads the new key. What was copied before is still opened by what was copied with
    it: change the secrets themselves after a theft.

    Version added: 0.1.
    """
    for kind in _native.key_kinds():
        block = LockedBlock(_native.key_memory_size(kind), isolated=True)
        with forks_wait:
            _native.replace_key(block, kind)


_native.install_key_maker(draw_key)
