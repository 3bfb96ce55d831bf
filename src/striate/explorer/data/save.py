"""The answers that the saved page of a run's data has inside, by their addresses."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from striate.explorer.data.session import DataSession

PICTURE_BYTES: Final = 16_000_000
"""Size of all pictures of items together, at most; mistakes and test items come first."""

MAX_ITEMS: Final = 5000
"""Items whose probabilities and nearest training items are saved, at most, in the same order."""


def data_document(data: DataSession) -> dict[str, Any]:
    """All that the saved page needs; the features are computed where they were not yet.

    Args:
        data: The run's data.
    """
    data.job.wait()
    answers: dict[str, Any] = {}

    def keep(name: str, answer: Any, **parameters: Any) -> None:
        answers[f"api/data/{name}?{urlencode(parameters)}"] = answer

    keep("about", {**data.about(), "umap": False})
    keep("state", data.state(), turn=0)
    keep("items", data.table(whole=True), part="all")
    keep("map", data.plane("pca"), kind="pca")
    keep("patch", {"path": None, "corrections": data.corrections.document()["corrections"]})
    if data.comparison is not None:
        keep("compared", data.compared)
    order = _by_interest(data)
    told = order[:MAX_ITEMS]
    for number in told:
        keep("item", data.item(number), item=number)
    if data.job.found is not None:
        for number, nearest in zip(told, data.nearest_of(told), strict=True):
            keep("nearest", {"state": "ready", "nearest": nearest}, item=number)
    room = PICTURE_BYTES
    for number in order:
        if room > 0:
            picture = data.thumbnail(number)
            room -= len(picture["url"] or "")
            keep("thumbnail", picture, item=number)
    return {"answers": answers, "cells": {}, "arrays": []}


def _by_interest(data: DataSession) -> list[int]:
    """Numbers of all items: mistakes first, then other test items, then the rest."""
    order = {"test": 0, "val": 1, "train": 2}
    judged = [None if row is None else data.run.task.judged(row) for row in data.rows]
    wrong = [one is not None and one.error > 0 for one in judged]
    places = [order.get(item.split, 3) for item in data.items]
    return sorted(range(len(places)), key=lambda n: (places[n] > 0, not wrong[n], places[n]))
