"""Explanations of predictions, on request: drawn in a thread of their own, within a time limit.

They take many passes through a network, and keep values of it while they do. So they have a copy of
the network, and the thread that predicts goes on beside them.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, Final
from weakref import WeakKeyDictionary

from torch import nn

from striate.data.source import Reading
from striate.report import Picture
from striate.run.explain import HIGHER, PictureMaker, preferred
from striate.serving.batching import Places
from striate.serving.hosted import Hosted
from striate.tasks.prediction import Prediction

CAPACITY: Final = 8
"""The most items whose explanations wait or are drawn."""

_ANSWERING_SECONDS: Final = 0.5
"""What is left of a request's time for its answer, where its explanation is not ready."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Where the network found evidence for what it predicts, as a picture, or why there is none.

    Attributes:
        target: The class that the evidence is for, or "a higher value".
        method: Name of the method, in `striate.explain.EXPLANATIONS`.
        found: Whether there is any evidence to see.
        media_type: "image/png", or "image/svg+xml" for what is drawn; empty without a picture.
        content: The picture's file.
        reason: Why there is none; empty where there is one.
    """

    target: str
    method: str = ""
    found: bool = False
    media_type: str = ""
    content: bytes = b""
    reason: str = ""

    @property
    def base64(self) -> str:
        """The picture's file in base64."""
        return base64.b64encode(self.content).decode()

    def to_json(self) -> dict[str, Any]:
        """The explanation by name, fit for JSON; the picture in base64."""
        if self.reason:
            return {"target": self.target, "reason": self.reason}
        return {
            "target": self.target, "method": self.method, "found": self.found,
            "media_type": self.media_type, "base64": self.base64,
        }  # fmt: skip


class Explainer:
    """Draws explanations one after the other.

    Args:
        seconds: The time limit of each.

    Attributes:
        places: Of the items whose explanations wait or are drawn.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.places = Places(CAPACITY, "explanations", lambda: max(1, round(seconds / 2)))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="striate-explainer")
        self._makers: WeakKeyDictionary[Hosted, _Maker] = WeakKeyDictionary()

    async def explain(
        self, hosted: Hosted, reading: Reading, prediction: Prediction, deadline: float
    ) -> Explanation:
        """The evidence for a prediction, or why there is none; a place is to be held for it.

        Args:
            hosted: The run.
            reading: The item.
            prediction: What the run predicts for it.
            deadline: When the request is to be answered, by `time.monotonic`.
        """
        loop = asyncio.get_running_loop()
        until = deadline - _ANSWERING_SECONDS
        target = prediction.classes[prediction.output] if prediction.classes else HIGHER
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                return await loop.run_in_executor(
                    self._thread, self._drawn, hosted, reading, prediction, target, until
                )
        except TimeoutError:
            return Explanation(target=target, reason="not ready before the request's deadline")

    def _drawn(
        self, hosted: Hosted, reading: Reading, prediction: Prediction, target: str, until: float
    ) -> Explanation:
        maker = self._makers.get(hosted)
        if maker is None:
            maker = self._makers[hosted] = _Maker(hosted)
        try:
            picture = maker.picture(
                reading, prediction, min(until, time.monotonic() + self._seconds)
            )
        except _TooLateError:
            return Explanation(target=target, reason=f"not ready within {self._seconds:g} s")
        if picture is None:
            return Explanation(target=target, reason="this network cannot be explained")
        shown = picture.overlay or picture.image
        if isinstance(shown, str):
            media_type, content = "image/svg+xml", shown.encode()
        else:
            out = BytesIO()
            shown.save(out, "PNG")
            media_type, content = "image/png", out.getvalue()
        return Explanation(
            target=target,
            method=picture.method,
            found=picture.found,
            media_type=media_type,
            content=content,
        )

    def close(self) -> None:
        """End the thread once it has drawn what it draws; what still waits is given up."""
        self._thread.shutdown(wait=False, cancel_futures=True)


class _TooLateError(BaseException):
    """The time limit has passed; no Exception, which would be taken for a failure of a method."""


class _Maker:
    """Draws explanations by a copy of a run's network, whose every layer looks at the clock."""

    def __init__(self, hosted: Hosted) -> None:
        run = hosted.run
        network = copy.deepcopy(run.predictor.network)
        for layer in network.modules():
            layer.register_forward_pre_hook(self._check_time)
        predictor = replace(run.predictor, network=network)
        methods = preferred(run.kind)
        self._until = 0.0
        self._make = PictureMaker(run.kind, predictor, methods, steps=0)

    def picture(self, reading: Reading, prediction: Prediction, until: float) -> Picture | None:
        """The picture; None where there is no method for the network.

        Raises:
            _TooLateError: It would be ready only after `until`, by `time.monotonic`.
        """
        self._until = until
        return self._make(reading, prediction.output, prediction.item)

    def _check_time(self, layer: nn.Module, given: Any) -> None:
        if time.monotonic() > self._until:
            raise _TooLateError
