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

#: A larger one may be off by so many of its own roundings at least, up to this share of it.
LARGE_ROUNDINGS = 64.0
LARGEST_ROUNDING = 1e-3


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

    Raises `ValueError` where the shapes differ.
    """
    if expected.shape != found.shape:
        raise ValueError(f"shape {list(found.shape)}, expected {list(expected.shape)}")
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    return np.where(found == expected, 0.0, np.where(np.isnan(apart), np.inf, apart))


def beyond_rounding(
    apart: NDArray[np.float64],
    expected: NDArray[Any],
    bound: NDArray[np.float64] | float,
    roundings: float = LARGE_ROUNDINGS,
) -> NDArray[np.float64]:
    """`apart`, but 0 where a large entry is off by more than `bound` only for its own rounding.

    The bound is of the ordinary numbers of an output: -1e9 + 0.3 is -1e9, or 64 less, and says
    nothing of those beside it. `bound` and `expected` have the shape of `apart`, or spread to it.
    """
    if not np.issubdtype(expected.dtype, np.floating):
        return apart
    size = np.abs(expected.astype(np.float64))
    share = min(roundings * float(np.finfo(expected.dtype).eps), LARGEST_ROUNDING)
    large = (size >= LARGEST_ORDINARY) & np.isfinite(size)
    return np.where(large & (apart > bound) & (apart <= share * size), 0.0, apart)
