"""The networks that come with azx."""

from __future__ import annotations

from pathlib import Path

import azx.runtime
from azx.runtime.errors import ModelError
from azx.runtime.files import exists

#: Beside `runtime/`, in a checkout as in a wheel.
MODELS = Path(azx.runtime.__file__).resolve().parents[1] / "models"


def shipped_model(variant_name: str) -> Path:
    """The model file that comes with azx for this variant; `ModelError` where there is none."""
    path = MODELS / f"{variant_name}.onnx"
    if not path.is_file():
        raise ModelError(
            f"no model of {variant_name} comes with this azx ({path} is missing; there are: "
            f"{_shipped()}): give a file with --model, or make one with `azx train` and "
            "`azx export`"
        )
    return path


def named_model(model: Path) -> Path:
    """`model` itself where there is such a file, else the shipped one of that name.

    So `standard-small` is enough for the smaller network that comes with azx. `ModelError` where
    there is neither.
    """
    if exists(model) and not model.is_dir():
        return model
    shipped = MODELS / f"{model}.onnx"
    if model.name == str(model) and shipped.is_file():  # a name alone, no path
        return shipped
    if exists(model):
        return model  # a folder is told where it is opened
    raise ModelError(
        f"{model}: no such file, and no network of that name comes with azx; there are: "
        f"{_shipped()}"
    )


def model_file(model: Path | None, variant_name: str) -> Path:
    """The file that `model` names, or without one what comes with azx for this variant."""
    return shipped_model(variant_name) if model is None else named_model(model)


def _shipped() -> str:
    return ", ".join(sorted(path.stem for path in MODELS.glob("*.onnx"))) or "none at all"
