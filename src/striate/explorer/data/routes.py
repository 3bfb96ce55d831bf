"""The data page's numbers over HTTP: a GET changes nothing, a POST corrects a label."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from striate.errors import ArgumentError
from striate.explorer.data.session import DataSession

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

Answer = Callable[[Callable[["Request"], Any]], Callable[["Request"], "Response"]]
"""Makes an endpoint of what computes a document."""


def data_routes(data: DataSession, answer: Answer) -> list[Route]:
    """The routes below `/api/data`.

    Args:
        data: What is looked at.
        answer: Makes an endpoint of what computes a document, errors as one line among it.
    """
    from starlette.concurrency import run_in_threadpool
    from starlette.routing import Route

    async def corrected(request: Request) -> Response:
        content = await request.body()
        return await run_in_threadpool(answer(lambda _: _correct(data, content)), request)

    documents: dict[str, Callable[[Request], Any]] = {
        "about": lambda _: data.about(),
        "state": lambda _: data.state(),
        "items": lambda request: data.table(whole=request.query_params.get("part") == "all"),
        "map": lambda request: data.plane(request.query_params.get("kind", "pca")),
        "item": lambda request: data.item(_item(request)),
        "thumbnail": lambda request: data.thumbnail(_item(request)),
        "nearest": lambda request: data.nearest(_item(request)),
        "compared": lambda _: data.compared,
        "patch": lambda _: data.corrections.document(),
    }
    return [
        *(Route(f"/api/data/{name}", answer(make)) for name, make in documents.items()),
        Route("/api/data/correct", corrected, methods=["POST"]),
    ]


def _correct(data: DataSession, content: bytes) -> dict[str, Any]:
    """Correct what a body of JSON names: `{"item": number, "label": text or null}`."""
    try:
        given = json.loads(content)
        number, label = given["item"], given["label"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ArgumentError("the body", why="it is no JSON with item and label") from None
    if type(number) is not int or not (label is None or type(label) is str):
        raise ArgumentError("the body", why="item must be a number and label a text or null")
    return data.corrections.correct(number, label)


def _item(request: Request) -> int:
    text = request.query_params.get("item", "")
    if not text.isascii() or not text.isdigit():
        raise ArgumentError(f"item={text[:20]!r}", why="it must be a whole number")
    return int(text[:9])
