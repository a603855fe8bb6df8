"""The life of one page: reserved, committed, touched, paged out, faulted back, released; and where it is each time.

Any user may run it. To root Linux also tells the frame and the slot, and the page file can be read. To be paged out the
page needs a page file on the machine. What cannot be shown is said.
"""

import mmap
import os
import time
from collections.abc import Callable
from contextlib import suppress

from strongroom import UnsupportedError, vm

PAGE, PAGES = vm.PAGE_SIZE, 16
TEXT = f"1337, written by process {os.getpid()}".encode()
not_shown: set[str] = set()


def faults() -> vm.Faults:
    """This thread's, or where nobody counts by thread, the process's."""
    try:
        return vm.faults(thread=True)
    except UnsupportedError:
        return vm.faults()


def counted(touch: Callable[[], object]) -> str:
    """Do it, and tell how many faults it took."""
    before = faults()
    touch()
    after = faults()
    minor = f"{after.minor - before.minor} minor"
    if before.major is None or after.major is None:
        return f"{minor} or major"
    return f"{minor}, {after.major - before.major} major"


def place(address: int) -> str:
    """Where a page is, as far as the system tells this user."""
    try:
        page = vm.translate(address)
    except (UnsupportedError, OSError) as error:
        not_shown.add(f"where the page is: {error}")
        return "somewhere"
    if page.reason:
        not_shown.add(page.reason)
    if page.where == "page file":
        name = page.page_file or " or ".join(page.candidates)
        return f"in the page file {name}" + (f", slot {page.slot}" if page.slot else "")
    return f"in the {page.where} {page.frame or ''}".rstrip() if page.where != "nowhere" else "nowhere"


def bytes_in(page_file: str, position: int) -> str:
    """What the page file holds at a place, past the cache: or why that cannot be said."""
    with mmap.mmap(-1, PAGE) as buffer:  # O_DIRECT wants a whole page of its own
        try:
            file = os.open(page_file, os.O_RDONLY | os.O_DIRECT)
            try:
                os.preadv(file, [buffer], position)
            finally:
                os.close(file)
        except OSError as error:
            return f"not to be read: {error}"
        held = buffer[: len(TEXT)]
    if not any(held):  # the swap writes to the disk past the file system, which does not know of it
        return "zeros: not this file, or one made by fallocate(1), which reads as zeros until written as a file"
    return repr(held)


with vm.allocate(PAGE) as scratch:  # so that what Python needs for telling all this has been touched before
    counted(lambda: scratch.write(0, TEXT))
    place(scratch.address)

region = vm.reserve(PAGES * PAGE)
address = region.address + 5 * PAGE  # one page among neighbours
print(f"reserved:    {vm.query(address).state}; {place(address)}")

region.commit()
print(f"committed:   {vm.query(address).state}; {place(address)}")

faulted = counted(lambda: region.read(5 * PAGE, 4))
print(f"read:        {faulted}; zeros; {place(address)}")

faulted = counted(lambda: region.write(5 * PAGE, TEXT))
print(f"written:     {faulted}; {place(address)}")

for page in range(PAGES):
    region.write(page * PAGE, TEXT)
moved = region.page_out()
for _ in range(50):  # a page that was touched only just now may not leave at once
    if not moved.after or not any(file.used < file.size for file in vm.page_files()):
        break
    time.sleep(0.01)
    moved = region.page_out()
if moved.after:
    print(f"paged out:   {PAGES - moved.after} of {PAGES}: {moved.reason}")
else:
    print(f"paged out:   all {PAGES} of them; {place(address)}")
    with suppress(UnsupportedError, OSError):
        slot = vm.translate(address)
        for name in slot.candidates if slot.position else ():
            print(f"there:       at byte {slot.position:,} of {name}: {bytes_in(name, slot.position or 0)}")

faulted = counted(lambda: region.read(5 * PAGE, 4))
print(f"read again:  {faulted}; {region.read(5 * PAGE, len(TEXT))!r}; {place(address)}")

if not moved.after:
    faulted = counted(lambda: [region.read(page * PAGE, 1) for page in range(6, PAGES)])
    print(f"read on:     {faulted}, for the {PAGES - 6} pages behind it", end="")
    with suppress(UnsupportedError):
        print(f"; the system brings {vm.clustering().swap_pages} at a time, at most", end="")
    print()

region.decommit()
print(f"decommitted: {vm.query(address).state}; {place(address)}")
region.release()
print(f"released:    {vm.query(address).state}; {place(address)}")
for reason in sorted(not_shown):
    print(f"not shown:   {reason}")
