"""How much memory this machine gives a process, and how much of it the process holds."""

import os
import resource
import sys
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup/memory.max")  # of containers; "max" where there is no limit
STATM = Path("/proc/self/statm")


def total_bytes() -> int:
    """Physical memory, or the container's limit where that is less."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = CGROUP.read_text().strip() if CGROUP.is_file() else ""
    return min(physical, int(limit)) if limit.isdecimal() else physical


def held_bytes() -> int:
    """Memory that this process holds now; where the system does not say, the most that it ever held."""
    if STATM.is_file():
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
