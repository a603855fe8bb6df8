"""rekey(): a new key at once, each secret under it from its next opening on, the earlier key gone with the last one."""

import ctypes
import gc
import threading

import pytest

import needs
from children import succeed
from samples import made_of
from secrets_at_rest import HEAD, envelope_of
from strongroom import SealBrokenError, Secret, UnsupportedError, rekey, stats


def key_number_of(secret: Secret) -> int:
    """Return the number of the key that a secret is sealed under."""
    number: int = HEAD.unpack(ctypes.string_at(envelope_of(secret)[0], HEAD.size))[2]
    return number


def ciphertext_of(secret: Secret) -> bytes:
    """Return what lies in ordinary memory."""
    return ctypes.string_at(envelope_of(secret)[1], len(secret) + 16)


@pytest.mark.parametrize("size", [1, 32, 33, 5000])
@pytest.mark.parametrize("shielded", [False, True])
def test_opening_seals_anew(size: int, shielded: bool) -> None:
    """Before that nothing changes at rest; afterwards key number and ciphertext are others, and the content is not."""
    secret = Secret.from_buffer(b"7" * size, wipe=False, shielded=shielded)
    number, before = key_number_of(secret), ciphertext_of(secret)
    rekey()
    assert (key_number_of(secret), ciphertext_of(secret)) == (number, before)
    assert secret == b"7" * size
    assert key_number_of(secret) > number
    assert ciphertext_of(secret) != before
    number, before = key_number_of(secret), ciphertext_of(secret)
    assert secret == b"7" * size
    assert (key_number_of(secret), ciphertext_of(secret)) == (number, before)  # once is enough


@needs.linux
def test_the_old_key_goes_with_the_last_secret_under_it() -> None:
    """By opening, by destroying, by collection; its pages are given back then, and not before."""
    out = succeed("""
        def pages():
            return strongroom.stats().isolated, sum(m.end - m.start for m in observed.mappings() if "lo" in m.flags)
        kept = [Secret.random(32) for _ in range(3)]
        with kept[0].open(): pass
        first = pages()
        rekey()
        print(pages()[0] - first[0], pages()[1] - first[1])
        kept[0].reveal()
        kept[1].destroy()
        print(pages()[0] - first[0], pages()[1] - first[1])
        kept.pop()
        print(pages() == first)
        rekey()
        rekey()  # nobody was sealed under the one in between: it goes at once
        print(pages()[0] - first[0])
        print(len(kept[0].reveal()), pages() == first)
    """)
    assert out.split() == ["1", "4096", "1", "4096", "True", "1", "32", "True"]


def test_open_secrets_stay_open() -> None:
    """A rekey in the middle of a block changes nothing there; the next opening changes over."""
    secret = made_of(b"open all the time")
    with secret.open() as view:
        number = key_number_of(secret)
        rekey()
        with secret.open() as again:
            assert again == view == b"open all the time"
        assert key_number_of(secret) == number
    assert secret == b"open all the time"
    assert key_number_of(secret) > number


def test_what_was_changed_is_not_sealed_anew() -> None:
    """A broken seal under an earlier key stays broken, and keeps that key."""
    secret = made_of(b"changed by somebody")
    rekey()
    ctypes.c_ubyte.from_address(envelope_of(secret)[1]).value ^= 1
    number = key_number_of(secret)
    for _ in range(3):
        with pytest.raises(SealBrokenError):
            secret.reveal()
    assert key_number_of(secret) == number
    ctypes.c_ubyte.from_address(envelope_of(secret)[1]).value ^= 1
    assert secret == b"changed by somebody"  # control


def test_before_the_first_secret_there_is_nothing_to_do() -> None:
    """No key is drawn, and no memory locked."""
    assert succeed("rekey(); print(strongroom.stats().isolated)").split() == ["0"]


def test_too_large_a_secret_says_how_large_it_may_be() -> None:
    """Beyond what an envelope counts: the error has the true limit."""
    with pytest.raises(ValueError, match="size must be from 1 to 4,294,967,263 bytes, not 4,294,967,296"):
        Secret.random(1 << 32)


def test_too_many_keys() -> None:
    """Sixteen at a time, each with a secret: an error that says what to do; doing it helps. Nothing is lost."""
    out = succeed("""
        kept = []
        try:
            while True:
                kept.append(Secret.from_buffer(b"%d" % len(kept), wipe=False))
                rekey()
        except UnsupportedError as error:
            print(error)
        print(len(kept), [int(one.reveal()) for one in kept] == list(range(len(kept))))
        rekey()
        print(strongroom.stats().isolated)
    """)
    said, count, rest = out.splitlines()
    assert "open every secret once" in said
    assert count.split() == ["16", "True"]
    assert int(rest) <= 4  # two keys, and rooms


@needs.linux
def test_at_the_lock_limit_the_old_key_goes_on() -> None:
    """LockLimitError; secrets open and are made as before; with room again it works."""
    out = succeed("""
        children.limit_locks(65536)
        secret = Secret.from_buffer(b"kept", wipe=False)
        hog = []
        try:
            while True:
                hog.append(LockedBuffer(100, isolated=True))
        except LockLimitError:
            hog.pop()  # for the room
        with secret.open():
            try:
                rekey()
            except LockLimitError as error:
                print(type(error).__name__)
        print(secret.reveal(), len(Secret.random(8)))
        hog.clear()
        rekey()
        print(secret.reveal())
    """)
    assert out.split() == ["LockLimitError", "b'kept'", "8", "b'kept'"]


def test_purge_ends_all_of_them() -> None:
    """Secrets under the present key and under an earlier one: PurgedError; new ones work, and rekey too."""
    out = succeed("""
        early, late = Secret.random(4), None
        rekey()
        late = Secret.random(4)
        purge()
        for one in (early, late):
            try:
                one.reveal()
            except PurgedError as error:
                print("purged")
        del early, late
        fresh = Secret.from_buffer(b"fresh", wipe=False)
        rekey()
        print(fresh.reveal().decode())
    """)
    assert out.split() == ["purged", "purged", "fresh"]


def test_while_eight_threads_open() -> None:
    """Thirty keys, one after the other: everybody reads what was sealed, and only the last keys are left."""
    gc.collect()  # what other tests left is counted in stats(), and would go some time
    before = stats().isolated
    shared = [made_of(bytes([number]) * 40) for number in range(8)]
    wrong: list[int] = []
    is_over = threading.Event()

    def work(number: int) -> None:
        while not is_over.is_set():
            for step in range(8):
                with shared[(number + step) % 8].open() as view:
                    if view != bytes([(number + step) % 8]) * 40:
                        wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            try:
                rekey()
            except UnsupportedError:  # other tests' secrets, and those not opened since
                for one in shared:
                    one.reveal()
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert len({key_number_of(one) for one in shared}) <= 16
    for one in shared:
        one.reveal()
    assert len({key_number_of(one) for one in shared}) == 1
    assert stats().isolated <= before + 10  # a key, and a room for each of the eight and for the main thread
