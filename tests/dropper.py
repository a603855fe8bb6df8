"""A process that has the kernel drop pages of its parent, over and over, and of nobody else.

``python dropper.py PID START...``: droppable pages by process_madvise(2), which needs CAP_SYS_NICE and the right to
trace the parent; with ``write-back`` before them, partial pages by fsync(2) through /proc/PID/map_files, which needs
CAP_SYS_ADMIN. Says "ready" after the first round, or "refused" and why. Ends when its standard input does.
"""

import ctypes
import os
import select
import sys

MADV_PAGEOUT = 21
SYS_PIDFD_OPEN, SYS_PROCESS_MADVISE = 434, 440
PAGE = os.sysconf("SC_PAGE_SIZE")
PAUSE_SECONDS = 0.0001


class _Range(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("size", ctypes.c_size_t))


def main(pid: int, pages: list[int], is_write_back: bool) -> None:
    """Drop until told to end."""
    libc = ctypes.CDLL(None, use_errno=True)
    ranges = (_Range * len(pages))(*[_Range(page, PAGE) for page in pages])
    process = libc.syscall(SYS_PIDFD_OPEN, pid, 0)
    files = [os.open(f"/proc/{pid}/map_files/{page:x}-{page + PAGE:x}", os.O_RDWR) for page in pages if is_write_back]
    count, cpus = 0, sorted(os.sched_getaffinity(0))
    while not select.select([0], [], [], PAUSE_SECONDS)[0]:
        os.sched_setaffinity(0, {cpus[count % len(cpus)]})  # a page that was just touched waits in a list of one CPU
        for file in files:
            os.fsync(file)
        if not files and libc.syscall(SYS_PROCESS_MADVISE, process, ranges, len(ranges), MADV_PAGEOUT, 0) < 0:
            raise OSError(ctypes.get_errno(), "process_madvise")
        count += 1
        if count == 1:
            os.write(1, b"ready\n")
    os.write(1, f"{count}\n".encode())


if __name__ == "__main__":
    try:
        main(
            int(sys.argv[1]), [int(word, 16) for word in sys.argv[2:] if word != "write-back"], "write-back" in sys.argv
        )
    except PermissionError as error:
        os.write(1, f"refused: {error}\n".encode())
