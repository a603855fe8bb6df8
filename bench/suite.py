"""Which groups there are, and who takes part in each."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass

from bench import ciphers, footprint, listing, ours, physical, pool, second, sodium, startup, unlocked
from bench.helper import Helper, build
from bench.rows import Contender, Group, SkipError, time_group
from bench.timing import Loop

#: Bytes: a key, and what the targets speak of.
SIZE = 32
PAGE_SIZE = 4096

#: Bytes that a shielded key is the hash of: SR_PREKEY_SIZE in native/sealing.h.
_PREKEY_SIZE = 16384

#: Bytes of address space, of which one page is used.
REGION_SIZE = 1 << 20

#: Live buffers among which a random one is replaced: their objects and slots together fill no CPU's inner caches.
LIVE_COUNT = 100_000

BACKINGS = ("locked", "secretmem")


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int
    processes: int
    footprint_rounds: int
    footprint_count: int


FULL = Effort(rounds=400, processes=40, footprint_rounds=3, footprint_count=100_000)
#: Enough to see that everything runs; its figures mean little.
QUICK = Effort(rounds=5, processes=3, footprint_rounds=1, footprint_count=10_000)


def _contender(key: str, title: str, make: Callable[[], Loop]) -> Contender:
    try:
        return Contender(key, title, make())
    except SkipError as reason:
        return Contender(key, title, reason)


def _helper() -> Callable[[], Helper]:
    """Return what gives the helper or raises why there is none: each row that needs it is skipped by name."""
    try:
        helper = build()
    except SkipError as error:
        reason = str(error)

        def missing() -> Helper:
            raise SkipError(reason)

        return missing
    return lambda: helper


def _isolated(helper: Callable[[], Helper], backing: str, rounds: int) -> Group:
    contenders = [
        _contender("bare", "mprotect pair with one read, in C", lambda: helper().pair(backing)),
        _contender("strongroom", "strongroom LockedBuffer, isolated", lambda: ours.open_read_close(SIZE, backing)),
    ]
    if backing == "locked":
        contenders.append(_contender("libsodium", "libsodium through ctypes", lambda: sodium.open_read_close(SIZE)))
    title = f"open a buffer to read, read one byte, close it ({backing})"
    return time_group(f"isolated-{backing}", title, contenders, rounds)


def _slots(rounds: int) -> Group:
    contenders = [
        _contender("bytearray", "bytearray, made and dropped", lambda: ours.make_and_drop_bytearray(SIZE)),
        _contender("strongroom", "strongroom LockedBuffer", lambda: ours.take_and_give_slot(SIZE)),
    ]
    return time_group("slots", f"make {SIZE} B and destroy them, in shared pages", contenders, rounds)


def _slots_live(rounds: int) -> Group:
    words = f"{LIVE_COUNT:,} of them"
    contenders = [
        _contender("bytearray", f"bytearray, {words}", lambda: ours.replace_bytearrays(SIZE, LIVE_COUNT)),
        _contender("strongroom", f"strongroom LockedBuffer, {words}", lambda: ours.replace_slots(SIZE, LIVE_COUNT)),
    ]
    return time_group("slots-live", "destroy a random one of many, make another", contenders, rounds)


def _slots_open(rounds: int) -> Group:
    contenders = [
        _contender("memoryview", "with memoryview(bytearray)", lambda: ours.open_close_memoryview(SIZE)),
        _contender("strongroom", "strongroom LockedBuffer", lambda: ours.open_close_slot(SIZE)),
    ]
    return time_group("slots-open", "open a buffer in shared pages to read, close it", contenders, rounds)


def _pool(rounds: int) -> Group:
    """The pool of slots alone, called from C: one thread, then one on each CPU at once."""
    key, title = "pool", f"take and give back a slot of {SIZE} B in C, time of each thread"
    words = {"one": "one thread", "all": "a thread on each CPU"}
    try:
        with pool.crew(SIZE) as crew:
            words["all"] = f"{crew.thread_count} threads, each on a CPU of its own"
            loops = {"one": crew.loop(1), "all": crew.loop(crew.thread_count)}
            return time_group(key, title, [Contender(k, words[k], loop) for k, loop in loops.items()], rounds)
    except SkipError as reason:
        return time_group(key, title, [Contender(k, words[k], reason) for k in words], rounds)


def _sealed(helper: Callable[[], Helper], rounds: int) -> Group:
    contenders = [
        _contender("bare", "the cipher's decryption alone, in C", lambda: ciphers.bare_decrypt(helper(), SIZE)),
        _contender("strongroom", "strongroom Secret", lambda: ours.open_close_sealed(SIZE)),
        _contender("nacl", "PyNaCl SecretBox.decrypt", lambda: ciphers.nacl_decrypt(SIZE)),
        _contender("aesgcm", "cryptography AESGCM.decrypt, object kept", lambda: ciphers.aesgcm_decrypt(SIZE, True)),
        _contender("aesgcm-fresh", "the same, a fresh object each", lambda: ciphers.aesgcm_decrypt(SIZE, False)),
    ]
    return time_group("sealed", f"decrypt {SIZE} B; ours into locked memory, wiped after", contenders, rounds)


def _sealed_page(helper: Callable[[], Helper], rounds: int) -> Group:
    contenders = [
        _contender("bare", "the cipher's decryption alone, in C", lambda: ciphers.bare_decrypt(helper(), PAGE_SIZE)),
        _contender("strongroom", "strongroom Secret", lambda: ours.open_close_sealed(PAGE_SIZE)),
    ]
    return time_group(
        "sealed-page", f"decrypt {PAGE_SIZE:,} B; ours into locked memory, wiped after", contenders, rounds
    )


def _shielded(rounds: int) -> Group:
    prekey = os.urandom(_PREKEY_SIZE)

    def hashing(count: int) -> None:
        for _ in range(count):
            hashlib.blake2b(prekey, digest_size=32).digest()

    contenders = [
        Contender("bare", f"hashlib.blake2b of {_PREKEY_SIZE:,} B", hashing),
        _contender("strongroom", "strongroom Secret, shielded", lambda: ours.open_close_sealed(SIZE, shielded=True)),
    ]
    return time_group("shielded", f"decrypt {SIZE} B under a key that is computed for it", contenders, rounds)


def _sealing(rounds: int) -> Group:
    def urandom(count: int) -> None:
        for _ in range(count):
            os.urandom(SIZE)

    contenders = [
        Contender("bare", "os.urandom, nothing sealed", urandom),
        _contender("strongroom", "strongroom Secret.random", lambda: ours.seal_random(SIZE)),
        _contender("strongroom-copy", "strongroom Secret.from_buffer, of bytes", lambda: ours.seal_copy(SIZE)),
        _contender("nacl", "os.urandom and PyNaCl SecretBox.encrypt", lambda: ciphers.nacl_encrypt(SIZE)),
    ]
    return time_group("sealing", f"draw {SIZE} random bytes and seal them", contenders, rounds)


def _allocate(helper: Callable[[], Helper], rounds: int) -> Group:
    contenders = [_contender("libsodium", "libsodium through ctypes", lambda: sodium.allocate_and_free(SIZE))]
    for backing in BACKINGS:

        def in_c(backing: str = backing) -> Loop:
            return helper().make_and_free(backing)

        def in_python(backing: str = backing) -> Loop:
            return ours.allocate_and_destroy(SIZE, backing)

        contenders.append(_contender(f"bare-{backing}", f"such a page by bare system calls, in C ({backing})", in_c))
        contenders.append(
            _contender(f"strongroom-{backing}", f"strongroom LockedBuffer, isolated ({backing})", in_python)
        )
    return time_group("allocate", f"allocate {SIZE} B and destroy them, isolated", contenders, rounds)


def _unlocked(rounds: int) -> list[Group]:
    """What needs no lock: made and destroyed, opened, and made in a private file."""
    making = [_contender("mmap", "Python's mmap of a page, written to, closed", unlocked.map_touch_and_close)]
    kinds: tuple[unlocked.Kind, ...] = ("droppable", "partial")
    for backing in kinds:

        def in_python(backing: unlocked.Kind = backing) -> Loop:
            return unlocked.make_and_destroy_volatile(SIZE, backing)

        making.append(_contender(f"strongroom-{backing}", f"strongroom VolatileBuffer ({backing})", in_python))
    opening = [
        _contender("memoryview", "with memoryview(mmap)", unlocked.read_mapped),
        _contender("droppable", "strongroom VolatileBuffer", lambda: unlocked.open_read_close_volatile(SIZE)),
        _contender("locked", "strongroom LockedBuffer, isolated", lambda: ours.open_read_close(SIZE, "locked")),
    ]
    burning = [
        _contender("mmap", "TemporaryFile, mmap, zeros, flush, closed", unlocked.map_file_and_flush),
        _contender("file", "strongroom FileBuffer", lambda: unlocked.make_and_destroy_file(SIZE)),
    ]
    return [
        time_group("volatile", f"make {SIZE} B that may vanish and destroy them", making, rounds),
        time_group("volatile-open", "open droppable pages to read, read one byte, close them", opening, rounds),
        time_group("file", f"make {SIZE} B in a private file and burn it; waits for the disk", burning, rounds),
    ]


def _regions(helper: Callable[[], Helper], rounds: int) -> Group:
    contenders = [
        _contender("bare", "mmap, mprotect, munmap in C", lambda: helper().reserve_commit_release(REGION_SIZE)),
        _contender("strongroom", "strongroom vm", lambda: ours.reserve_commit_release(REGION_SIZE)),
        _contender("mmap", "Python's mmap: made writable at once, closed", lambda: ours.map_and_close(REGION_SIZE)),
    ]
    return time_group("regions", "reserve 1 MiB, commit a page, release", contenders, rounds)


def _second_thread(helper: Callable[[], Helper], rounds: int) -> Group:
    """The first group's work and a sealed secret's, while another thread of this process computes."""
    key, title = "second-thread", "open, read one byte, close, while another thread runs; read the medians (locked)"
    makers: dict[str, tuple[str, Callable[[], Loop]]] = {
        "bare": ("mprotect pair with one read, in C", lambda: helper().pair("locked")),
        "strongroom": ("strongroom LockedBuffer, isolated", lambda: ours.open_read_close(SIZE, "locked")),
        "strongroom-slot": ("strongroom LockedBuffer, a slot (needs no mprotect)", lambda: ours.open_close_slot(SIZE)),
        "strongroom-sealed": ("strongroom Secret (needs no mprotect)", lambda: ours.open_close_sealed(SIZE)),
    }
    try:
        with helper().busy_thread():
            return time_group(key, title, [_contender(k, words, make) for k, (words, make) in makers.items()], rounds)
    except SkipError as reason:
        return time_group(key, title, [Contender(k, words, reason) for k, (words, _) in makers.items()], rounds)


def run(effort: Effort, tell: Callable[[str], None]) -> list[Group]:
    """Measure everything; ``tell`` hears the name of each group before it begins."""
    helper = _helper()
    parts: dict[str, Callable[[], Group | list[Group]]] = {
        "isolated, locked": lambda: _isolated(helper, "locked", effort.rounds),
        "isolated, secretmem": lambda: _isolated(helper, "secretmem", effort.rounds),
        "slots": lambda: _slots(effort.rounds),
        "slots, many live": lambda: _slots_live(effort.rounds),
        "slots, open": lambda: _slots_open(effort.rounds),
        "pool": lambda: _pool(effort.rounds),
        "sealed": lambda: _sealed(helper, effort.rounds),
        "sealed, a page": lambda: _sealed_page(helper, effort.rounds),
        "shielded": lambda: _shielded(effort.rounds),
        "sealing": lambda: _sealing(effort.rounds),
        "sealed by the second engine": lambda: second.measure(effort.rounds),
        "allocate": lambda: _allocate(helper, effort.rounds),
        "what needs no lock": lambda: _unlocked(effort.rounds),
        "regions": lambda: _regions(helper, effort.rounds),
        "listing": lambda: listing.measure(helper, effort.rounds),
        "physical pages": lambda: physical.measure(effort.rounds),
        "second thread": lambda: _second_thread(helper, effort.rounds),
        "startup": lambda: startup.measure(effort.processes),
        "footprint": lambda: footprint.measure(effort.footprint_rounds, effort.footprint_count),
    }
    groups: list[Group] = []
    for name, measure in parts.items():
        tell(name)
        measured = measure()
        groups += measured if isinstance(measured, list) else [measured]
    return groups
