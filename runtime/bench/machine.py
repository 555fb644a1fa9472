"""What a figure must be read with."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np
import onnxruntime

import azx
from azx.runtime.onnx_evaluator import available_cores


def machine() -> dict[str, str | int]:
    """What a figure must be read with: processor, cores this process may use, versions."""
    return {
        "processor": _processor(),
        "cores_available": available_cores(),
        "cores_of_machine": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "azx": azx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
    }


def _processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
