"""What a client sends to be predicted: files, arrays and texts; never paths or addresses."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from striate.data.unlabelled import Batch, Text
from striate.serving.failure import Failure

Content: TypeAlias = "bytes | NDArray[Any] | Batch | Text"


@dataclass(frozen=True, kw_only=True, eq=False)
class Sent:
    """One input of a request.

    Attributes:
        name: The name of its file as the client has it; empty where it has none.
        content: A file, an array of one item or of several, or a text.
    """

    content: Content
    name: str = ""


_FORMS: Final = (
    "write a file as base64, an array as nested lists of numbers, or an object with one of the "
    'keys "base64" and "text"'
)


def sent_in_json(document: Any, *, written: bool) -> list[Sent]:
    """The inputs of the document `{"inputs": [...]}`.

    Args:
        document: The document.
        written: Whether items are written as text, so that a string is an item and not a file.

    Raises:
        Failure: It is no such document, or an input has none of the forms (400).
    """
    if not isinstance(document, dict) or set(document) != {"inputs"}:
        raise Failure(400, 'the JSON is to be an object with the one key "inputs"')
    inputs = document["inputs"]
    if not isinstance(inputs, list) or not inputs:
        raise Failure(400, '"inputs" is to be a list of at least one input')
    return [
        Sent(content=_content(entry, f"inputs[{place}]", written))
        for place, entry in enumerate(inputs)
    ]


def _content(entry: Any, where: str, written: bool) -> Content:
    if isinstance(entry, list):
        return array_of(entry, where)
    if isinstance(entry, str):
        return Text(entry) if written else file_of(entry, where)
    if isinstance(entry, dict) and len(entry) == 1:
        (key, value), *_ = entry.items()
        if isinstance(value, str) and key in ("base64", "b64"):
            return file_of(value, where)
        if isinstance(value, str) and key == "text":
            return Text(value)
    raise Failure(400, f"{where} cannot be read: {_FORMS}")


def file_of(text: str, where: str) -> bytes:
    """A file from base64, with or without the head of a `data:` URL.

    Args:
        text: The base64.
        where: What it is called in a message.

    Raises:
        Failure: It is no base64 (400).
    """
    head, comma, rest = text.partition(",")
    if comma and head.startswith("data:") and head.endswith(";base64"):
        text = rest
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Failure(400, f"{where} is not base64 (paths and URLs are not read)") from None


def array_of(numbers: Iterable[Any], where: str, dtype: str | None = None) -> NDArray[Any]:
    """An array from nested lists of numbers; whole numbers from 0 to 255 become uint8.

    Args:
        numbers: The lists.
        where: What they are called in a message.
        dtype: The type of the numbers; by default what they are.

    Raises:
        Failure: Their lengths differ, or they hold anything but numbers of that type (400).
    """
    try:
        array = np.array(numbers, dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise Failure(400, f"{where} is no array of numbers: {error}") from None
    if array.dtype.kind not in "iuf" or not array.size:
        raise Failure(400, f"{where} is no array of numbers")
    if dtype is None and array.dtype.kind == "i" and array.min() >= 0 and array.max() <= 255:
        return array.astype(np.uint8)
    return array


def sent_in_tensor(tensor: Mapping[str, Any]) -> list[Sent]:
    """The inputs of one tensor of the Open Inference Protocol.

    Args:
        tensor: Its `name`, `datatype`, `shape` and `data`.

    Raises:
        Failure: It is not as the protocol has it (400).
    """
    missing = {"name", "datatype", "shape", "data"} - set(tensor)
    if missing:
        raise Failure(400, f"an input has no {' and no '.join(sorted(missing))}")
    name, shape, data = tensor["name"], tensor["shape"], tensor["data"]
    if name not in (FILE, TEXT, ARRAY):
        raise Failure(400, f"no input is named {name!r}; there are {FILE}, {TEXT} and {ARRAY}")
    sizes = shape if isinstance(shape, list) else []
    if not sizes or not all(
        isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in sizes
    ):
        raise Failure(400, f"the shape of {name} is to be a list of whole numbers over 0")
    if not isinstance(data, list):
        raise Failure(400, f"the data of {name} are to be a list")
    if name == ARRAY:
        return [_array_of_tensor(data, sizes, tensor["datatype"])]
    if tensor["datatype"] != "BYTES" or len(sizes) != 1 or len(data) != sizes[0]:
        raise Failure(400, f"{name} is to be BYTES of the shape [{len(data)}]")
    if not all(isinstance(entry, str) for entry in data):
        raise Failure(400, f"the data of {name} are to be strings")
    if name == TEXT:
        return [Sent(content=Text(entry)) for entry in data]
    return [Sent(content=file_of(e, f"{name}[{place}]")) for place, e in enumerate(data)]


FILE: Final = "file"
TEXT: Final = "text"
ARRAY: Final = "array"

DATATYPES: Final = {
    "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64",
    "FP16": "float16", "FP32": "float32", "FP64": "float64",
}  # fmt: skip
"""Types of numbers as the protocol names them, and as NumPy does."""


def _array_of_tensor(data: list[Any], shape: list[int], datatype: Any) -> Sent:
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise Failure(400, f"the datatype of {ARRAY} is to be one of {', '.join(DATATYPES)}")
    array = array_of(data, ARRAY, DATATYPES[datatype])
    count = 1
    for size in shape:
        count *= size
    if array.size != count:
        raise Failure(400, f"{ARRAY} has {array.size} numbers, and its shape is {shape}")
    return Sent(content=Batch(array.reshape(shape)))
