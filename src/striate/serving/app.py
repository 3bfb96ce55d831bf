"""The web application of the server: routes, and what each answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from striate.errors import UnknownNameError
from striate.serving.failure import Failure
from striate.serving.hosted import Hosted, Hosts
from striate.serving.metrics import Metrics
from striate.serving.openapi import document as openapi_document
from striate.serving.protocol import (
    inference_of,
    model_metadata,
    response_to,
    server_metadata,
)
from striate.serving.sent import Sent, sent_in_json
from striate.serving.service import Answer, Service
from striate.web.body import media_type, read_json, read_parts
from striate.web.guard import App, Receive, Scope, Send
from striate.web.policy import Limits

T = TypeVar("T")

OPEN_PATHS: Final = (
    "/docs", "/docs.css", "/docs.js", "/openapi.json", "/v2/health/live", "/v2/health/ready",
)  # fmt: skip
"""What can be read without a token on an address of the network: nothing of a run."""

_PAGE: Final = Path(__file__).parent / "page"
_FILES: Final = {
    "/docs": ("docs.html", "text/html"),
    "/docs.css": ("docs.css", "text/css"),
    "/docs.js": ("docs.js", "text/javascript"),
}
_PARAMETERS: Final = ("model", "explain")
"""Parameters of the address of `/predict`."""

_RAW: Final = ("image/", "audio/", "video/")
_CLIENT_LEFT: Final = 499
"""The status of a request whose client left, which nobody sees but the metrics."""


class _Json(Response):
    """A JSON document in ASCII, for names may hold what UTF-8 cannot write; never with a NaN."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The document's bytes; raises ValueError for a number that is not finite."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


@dataclass(frozen=True, kw_only=True)
class Server:
    """What the routes of a server work with.

    Attributes:
        hosts: The runs.
        service: Predicts.
        metrics: Counts.
        limits: How much a request may bring.
        page_token: The token that the page of the documentation sends; empty where it asks for one.
    """

    hosts: Hosts
    service: Service
    metrics: Metrics
    limits: Limits
    page_token: str = ""

    def application(self) -> App:
        """The application."""
        self.metrics.watch(
            held=lambda: self.service.batcher.places.held,
            capacity=self.service.batcher.places.capacity,
            ready=lambda: self.hosts.ready,
        )
        handlers: dict[Any, Any] = {
            HTTPException: _http_error, Failure: _failure, ClientDisconnect: _left,
            Exception: _unexpected,
        }  # fmt: skip
        app = Starlette(routes=self._routes(), exception_handlers=handlers)
        app.router.redirect_slashes = False
        return _Counted(app, self.metrics)

    def _routes(self) -> list[Route]:
        model = "/v2/models/{name}"
        posts: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/predict": self._predict,
            f"{model}/infer": self._infer,
            f"{model}/versions/{{version}}/infer": self._infer,
        }
        gets: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/": self._page,
            **dict.fromkeys(_FILES, self._page),
            "/openapi.json": self._openapi,
            "/metrics": self._metrics_text,
            "/v2": self._server,
            "/v2/health/live": self._live,
            "/v2/health/ready": self._ready,
            model: self._model,
            f"{model}/versions/{{version}}": self._model,
            f"{model}/ready": self._model_ready,
            f"{model}/versions/{{version}}/ready": self._model_ready,
        }
        return [
            *(Route(path, handle, methods=["POST"]) for path, handle in posts.items()),
            *(Route(path, handle, methods=["GET"]) for path, handle in gets.items()),
        ]

    async def _predict(self, request: Request) -> Response:
        """The predictions of what was sent."""
        for name in request.query_params:
            if name not in _PARAMETERS:
                raise Failure(
                    400,
                    f"no parameter is named {name[:40]!r}; there are {' and '.join(_PARAMETERS)}",
                )
        hosted = self._hosted(request.query_params.get("model"))
        explain = _is_yes(request.query_params.get("explain", "0"))
        if explain:
            self.service.explainer.places.check_room()
        self.service.batcher.places.check_room()
        sent = await self._sent(request, hosted)
        work = self.service.predict(hosted, sent, explain=explain)
        answers = await _unless_left(request, work)
        if all(isinstance(answer.prediction, Failure) for answer in answers):
            raise _first_failure(answers)
        names = [entry.name for entry in sent] if len(sent) == len(answers) else []
        named = ((names[i] if names else "") or str(i) for i in range(len(answers)))
        return _Json({"predictions": list(map(_as_json, answers, named))})

    async def _sent(self, request: Request, hosted: Hosted) -> list[Sent]:
        """What a request brings: a form of files, a JSON document, or one file as its body."""
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Failure(415, "bodies with a Content-Encoding are not read; send it as it is")
        kind = media_type(request)
        if kind == "application/json":
            made = partial(sent_in_json, written=hosted.written)
            found = await read_json(request, self.limits, made)
            if len(found) > self.limits.parts:
                raise Failure(413, f"at most {self.limits.parts} inputs in one request")
            return found
        if kind == "multipart/form-data":
            parts = await read_parts(request, self.limits)
            if not parts or any(part.name != "file" for part in parts):
                raise Failure(400, "the form is to have files under the name 'file', and no others")
            return [Sent(content=part.content, name=part.filename) for part in parts]
        if kind == "application/octet-stream" or kind.startswith(_RAW):
            return [Sent(content=await request.body())]
        raise Failure(
            415,
            "the Content-Type is to be multipart/form-data, application/json, "
            "application/octet-stream or that of an image, a sound or a clip",
        )

    async def _infer(self, request: Request) -> Response:
        """The answer of the Open Inference Protocol."""
        hosted = self._hosted_in_path(request)
        self.service.batcher.places.check_room()
        inference = await read_json(request, self.limits, inference_of)
        work = self.service.predict(hosted, inference.sent, explain=inference.explain)
        answers = await _unless_left(request, work)
        found = (answer.prediction for answer in answers)
        predictions = [entry for entry in found if not isinstance(entry, Failure)]
        if len(predictions) < len(answers):
            raise _first_failure(answers)
        explanations = [answer.explanation for answer in answers if answer.explanation]
        return _Json(response_to(inference, hosted, predictions, explanations))

    async def _server(self, request: Request) -> Response:
        return _Json(server_metadata())

    async def _live(self, request: Request) -> Response:
        return _Json({"live": True})

    async def _ready(self, request: Request) -> Response:
        ready = self.hosts.ready and not request.scope["state"].get("draining", False)
        return _Json({"ready": ready}, 200 if ready else 503)

    async def _model(self, request: Request) -> Response:
        return _Json(model_metadata(self._hosted_in_path(request)))

    async def _model_ready(self, request: Request) -> Response:
        hosted = self._hosted_in_path(request)
        return _Json({"name": hosted.name, "ready": True})

    async def _metrics_text(self, request: Request) -> Response:
        text = await asyncio.to_thread(self.metrics.text)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _openapi(self, request: Request) -> Response:
        return _Json(openapi_document(self.limits))

    async def _page(self, request: Request) -> Response:
        name, kind = _FILES.get(request.url.path, _FILES["/docs"])
        text = (_PAGE / name).read_text()
        return Response(text.replace("{{ token }}", self.page_token), media_type=kind)

    def _hosted_in_path(self, request: Request) -> Hosted:
        hosted = self._hosted(request.path_params["name"])
        wanted = request.path_params.get("version", hosted.version)
        if wanted != hosted.version:
            raise Failure(404, f"{hosted.name} has the version {hosted.version} alone")
        return hosted

    def _hosted(self, name: str | None) -> Hosted:
        """The run of a name, or the first; raises Failure (404, 503)."""
        try:
            hosted = self.hosts.named(name)
        except UnknownNameError as error:
            raise Failure(404, str(error)) from None
        if hosted is None:
            raise Failure(503, "the model is being loaded", retry_seconds=1)
        return hosted


