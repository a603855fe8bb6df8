"""What a test may need of the system it runs on, as marks with a reason to skip."""

import os
import sys

import pytest

WINDOWS = sys.platform == "win32"
LINUX = sys.platform.startswith("linux")

linux = pytest.mark.skipif(not LINUX, reason="needs Linux: reads /proc, or makes its system calls fail")
unix = pytest.mark.skipif(WINDOWS, reason="needs a Unix: its signals, terminals or environment")
fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork: Windows has none")
closed_pages = pytest.mark.skipif(
    WINDOWS, reason="needs pages that stay locked while inaccessible: on Windows a closed buffer is readable"
)
