"""Stop a process that opens and seals secrets at random moments, and look where pieces of its key and plaintext are.

    python tests/proof/stopped_at_random.py [--moments 1000] [--seed N] [--only WORDS]

Each loop runs in a child of its own. At each moment all of its threads are stopped (ptrace), and their registers and
all memory that the child has touched are searched for every 8 bytes of the sealing key and of the plaintext. Counted
is what lies elsewhere than the key in its page and the plaintext in a room. Rooms and key are in `locked` memory, which
a tracer can read; of the loops in secret memory only what is elsewhere can be seen.

The last loop is the control: it leaks on purpose into each kind of place, and must be caught.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from children import Live
from pieces import KEY, OTHER, PLAIN, ROOM, STACK, STRAY, Hit, Needles, content_of
from stopping import Stopper

KEY_SIZE = 32
#: Of a loop: the longest time between two moments. Many times a turn of any loop, so that moments are independent.
_PAUSE_SECONDS = 0.002

_BEGIN = """
keys = children.locked_and_recorded({backing!r})
threading.stack_size(1 << 18)
sys.setswitchinterval(0.0002)
given = LockedBuffer({size}, isolated=True)
with given.open("rw") as view:
    assert take(view) == {size}
def make():
    with given.open() as view:
        return Secret.from_buffer(view, wipe=False)
make()  # several threads that make the first secret make several keys, and only one of those is used
begun, ready = threading.Barrier({threads} + 1), threading.Event()
{work}
for _ in range({threads}):
    threading.Thread(target=work, daemon=True).start()
begun.wait()
with keys[0].open() as view:
    print(keys[0]._layout()[1] - {key_size}, flush=True)
    assert os.write(1, view) == {key_size}
os.read(0, 1)
{before}
{forget}
ready.set()
{after}
print("begun", flush=True)
while True:
    time.sleep(60)
"""

_OPEN = """
def work():
    secret = make()
    begun.wait(); ready.wait()
    while True:
        with secret.open() as view:
            view[0]
"""
_REST = """
def work():
    secret = make()
    begun.wait(); ready.wait()
    while True:
        with secret.open():
            pass
        time.sleep(0.005)  # moments that are not in it do not count
"""
_SEAL = """
def work():
    access = given.open()
    view = access.__enter__()
    make()
    begun.wait(); ready.wait()
    while True:
        Secret.from_buffer(view, wipe=False)
        Secret.random({size})
"""
_LEAK = """
turned, waiting = threading.Event(), []
def work():
    secret = make()
    begun.wait(); ready.wait()
    while True:
        with secret.open() as view:
            copy = bytes(view)
            view[0]
        turned.set()
def wait(secret):
    "In read(2), with words in registers that the call has no use for."
    with secret.open() as view, keys[0].open() as key:
        words = [ctypes.c_long.from_buffer_copy(part) for part in (view, key)]
    reader = os.pipe()[0]
    ready.wait()
    waiting.append(threading.get_native_id())
    libc.syscall(READ, reader, None, ctypes.c_long(1), *words)
READ = {"x86_64": 0, "aarch64": 63}[os.uname().machine]
threading.Thread(target=wait, args=(make(),), daemon=True).start()
"""
#: What the control's main thread does before: a copy of the key, and of both at the far end of the stack.
_LEAK_BEFORE = """
with keys[0].open() as key, make().open() as view:
    copy = bytes(key)
    end = next(m.start for m in observed.mappings() if m.path == "[stack]")
    ctypes.memmove(end + 64, address_of(key), 32)
    ctypes.memmove(end + 128, address_of(view), len(view))
"""
#: And after: until each of its threads has leaked.
_LEAK_AFTER = """
def is_reading():
    with open(f"/proc/self/task/{waiting[0]}/syscall") as file:
        return file.read().split()[0] == str(READ)
turned.wait()
while not (waiting and is_reading()):
    time.sleep(0.001)
