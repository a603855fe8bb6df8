"""The janitor: a process that waits for prove to end, in whatever way, and puts everything back.

In: the journal's path and the read end of a pipe whose other end only prove holds (close-on-exec, so no victim
or attacker has it). When prove ends, by itself or by SIGKILL, the kernel closes that end, and the janitor reads
end-of-file. It has a session of its own and ignores the signals a terminal or a service manager sends round.
On a normal end prove has undone everything already; the janitor then only removes the journal.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from .undo import settle

_TRIES = 3
_PAUSE_SECONDS = 1.0


def main(arguments: list[str]) -> int:
    """Wait, restore, and say so only if something is left."""
    path, descriptor = arguments[0], int(arguments[1])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    os.write(1, b"ready\n")
    while os.read(descriptor, 4096):
        pass
    left = ["?"]
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE_SECONDS)
        left = settle(path)
        if not left:
            return 0
    for problem in left:
        sys.stderr.write(f"strongroom prove: could not put back: {problem}\n")
    sys.stderr.write("strongroom prove: run `strongroom prove --restore` to try again\n")
    return 1
