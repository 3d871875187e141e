"""Resident memory of this process; imports nothing heavy."""

import ctypes
import sys
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory() -> float | None:
    """Resident memory of this process at its highest, GB; None where the platform does not tell."""
    try:
        # What `getrusage` tells on Linux begins with the peak of the process that started this one.
        return round(_resident("VmHWM") / 1e9, 3)
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e9 if sys.platform == "darwin" else 1e6), 3)


class Growth:
    """By how much memory grew at most since this was made; Linux alone tells."""

    def __init__(self) -> None:
        self._before: int | None = None
        try:
            # What was freed is given back first, or it would be used again and not be seen.
            ctypes.CDLL(None).malloc_trim(0)
            _CLEAR.write_text("5")  # the highest mark falls to where memory is now
            self._before = _resident("VmRSS")
        except (AttributeError, OSError, TypeError):
            return

    @property
    def bytes(self) -> int | None:
        """Bytes, or None where the platform does not tell."""
        return None if self._before is None else _resident("VmHWM") - self._before


def _resident(name: str) -> int:
    """A line of the process's status, in bytes."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"{_STATUS} has no {name}")
