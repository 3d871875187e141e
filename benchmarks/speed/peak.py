"""Memory of this process; imports nothing heavy."""

import sys


def peak_memory() -> float | None:
    """Resident memory at its highest, GB; None where the platform does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e9 if sys.platform == "darwin" else 1e6), 3)
