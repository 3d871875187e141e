"""What a result was found on: hardware and versions, as a submission states them."""

import os
import platform
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """`hardware` and `software` of this process."""
    import psutil
    import torch

    from agents.folder import circumstances

    known = circumstances()
    versions = dict(known["versions"])
    return {
        "hardware": {
            "cpu": processor(),
            "cores": cores(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
            "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
            "platform": f"{platform.system()} {platform.machine()}",
        },
        "software": {
            "genenvs": versions.pop("genenvs"),
            "commit": known["git"],
            "python": versions.pop("python"),
            "libraries": versions,
        },
    }


def processor() -> str:
    """Its name, as well as the platform tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cores() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
