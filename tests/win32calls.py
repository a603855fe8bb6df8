"""Random sequences of Win32 memory calls, run against Windows' own or strongroom's, and written down alike.

Run as a program it needs nothing but Python, so that it also runs where strongroom is not installed:

    python win32calls.py kernel32|ours FIRST_SEED SEQUENCES STEPS

prints one JSON line for each sequence: what was called and what came of it, with every address relative to the
allocation it belongs to. What ``kernel32`` prints inside Wine and what ``ours`` prints on Linux must be equal, but for
the deviations that ``test_win32_differential.py`` names.
"""

import json
import random
import sys
from typing import Any

PAGE = 0x1000
GRANULE = 0x10000
SLOTS = 4

COMMIT, RESERVE, DECOMMIT, RELEASE = 0x1000, 0x2000, 0x4000, 0x8000
PROTECTIONS = (0x01, 0x02, 0x04, 0x10, 0x20, 0x40)
ODD_PROTECTIONS = (0x00, 0x03, 0x08, 0x80, 0x104, 0x102, 0x101, 0x204, 0x404, 0x604, 0x800, 0x1004)
WRITE_COMBINE = 0x400  #: Wine takes it and forgets it: what is told of pages is compared without
SIZES = (1, 8, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE, GRANULE, GRANULE + 1, 5 * GRANULE)
ODD_SIZES = (0, 1 << 47, (1 << 63) - 1)

KINDS = ("new", "alloc", "free", "protect", "lock", "unlock", "query", "prefetch")

Call = tuple[str, dict[str, Any]]


def a_call(dice: random.Random) -> Call:
    """Draw one call. Addresses are (slot, offset): what lies there when it is made is up to what came before."""
    slot = dice.randrange(SLOTS)
    offset = dice.choice((0, 0, 0, 1, PAGE, PAGE + 5, 2 * PAGE, GRANULE, GRANULE + PAGE, dice.randrange(6 * GRANULE)))
    size = dice.choice(SIZES) if dice.random() < 0.95 else dice.choice(ODD_SIZES)
    protection = dice.choice(PROTECTIONS) if dice.random() < 0.9 else dice.choice(ODD_PROTECTIONS)
    what = dice.choices(KINDS, (4, 6, 4, 6, 2, 2, 2, 2))[0]
    call: dict[str, Any] = {"slot": slot, "offset": offset, "size": size}
    if what == "new":
        kind = dice.choice((COMMIT, RESERVE, COMMIT | RESERVE, RESERVE, 0, 0x100000 | RESERVE, 0x80000, 0x123))
        call = {"slot": slot, "size": size, "type": kind, "protection": protection}
    elif what == "alloc":
        call |= {
            "type": dice.choice((COMMIT, COMMIT, COMMIT, RESERVE, COMMIT | RESERVE, 0x80000)),
            "protection": protection,
        }
    elif what == "free":
        kind = dice.choice((DECOMMIT, DECOMMIT, DECOMMIT, RELEASE, RELEASE, 0, DECOMMIT | RELEASE, 0x1))
        if dice.random() < 0.5:
            call["size"] = 0
        if kind == RELEASE and dice.random() < 0.5:
            call["offset"] = call["size"] = 0
        call["type"] = kind
    elif what == "protect":
        call["protection"] = protection
    return what, call


class Ours:
    """strongroom.vm.win32."""

    def __init__(self) -> None:
        from strongroom.vm import win32

        self.api: Any = win32

    def __call__(self, name: str, *arguments: Any) -> tuple[int, int]:
        """Call it: what it returned, and the error code."""
        try:
            if name == "VirtualProtect":
                old = self.api.DWORD()
                self.api.VirtualProtect(*arguments, old)
                return old.value, 0
            if name == "PrefetchVirtualMemory":
                arguments = (-1, 1, [self.api.WIN32_MEMORY_RANGE_ENTRY(*arguments)], 0)
            return int(getattr(self.api, name)(*arguments)), 0
        except OSError as error:
            return 0, error.winerror  # type: ignore[attr-defined,unused-ignore]

    def query(self, address: int) -> tuple[int, int, int, int, int, int, int]:
        """VirtualQuery, its fields in Windows' order."""
        m = self.api.MEMORY_BASIC_INFORMATION()
        self.api.VirtualQuery(address, m)
        return m.BaseAddress, m.AllocationBase, m.AllocationProtect, m.RegionSize, m.State, m.Protect, m.Type


