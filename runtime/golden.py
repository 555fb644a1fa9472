"""A few inputs with what the network said of them in torch, small enough to travel in the model.

Arrays are stored as JSON: their type and shape, and zlib of their little-endian bytes in base64.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from azx.runtime.contract import BOARD
from azx.runtime.errors import ModelError

#: Entries at least this large are taken for masks (-1e4 on a filled cell), where others are not.
LARGEST_ORDINARY = 1e3

#: So many roundings of its own a mask may be off: -1e9 + 0.3 is -1e9, or 64 less.
MASK_ROUNDINGS = 8


class Golden(NamedTuple):
    """Inputs by name and the outputs for them; for networks of the contract K boards."""

    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, NDArray[Any]]

    @property
    def boards(self) -> NDArray[np.int8]:
        """int8 [K, C]: the input of a network of the contract."""
        return self.inputs[BOARD]


def encode_golden(golden: Golden) -> dict[str, Any]:
    """The golden set as it goes into `Card.golden`."""
    return {
        "inputs": {name: _encode(array) for name, array in golden.inputs.items()},
        "outputs": {name: _encode(array) for name, array in golden.outputs.items()},
    }


def decode_golden(data: dict[str, Any]) -> Golden:
    """The inverse of `encode_golden`; `ModelError` where it is missing or malformed."""
    try:
        # The first files held nothing but boards.
        stored = data["inputs"] if "inputs" in data else {BOARD: data["boards"]}
        inputs = {str(name): _decode(array) for name, array in stored.items()}
        outputs = {str(name): _decode(array) for name, array in data["outputs"].items()}
        if BOARD in inputs and (
            inputs[BOARD].dtype != np.int8
            or any(len(array) != len(inputs[BOARD]) for array in outputs.values())
        ):
            raise ValueError("boards and outputs do not fit each other")
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error, zlib.error) as error:
        raise ModelError(
            f"the model's golden set cannot be read ({type(error).__name__}: {error}); "
            "export it again with this azx"
        ) from error
    return Golden(inputs, outputs)


def _encode(array: NDArray[Any]) -> dict[str, Any]:
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "zlib": base64.b64encode(zlib.compress(little.tobytes(), 9)).decode(),
    }


def _decode(data: dict[str, Any]) -> NDArray[Any]:
    dtype = np.dtype(data["dtype"])
    content = zlib.decompress(base64.b64decode(data["zlib"], validate=True))
    stored = np.frombuffer(content, dtype=dtype.newbyteorder("<"))
    return stored.reshape(data["shape"]).astype(dtype)


def differences(expected: NDArray[Any], found: NDArray[Any]) -> NDArray[np.float64]:
    """|found - expected| entry by entry; Inf where either is NaN, 0 where both are the same Inf.

    It is 0 too where both are the same mask (`LARGEST_ORDINARY`), up to rounding: what a mask is
    off by says nothing of the numbers beside it. Raises `ValueError` where the shapes differ.
    """
    if expected.shape != found.shape:
        raise ValueError(f"shape {list(found.shape)}, expected {list(expected.shape)}")
    with np.errstate(invalid="ignore"):
        apart = np.abs(found.astype(np.float64) - expected.astype(np.float64))
        same = (found == expected) | _same_masks(expected, apart, _rounding(expected, found))
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


def _rounding(*arrays: NDArray[Any]) -> float:
    """That of the coarsest of their types; 0 for whole numbers."""
    floating = [array.dtype for array in arrays if np.issubdtype(array.dtype, np.floating)]
    return max((float(np.finfo(dtype).eps) for dtype in floating), default=0.0)


def _same_masks(
    expected: NDArray[Any], apart: NDArray[np.float64], rounding: float
) -> NDArray[np.bool_]:
    """Which entries are masks, others being none, and off by no more than rounding."""
    size = np.abs(expected.astype(np.float64))
    masks = (size >= LARGEST_ORDINARY) & np.isfinite(size)
    if not (size < LARGEST_ORDINARY).any():
        return np.zeros_like(masks)
    return masks & (apart <= MASK_ROUNDINGS * rounding * size)