async def _unless_left(request: Request, work: Awaitable[T]) -> T:
    """What some work gives; where the client leaves before, the work is given up.

    Raises:
        ClientDisconnect: The client has left.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_until_left(request))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _until_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _first_failure(answers: Sequence[Answer]) -> Failure:
    found = (answer.prediction for answer in answers)
    return next(entry for entry in found if isinstance(entry, Failure))


def _as_json(answer: Answer, name: str) -> dict[str, Any]:
    found = answer.prediction
    if isinstance(found, Failure):
        return {"item": name, "status": found.status, "reason": found.reason}
    if answer.explanation is None:
        return found.to_json()
    return {**found.to_json(), "explanation": answer.explanation.to_json()}


def _is_yes(value: str) -> bool:
    """Whether a flag of a query is set; raises Failure (400) where it is neither 0 nor 1."""
    if value not in ("0", "1", "false", "true"):
        raise Failure(400, "explain is to be 0 or 1")
    return value in ("1", "true")


def _refused(status: int, reason: str, headers: Any = None) -> Response:
    return _Json({"error": reason}, status, headers)


async def _http_error(request: Request, error: HTTPException) -> Response:
    return _refused(error.status_code, str(error.detail), error.headers)


async def _failure(request: Request, failure: Failure) -> Response:
    return _refused(failure.status, failure.reason, failure.headers)


async def _left(request: Request, error: Exception) -> Response:
    return Response(status_code=_CLIENT_LEFT)


async def _unexpected(request: Request, error: Exception) -> Response:
    return _refused(500, "the server failed on this request")


class _Counted:
    """An application whose requests are counted by route and status."""

    def __init__(self, app: Starlette, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start, status = time.perf_counter(), 500

        async def sending(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            route = getattr(scope.get("endpoint"), "__name__", "other").lstrip("_")
            self._metrics.on_request(route, status, time.perf_counter() - start)
            if status == _CLIENT_LEFT:
                self._metrics.on_left()
