"""Accidents that only a Secret can have: given to another process, or changed. Most are in memory/test_silence.py."""

import operator
from collections.abc import Callable
from typing import Any

import pytest

import needs
from children import succeed
from strongroom import Secret


def test_a_pool_of_processes_refuses() -> None:
    """The argument of a task: its future holds the refusal; bytes arrive (control)."""
    assert succeed("""
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            print(type(pool.submit(len, Secret.random(32)).exception()).__name__, pool.submit(len, bytes(32)).result())
    """).split() == ["TypeError", "32"]


@needs.fork
def test_an_argument_that_a_fork_inherits_is_of_no_use() -> None:
    """The child has the object, not the key, and the error says what to do. Bytes show (control)."""
    told = succeed("""
        import multiprocessing
        def use(secret, ordinary, sender):
            try:
                said = f"revealed {secret.reveal()}"
            except ForkedError as error:
                said = str(error)
            sender.send((said, repr(secret), ordinary))
        secret = Secret.from_buffer(b"hunter2", wipe=False)
        receiver, sender = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("fork").Process(target=use, args=(secret, b"ordinary", sender))
        process.start()
        print(*receiver.recv())
        process.join()
    """)
    assert "post_fork" in told
    assert "<Secret 7 bytes, sealed>" in told
    assert "b'ordinary'" in told
    assert "hunter2" not in told


CHANGES: list[Callable[[Any], object]] = [
    lambda thing: operator.setitem(thing, 0, 1),
    lambda thing: operator.delitem(thing, 0),
]


@pytest.mark.parametrize("change", CHANGES, ids=["set", "delete"])
def test_a_secret_has_no_items_to_change(change: Callable[[Any], object]) -> None:
    """Nor does its View; a bytearray has (control)."""
    secret, ordinary = Secret.random(4), bytearray(4)
    before = secret.reveal()
    with pytest.raises(TypeError):
        change(secret)
    with secret.open() as view, pytest.raises(TypeError):
        change(view)
    assert secret.reveal() == before
    change(ordinary)
    assert ordinary != bytes(4)


def test_a_secret_is_sealed_once() -> None:
    """What makes secrets does not change one."""
    secret = Secret.random(4)
    before = secret.reveal()
    again: list[Callable[[], object]] = [
        lambda: secret._seal(4, lambda _view: None),
        lambda: secret._seal_random(4),
        lambda: secret._seal_copy(bytearray(4), True),
    ]
    for way in again:
        with pytest.raises(ValueError, match="never change"):
            way()
    assert secret.reveal() == before
