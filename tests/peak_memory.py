"""The most memory that a process has held itself."""

import resource
from pathlib import Path


def peak_bytes() -> int:
    """Return this process's peak memory; what the system calls maxrss begins with that of its parent."""
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
