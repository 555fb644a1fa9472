"""What a figure must be read with."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import azx
from azx.runtime.resources import available_cores

#: Whose versions are told, where they are installed. torch is only asked for its number.
PACKAGES = ("onnxruntime", "numpy", "numba", "torch")


def machine() -> dict[str, str | int]:
    """What a figure must be read with: processor, cores this process may use, versions."""
    return {
        "processor": _processor(),
        "cores_available": available_cores(),
        "cores_of_machine": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "azx": azx.__version__,
        **{name: _version(name) for name in PACKAGES},
    }


def runs_on(provider: str, threads: int) -> str:
    """`cpu, 2 threads`."""
    return f"{provider}, {threads} thread{'' if threads == 1 else 's'}"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def _processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