class Kernel32:
    """Windows' own kernel32."""

    def __init__(self) -> None:
        import ctypes
        from ctypes import wintypes

        class Information(ctypes.Structure):
            _fields_ = (
                ("BaseAddress", ctypes.c_size_t),
                ("AllocationBase", ctypes.c_size_t),
                ("AllocationProtect", wintypes.DWORD),
                ("PartitionId", wintypes.WORD),
                ("RegionSize", ctypes.c_size_t),
                ("State", wintypes.DWORD),
                ("Protect", wintypes.DWORD),
                ("Type", wintypes.DWORD),
            )

        self.ctypes, self.Information = ctypes, Information
        self.api: Any = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
        self.api.VirtualAlloc.restype = ctypes.c_size_t

    def __call__(self, name: str, *arguments: int) -> tuple[int, int]:
        """Call it: what it returned, and the error code."""
        c = self.ctypes
        values: list[Any] = [c.c_size_t(arguments[0]), c.c_size_t(arguments[1]), *map(c.c_uint32, arguments[2:])]
        old = c.c_uint32()
        if name == "VirtualProtect":
            values.append(c.byref(old))
        elif name == "PrefetchVirtualMemory":  # its arguments are one range
            values = [c.c_size_t(-1), c.c_size_t(1), (c.c_size_t * 2)(*arguments), c.c_uint32(0)]
        c.set_last_error(0)  # type: ignore[attr-defined,unused-ignore]
        result = getattr(self.api, name)(*values)
        if not result:
            return 0, c.get_last_error()  # type: ignore[attr-defined,unused-ignore]
        return (old.value if name == "VirtualProtect" else result), 0

    def query(self, address: int) -> tuple[int, int, int, int, int, int, int]:
        """VirtualQuery, its fields in Windows' order."""
        m = self.Information()
        self.api.VirtualQuery(self.ctypes.c_size_t(address), self.ctypes.byref(m), self.ctypes.c_size_t(48))
        return m.BaseAddress, m.AllocationBase, m.AllocationProtect, m.RegionSize, m.State, m.Protect, m.Type


class Sequence:
    """One sequence of calls, and what is allocated in its course."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.bases: dict[int, tuple[int, int]] = {}  # slot -> base, size as VirtualQuery sees it

    def step(self, what: str, call: dict[str, Any]) -> list[Any]:
        """Make one call; say what came of it."""
        slot = call["slot"]
        base = self.bases.get(slot, (0, 0))[0]
        address = base + call.get("offset", 0) if base else 0
        if what == "new":
            if base:
                self.backend("VirtualFree", base, 0, RELEASE)
                del self.bases[slot]
            result, code = self.backend("VirtualAlloc", 0, call["size"], call["type"], call["protection"])
            if result:
                self.bases[slot] = (result, self.extent(result))
            return [code, result % GRANULE, self.picture(slot)]
        if not base:
            return ["nothing there"]
        if call["offset"] >= self.bases[slot][1]:
            return ["outside"]  # what lies behind an allocation is chance
        if what == "alloc":
            result, code = self.backend("VirtualAlloc", address, call["size"], call["type"], call["protection"])
            return [code, result - base if result else 0, self.picture(slot)]
        if what == "free":
            result, code = self.backend("VirtualFree", address, call["size"], call["type"])
            if result and call["type"] == RELEASE:
                del self.bases[slot]
                return [code, "released", self.backend.query(base)[4]]
            return [code, self.picture(slot)]
        if what == "protect":
            old, code = self.backend("VirtualProtect", address, call["size"], call["protection"])
            return [code, old & ~WRITE_COMBINE, self.picture(slot)]
        if what == "query":
            return [self.run_from(slot, address)]
        name = {"lock": "VirtualLock", "unlock": "VirtualUnlock", "prefetch": "PrefetchVirtualMemory"}[what]
        _, code = self.backend(name, address, call["size"])
        return [code, self.picture(slot)]

    def extent(self, base: int) -> int:
        """How large the allocation at ``base`` is."""
        address = base
        while True:
            info = self.backend.query(address)
            if info[1] != base:
                return address - base
            address = info[0] + info[3]

    def relative(self, slot: int, info: tuple[int, ...]) -> list[int]:
        """An answer of VirtualQuery without absolute addresses."""
        base = self.bases[slot][0]
        made, size, state, protection, kind = info[2:]
        told = [made & ~WRITE_COMBINE, size, state, protection & ~WRITE_COMBINE, kind]
        return [info[0] - base, info[1] - base, *told]

    def run_from(self, slot: int, address: int) -> list[int]:
        """The pages from ``address`` on that are alike. Wine ends a run of reserved pages where they once were
        protected differently; Windows and strongroom do not, so such runs are put together."""
        base, size = self.bases[slot]
        run = self.relative(slot, self.backend.query(address))
        while base + run[0] + run[3] < base + size:
            more = self.relative(slot, self.backend.query(base + run[0] + run[3]))
            if more[4:] != run[4:]:
                break
            run[3] += more[3]
        return run

    def picture(self, slot: int) -> list[list[int]]:
        """Every run of pages of an allocation."""
        runs: list[list[int]] = []
        base, size = self.bases.get(slot, (0, 0))
        done = 0
        while done < size:
            runs.append(self.run_from(slot, base + done))
            done = runs[-1][0] + runs[-1][3]
        return runs

    def end(self) -> None:
        """Release what is left."""
        for base, _ in self.bases.values():
            self.backend("VirtualFree", base, 0, RELEASE)


def run(backend: Any, seed: int, steps: int) -> list[list[Any]]:
    """Draw and make the calls of one sequence."""
    dice = random.Random(seed)
    sequence = Sequence(backend)
    story = []
    for _ in range(steps):
        what, call = a_call(dice)
        story.append([what, call, sequence.step(what, call)])
    sequence.end()
    return story


if __name__ == "__main__":
    _, name, first, sequences, step_count = sys.argv
    chosen = Ours() if name == "ours" else Kernel32()
    for number in range(int(first), int(first) + int(sequences)):
        print(json.dumps(run(chosen, number, int(step_count))))  # noqa: T201
