"""The matrix of what may become of a secured page: by the manual's letter, by the Windows kernel, and here.

Letter: MmSecureVirtualMemory in ntddk.h's documentation, "Protection cannot be changed to …; all other protection
changes are allowed". Kernel: what NT does (MiCheckSecuredVad in the published Windows Research Kernel): freeing counts
as no access, any guard page is refused, and each protection is worth reading, or reading and writing, or nothing.
"""

from pages import BASES, PAGE
from strongroom import SecuredError, StrongroomError, vm

MODES = {"READ_WRITE": vm.READ_WRITE, "READ_ONLY": vm.READ_ONLY}
CHANGES = [*BASES, *(f"{name} + GUARD" for name in BASES), "decommit", "release"]

_WORTH_WRITING = {"READ_WRITE", "WRITE_COPY", "EXECUTE_READ_WRITE", "EXECUTE_WRITE_COPY"}


def letter(mode: str, change: str) -> str:
    """What the documentation says, read to the letter: it does not speak of GUARD."""
    base, _, modifier = change.partition(" + ")
    if base == "NO_ACCESS" and modifier:
        return "no such protection"
    if change in ("decommit", "release"):
        return "refused"
    refused = {"NO_ACCESS", "READ_ONLY"} if mode == "READ_WRITE" else {"NO_ACCESS"}
    return "refused" if base in refused else "allowed"


def kernel(mode: str, change: str) -> str:
    """What the Windows kernel answers."""
    base, _, modifier = change.partition(" + ")
    if base == "NO_ACCESS" and modifier:
        return "no such protection"
    if change in ("decommit", "release", "NO_ACCESS") or modifier:
        return "refused"
    return "allowed" if mode == "READ_ONLY" or base in _WORTH_WRITING else "refused"


def _page_for(base: str) -> vm.Region:
    """A page to try it on: private memory, and for what is copied when written a view, which alone can be that."""
    if base not in ("WRITE_COPY", "EXECUTE_WRITE_COPY"):
        return vm.allocate(PAGE)
    with vm.create_section(PAGE, protection=vm.EXECUTE_READ_WRITE) as section:
        return section.map(protection=vm.EXECUTE_WRITE_COPY)


def ours(mode: str, change: str) -> str:
    """What happens here, tried on a page of its own."""
    base, _, modifier = change.partition(" + ")
    with _page_for(base) as region:
        handle = region.secure(0, PAGE, MODES[mode])
        try:
            if change == "decommit":
                region.decommit()
            elif change == "release":
                region.release()
            else:
                region.protect(0, PAGE, BASES[base] | (vm.GUARD if modifier else 0))
        except SecuredError:
            return "refused"
        except ValueError:
            return "no such protection"
        except StrongroomError as error:
            return type(error).__name__
        finally:
            handle.unsecure()
    return "allowed"


def table() -> str:
    """The whole matrix, as docs/vm/securing.md prints it."""
    lines = [
        "| change | RW: letter | RW: kernel | RW: ours | RO: letter | RO: kernel | RO: ours |",
        "|---|---|---|---|---|---|---|",
    ]
    for change in CHANGES:
        cells = [view(mode, change) for mode in MODES for view in (letter, kernel, ours)]
        lines.append(f"| {change} | {' | '.join(cells)} |")
    return "\n".join(lines)