"""


class Loop(NamedTuple):
    """What a child does, over and over."""

    name: str
    work: str
    size: int
    threads: int = 1
    backing: str = "locked"
    before: str = ""
    after: str = ""


LOOPS = (
    Loop("open 32 B", _OPEN, 32),
    Loop("open 45 B", _OPEN, 45),
    Loop("open 4 KiB", _OPEN, 4096),
    Loop("open 32 B, 4 threads", _OPEN, 32, 4),
    Loop("open 4 KiB, 4 threads", _OPEN, 4096, 4),
    Loop("open 32 B, secret memory", _OPEN, 32, 1, "secretmem"),
    Loop("seal 32 B", _SEAL, 32),
    Loop("seal 45 B", _SEAL, 45),
    Loop("seal 4 KiB", _SEAL, 4096),
    Loop("seal 32 B, 4 threads", _SEAL, 32, 4),
    Loop("rest after 32 B", _REST, 32),
    Loop("rest after 45 B", _REST, 45),
    Loop("rest after 4 KiB", _REST, 4096),
)
CONTROL = Loop("control: leaks", _LEAK, 32, 1, "locked", _LEAK_BEFORE, _LEAK_AFTER)


class Seen:
    """What was seen of one loop."""

    def __init__(self) -> None:
        self.moments = 0
        self.unread_size = 0
        #: Moments with a piece of this in that place, and with a whole one.
        self.pieces: Counter[tuple[str, str]] = Counter()
        self.wholes: Counter[tuple[str, str]] = Counter()

    def add(self, hits: list[Hit], wholes: set[tuple[str, str]]) -> None:
        """Count one moment."""
        self.moments += 1
        self.pieces.update({(hit.what, hit.place) for hit in hits})
        self.wholes.update(wholes)

    def rate(self, count: int) -> str:
        """A share of the moments; for none the upper end of its 95 % confidence interval (rule of three)."""
        return f"{100 * count / self.moments:.1f} %" if count else f"0 (< {300 / self.moments:.2g} %)"


def watch(loop: Loop, moments: int, chance: random.Random) -> Seen:
    """Run a loop in a child and stop it so often. ``PermissionError``: tracing is forbidden here."""
    seen = Seen()
    plain = content_of(loop.size)
    code = _BEGIN.format(
        backing=loop.backing, size=loop.size, threads=loop.threads, key_size=KEY_SIZE,
        before=loop.before, after=loop.after,
        forget="" if loop.work is _SEAL else "given.destroy()",
        work=loop.work.replace("{size}", str(loop.size)),
    )  # fmt: skip
    with Live(code, stderr=subprocess.DEVNULL) as child:
        child.send(plain)
        key_address = int(child.line())
        needles = Needles(plain, child.take(KEY_SIZE), key_address)
        with Stopper(child.pid) as stopper:
            child.go()
            assert child.line() == "begun"
            while seen.moments < moments:
                time.sleep(chance.uniform(0, _PAUSE_SECONDS))
                stopper.stop()
                if loop.work is not _REST or stopper.are_waiting():
                    hits = needles.search(stopper)
                    seen.add(hits, needles.wholes(hits))
                stopper.go_on()
            seen.unread_size = stopper.unread_size
    return seen


def say(words: str) -> None:
    """Write a line."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def row(loop: Loop, seen: Seen) -> list[str]:
    """One line of the table."""
    cells = [
        f"{seen.rate(seen.pieces[what, place])}, whole {seen.rate(seen.wholes[what, place])}"
        if seen.pieces[what, place]
        else seen.rate(0)
        for what in (KEY, PLAIN)
        for place in STRAY
    ]
    return [loop.name, str(seen.moments), seen.rate(seen.pieces[PLAIN, ROOM]), *cells]


def is_kept(loop: Loop, seen: Seen) -> bool:
    """Whether what must not be was not seen: any piece in other memory, or at rest."""
    never = STRAY if loop.work is _REST else (OTHER,)
    return not any(seen.pieces[what, place] for what in (KEY, PLAIN) for place in never)


def is_caught(seen: Seen) -> bool:
    """Whether the control was: both, in each kind of place that it leaks into, at all moments but few."""
    places = [place for place in STRAY if place != STACK]
    return all(seen.pieces[what, place] >= 0.9 * seen.moments for what in (KEY, PLAIN) for place in places)


def main() -> int:
    """Stop many times and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=1000, help="per loop (default 1000)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--only", default="", help="loops whose name has these words")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    say(f"seed {options.seed}; moments at which 8 bytes or more of it were there, outside rooms and the key's page")
    head = [f"{what}: {place}" for what in (KEY, PLAIN) for place in STRAY]
    say(" | ".join(["loop", "moments", "plaintext in a room", *head]))
    failures = 0
    try:
        for loop in [*(loop for loop in LOOPS if options.only in loop.name), CONTROL]:
            seen = watch(loop, options.moments, chance)
            say(" | ".join(row(loop, seen)))
            if loop.backing == "locked" and seen.unread_size:
                say(f"{seen.unread_size} bytes could not be read: nothing may be concluded")
                return 1
            failures += loop is not CONTROL and not is_kept(loop, seen)
    except PermissionError:
        say("not tried: needs ptrace (yama's ptrace_scope at most 1, a container profile that allows it)")
        return 3
    if not is_caught(seen):
        say("the control was not caught: nothing may be concluded")
        return 1
    say(f"{failures} loops with a piece in other memory or at rest")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
