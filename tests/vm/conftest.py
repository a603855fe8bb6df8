"""Which of these files can be imported at all: some are about Unix processes from their first line on."""

import sys

collect_ignore = (
    []
    if sys.platform.startswith("linux")
    else ["test_lock_limits.py", "test_permanent.py", "test_races.py", "test_refusals.py"]
)
