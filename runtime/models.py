"""The networks that come with azx."""

from __future__ import annotations

from pathlib import Path

import azx.runtime
from azx.runtime.errors import ModelError

#: Beside `runtime/`, in a checkout as in a wheel.
MODELS = Path(azx.runtime.__file__).resolve().parents[1] / "models"


def shipped_model(variant_name: str) -> Path:
    """The model file that comes with azx for this variant; `ModelError` where there is none."""
    path = MODELS / f"{variant_name}.onnx"
    if not path.is_file():
        others = ", ".join(sorted(p.stem for p in MODELS.glob("*.onnx"))) or "none at all"
        raise ModelError(
            f"no model of {variant_name} comes with this azx ({path} is missing; there are: "
            f"{others}): give a file with --model, or make one with `azx train` and `azx export`"
        )
    return path


def named_model(model: Path) -> Path:
    """`model` itself where there is such a file, else the shipped one of that name, if any.

    So `standard-small` is enough for the smaller network that comes with azx.
    """
    shipped = MODELS / f"{model}.onnx"
    return shipped if not model.exists() and shipped.is_file() else model
