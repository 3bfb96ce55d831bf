"""The body of a request, read into parts or a JSON document within its limits."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar

import numpy as np
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from striate.web.policy import Limits

_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.S)
"""A string of JSON, also one that does not end."""

_SMALL: Final = 2**16
"""Bytes of JSON that are parsed on the spot; more would keep other requests waiting."""

_LARGE: Final = ThreadPoolExecutor(1, thread_name_prefix="striate-json")
"""Parses larger documents one after the other, for they grow to many times their size."""

_PIECE: Final = 2**20

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file of a form.

    Attributes:
        name: Name of the field.
        filename: The file's name as the client has it, which says nothing of where it is.
        content: The file.
    """

    name: str
    filename: str
    content: bytes


def media_type(request: Request) -> str:
    """The type of the body, in lower case and without parameters; empty where it is not told."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_json(request: Request, limits: Limits, made: Callable[[Any], T]) -> T:
    """What is made of the JSON document that is the body; neither body nor document is kept.

    Args:
        request: The request.
        limits: How deep the document may be nested.
        made: Makes something smaller of the document.

    Raises:
        HTTPException: It is none (400), or nested too deeply (400).
        Exception: Whatever `made` raises.
    """
    body = b"".join([piece async for piece in request.stream()])
    if len(body) <= _SMALL:
        return made(parsed_json(body, limits))
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_LARGE, lambda: made(parsed_json(body, limits)))


def parsed_json(body: bytes, limits: Limits) -> Any:
    """A JSON document by RFC 8259, without NaN and Infinity.

    Raises:
        HTTPException: It is none (400), or nested too deeply (400).
    """
    if json_depth(body) > limits.json_depth:
        raise HTTPException(400, f"the JSON is nested deeper than {limits.json_depth} levels")
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from None


def json_depth(body: bytes) -> int:
    """The deepest nesting of lists and objects in a JSON document, found without parsing it.

    >>> json_depth(b'[{"a": "[[["}, []]')
    2
    """
    symbols = np.frombuffer(_STRING.sub(b"", body), np.uint8)
    depth = deepest = 0
    for start in range(0, len(symbols), _PIECE):
        piece = symbols[start : start + _PIECE]
        opens = np.isin(piece, np.frombuffer(b"[{", np.uint8))
        closes = np.isin(piece, np.frombuffer(b"]}", np.uint8))
        levels = depth + np.cumsum(opens.astype(np.int32) - closes, dtype=np.int64)
        deepest, depth = max(deepest, int(levels.max())), int(levels[-1])
    return deepest


async def read_parts(request: Request, limits: Limits) -> list[Part]:
    """The files of a form (multipart/form-data), in their order; other fields are left out.

    Raises:
        HTTPException: It is no such form, or has too many parts (400).
    """
    try:
        async with request.form(
            max_files=limits.parts, max_fields=limits.parts, max_part_size=2**16
        ) as form:
            return [
                Part(name=name, filename=part.filename or "", content=await part.read())
                for name, part in form.multi_items()
                if isinstance(part, UploadFile)
            ]
    except (LookupError, ValueError) as error:
        raise HTTPException(400, f"the form cannot be read: {error}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
