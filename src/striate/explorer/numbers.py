"""Arrays inside JSON: their shape, and their bytes in base 64."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def packed(array: NDArray[Any]) -> dict[str, Any]:
    """An array as a JSON object: uint8 as it is, anything else as float32, little-endian.

    >>> packed(np.arange(3, dtype=np.uint8))
    {'shape': [3], 'uint8': 'AAEC'}
    """
    kind = "uint8" if array.dtype == np.uint8 else "float32"
    values = np.ascontiguousarray(array, dtype="<f4" if kind == "float32" else np.uint8)
    return {"shape": list(array.shape), kind: base64.b64encode(values.tobytes()).decode()}


def unpacked(document: dict[str, Any]) -> NDArray[Any]:
    """The array that `packed` put into a JSON object.

    >>> unpacked(packed(np.array([[0.5, -2.0]], np.float32))).tolist()
    [[0.5, -2.0]]
    """
    kind = "uint8" if "uint8" in document else "float32"
    values = np.frombuffer(base64.b64decode(document[kind]), "<f4" if kind == "float32" else "u1")
    return values.reshape(document["shape"])


def finite(number: float) -> float | None:
    """A number that JSON can hold; None for NaN and infinities."""
    value = float(number)
    return value if math.isfinite(value) else None
