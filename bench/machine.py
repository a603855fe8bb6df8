"""On what the figures were taken: hardware, kernel, interpreter, load; no names and no paths."""

import os
import platform
import resource
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path


def _line(path: str, name: str) -> str:
    """Return what follows ``name`` in a file of ``name: value`` lines."""
    try:
        for line in Path(path).read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    except OSError:
        pass
    return "unknown"


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def describe() -> dict[str, str]:
    """Return the description, ready to print."""
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cpu": _line("/proc/cpuinfo", "model name"),
        "cpus usable": str(len(os.sched_getaffinity(0))),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}",
        "strongroom": _version("strongroom"),
        "PyNaCl": _version("PyNaCl"),
        "cryptography": _version("cryptography"),
        "lock limit": "unlimited" if limit == resource.RLIM_INFINITY else f"{limit:,} bytes",
        "load average": f"{os.getloadavg()[0]:.2f}",
        "threads": _line("/proc/self/status", "Threads"),
    }
