"""MAC files where nothing can be locked (``ulimit -l 0``), with a key that is never written to any disk.

    python volatile_key.py --salt invoices --directory /media/stick invoice.pdf ledger.csv

It asks for a passphrase, with echo off where there is a terminal, and prints for each file 64 hex digits (HMAC-SHA256)
and its name. It needs a Unix, and ``cryptography`` 47 or later.

Two promises that a lock gives at once are apart here, and each buffer gives one of them. The passphrase must not get
lost: a ``FileBuffer``, whose pages go to a nameless file in the directory that you name, and nowhere else. The key must
not get out: a ``VolatileBuffer``, which the system may drop and never writes. Each goes through the same four steps:

    init   ``VolatileBuffer(32, rebuild=derive)``: takes the page; ``derive`` fills it when somebody first wants the key
    use    ``with key.open() as view:``: a loss is noticed, and the file that was being done is done again
    burn   the end of the ``with`` block of the buffer: overwritten, in the private file as well, and there synced
    free   the same moment: pages and file are given back

tests/examples searches the process from outside while it waits for a file, drops the key, and finds the same MACs.

What it does not do: nothing is locked, so who hibernates this machine writes both buffers to its disk; and the private
file has the passphrase as long as the program runs, and for good if it is killed (docs/unlocked.md).
"""

from __future__ import annotations

import argparse
import contextlib
import hmac
import os
import sys
import termios
from collections.abc import Callable, Iterator
from typing import Any

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from strongroom import ContentsLostError, FileBuffer, StrongroomError, VolatileBuffer, harden
from strongroom.process import TERMINATION_SIGNALS

KEY_SIZE = 32
LINE_SIZE = 1024  # the longest passphrase, in bytes, and its newline
NEWLINE = 10
BLOCK_SIZE, PARALLEL = 8, 1  # RFC 7914's r and p; its N is 2 to the power of --cost
LEAST_COST, MOST_COST = 10, 24  # scrypt takes 1 KiB for each of its 2**cost steps: 1 MiB to 16 GiB
TRIES = 5  # for one file: a machine that drops the page each time has no memory left for this


@contextlib.contextmanager
def echo_off(terminal: int) -> Iterator[None]:
    """Keep a terminal from showing what is typed; leave anything else as it is."""
    if not os.isatty(terminal):
        yield
        return
    before = termios.tcgetattr(terminal)
    silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(terminal, termios.TCSAFLUSH, silent)
    print("Passphrase: ", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
        print(file=sys.stderr)


def read_line(source: int, line: Any) -> None:
    """Read up to a newline, that included, into a View of zeros: byte by byte, so that no other buffer has them."""
    for at in range(len(line)):
        if os.readv(source, [line[at : at + 1]]) == 0:
            raise EOFError("standard input ended before the passphrase did")
        if line[at] == NEWLINE:
            if at == 0:
                raise ValueError("the passphrase is empty")
            return
    raise ValueError(f"a passphrase has at most {len(line) - 1:,} bytes")


def deriving(passphrase: FileBuffer, salt: bytes, cost: int) -> Callable[[Any], None]:
    """Return what fills a View with the key, from View to View. It is called again whenever the key is gone."""
    times = 0

    def derive(view: Any) -> None:
        nonlocal times
        times += 1
        if times > 1:
            print("volatile_key: the key vanished; deriving it anew", file=sys.stderr, flush=True)
        try:
            kdf = Scrypt(salt=salt, length=KEY_SIZE, n=2**cost, r=BLOCK_SIZE, p=PARALLEL)
            with passphrase.open() as line:
                length = next(at for at in range(len(line)) if line[at] == NEWLINE)
                kdf.derive_into(line[:length], view)  # type: ignore[arg-type]  # cryptography's types name no View
        except MemoryError:
            raise ValueError(f"this machine has no memory for --cost {cost}: 2**{cost} KiB") from None

    return derive


def mac_of(key: VolatileBuffer, content: bytes) -> str:
    """Return the MAC in hex. What was computed in a block that lost its key is thrown away and computed again."""
    for _ in range(TRIES):
        with contextlib.suppress(ContentsLostError):
            with key.open() as view:
                code = hmac.digest(view, content, "sha256")
            return code.hex()  # only here: the block has ended, so the key was there all the time
    raise ContentsLostError(f"the key vanished {TRIES} times: this machine has no memory to spare")


def content_of(path: str) -> bytes:
    """Read a file."""
    with open(path, "rb") as file:
        return file.read()


def cost_of(word: str) -> int:
    """Read ``--cost``."""
    costs = {str(cost): cost for cost in range(LEAST_COST, MOST_COST + 1)}
    if word not in costs:
        raise argparse.ArgumentTypeError(
            f"not {word}: of scrypt, a power of two from {LEAST_COST} (1 MiB) to {MOST_COST} (16 GiB for each guess)"
        )
    return costs[word]


def salt_of(word: str) -> bytes:
    """Read ``--salt``."""
    if not word:
        raise argparse.ArgumentTypeError("it is empty: any words will do, and others give another key")
    return os.fsencode(word)


def main() -> int:
    """Ask, then derive and MAC as often as it takes."""
    parser = argparse.ArgumentParser(description="print the HMAC-SHA256 of files under a key from a passphrase")
    parser.add_argument(
        "--salt", type=salt_of, required=True, help="words that are not secret: another salt, another key"
    )
    parser.add_argument("--directory", required=True, help="where the passphrase's private file may lie; not in memory")
    parser.add_argument(
        "--cost", type=cost_of, default=17, help="of scrypt, as a power of two; 17: 128 MiB for each guess"
    )
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    harden(wipe_on_signals=TERMINATION_SIGNALS)  # SIGTERM burns and wipes as the end of the block does
    try:
        with FileBuffer(LINE_SIZE, options.directory) as passphrase:
            with echo_off(0), passphrase.open("rw") as line:
                read_line(0, line)
            derive = deriving(passphrase, options.salt, options.cost)
            with VolatileBuffer(KEY_SIZE, rebuild=derive) as key:
                for path in options.files:
                    print(mac_of(key, content_of(path)), path, flush=True)
    except (OSError, ValueError, EOFError, StrongroomError) as error:
        print(f"volatile_key: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
