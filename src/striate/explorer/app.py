"""The page and its numbers over HTTP: a GET changes nothing, a POST gives one more item."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any, Final

from striate.errors import MissingExtraError, StriateError, UserError
from striate.explorer.data.routes import Answer, data_routes
from striate.explorer.data.session import DataSession, what_it_saw
from striate.explorer.session import Session

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
"""The files of the page, by the end of their names; no other is handed out."""

EXTRA: Final = "explore"

FIRST: Final = "index.html"
DATA: Final = "data.html"
"""The pages: of the network, and of the data of a run."""

NO_TOKEN: Final = 'content="none"'
"""Where the page holds its token; a saved page has none."""

BODY_BYTES: Final = 16 * 2**20
"""The largest file that may be given to the page."""

HOST: Final = "127.0.0.1"
"""The page is for the person at this machine, and never for the network."""


def page_files() -> dict[str, str]:
    """The text of each file of the pages by its path inside the page's folder."""
    room = files("striate.explorer")
    return dict(sorted([*_texts(room / "page"), *_texts(room / "data" / "page")]))


def _texts(folder: Traversable, path: str = "") -> Iterator[tuple[str, str]]:
    for file in folder.iterdir():
        if file.is_dir():
            yield from _texts(file, f"{path}{file.name}/")
        elif any(file.name.endswith(end) for end in TYPES):
            yield f"{path}{file.name}", file.read_text(encoding="utf-8")


def serve(session: Session | None, port: int, data: DataSession | None = None) -> int:
    """Serve the page on this machine alone until a signal ends it; the exit code.

    The first line of standard output is the page's address.

    Args:
        session: The network that is looked at; None where it cannot be, as that of graphs.
        port: The port; 0 takes one that is free.
        data: The data of a run; None where there are none.

    Raises:
        MissingExtraError: The extra `explore` is not installed.
        OptionError: The port is taken.
    """
    try:
        from striate.web.guard import Guard
        from striate.web.policy import Limits, policy_for
        from striate.web.start import run
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "uvicorn", EXTRA) from None
    if session is not None:
        session.network  # noqa: B018 - computed before anyone waits for it
    policy = policy_for(HOST, None)
    if policy is None:
        raise AssertionError("an address of this machine needs no token")
    app = make_app(session, policy.token, data)
    guard = Guard(app, policy, Limits(body_bytes=BODY_BYTES))
    return run(guard, host=HOST, port=port, announce=_announce)


def _announce(url: str) -> None:
    print(url, flush=True)  # noqa: T201 - what a program that started the page reads


def make_app(session: Session | None, token: str, data: DataSession | None = None) -> Starlette:
    """The application, to be wrapped by the guard.

    Args:
        session: The network that is looked at; None where it cannot be, as that of graphs.
        token: What the page has to show when it gives an item; the guard asks for it.
        data: The data of a run; None where there are none.

    Raises:
        MissingExtraError: The extra `explore` is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse, Response
        from starlette.routing import Route
    except ModuleNotFoundError:
        raise MissingExtraError("starlette", EXTRA) from None

    page = page_files()
    for each in (FIRST, DATA):
        page[each] = page[each].replace(NO_TOKEN, f'content="{token}"')
    first = DATA if session is None else FIRST
    places = {"/": first, f"/{FIRST}": first, f"/{DATA}": DATA}

    def shown(request: Request) -> Response:
        name = request.path_params.get("name", places.get(request.url.path, ""))
        if name not in page:
            return JSONResponse({"error": "there is no such page"}, 404)
        kind = next(kind for end, kind in TYPES.items() if name.endswith(end))
        return Response(page[name], media_type=f"{kind}; charset=utf-8")

    def answer(compute: Callable[[Request], Any]) -> Callable[[Request], Response]:
        def answered(request: Request) -> Response:
            try:
                return JSONResponse(compute(request))
            except StriateError as error:
                status = 422 if isinstance(error, UserError) else 500
                return JSONResponse({"error": str(error)}, status)

        return answered

    pages = [Route("/", shown), Route(f"/{FIRST}", shown), Route("/page/{name:path}", shown)]
    seen = [] if session is None else _network_routes(session, answer)
    told = [] if data is None else [Route(f"/{DATA}", shown), *data_routes(data, answer)]
    if session is not None and data is not None:
        told.append(Route("/api/saw", answer(partial(_saw, data, session))))
    return Starlette(routes=[*pages, *seen, *told])


def _network_routes(session: Session, answer: Answer) -> list[Route]:
    """The routes of the network's numbers."""
    from starlette.concurrency import run_in_threadpool
    from starlette.routing import Route

    async def given(request: Request) -> Response:
        name, content = request.query_params.get("name", ""), await request.body()
        adding = answer(lambda _: session.add(name, content))
        return await run_in_threadpool(adding, request)

    return [
        Route("/api/network", answer(lambda _: session.network)),
        Route("/api/items", given, methods=["POST"]),
        Route("/api/item", answer(lambda r: session.item(_number(r, "item")))),
        Route("/api/maps", answer(lambda r: _maps(session, r))),
        Route("/api/map", answer(lambda r: _map(session, r))),
        Route("/api/vector", answer(lambda r: _vector(session, r))),
        Route("/api/tour", answer(lambda r: session.tour(_number(r, "item")))),
        Route("/api/exercises", answer(lambda r: _exercises(session, r))),
        Route("/api/effective", answer(lambda r: _effective(session, r))),
        Route("/api/evidence", answer(lambda r: session.evidence(*_marks(r)))),
        Route("/api/verdict", answer(lambda r: session.verdict(*_marks(r)))),
        Route("/api/cell", answer(lambda r: _cell(session, r))),
    ]


def _saw(data: DataSession, session: Session, request: Request) -> dict[str, Any]:
    return what_it_saw(data, session.subject, session.checked(_number(request, "item")))


def _maps(session: Session, request: Request) -> dict[str, Any]:
    item, node, first = (_number(request, name) for name in ("item", "node", "first"))
    return session.maps(item, node, max(first, 0), _depth(request))


def _map(session: Session, request: Request) -> dict[str, Any]:
    item, node, channel = (_number(request, name) for name in ("item", "node", "channel"))
    return session.map(item, node, channel, _depth(request))


def _vector(session: Session, request: Request) -> dict[str, Any]:
    return session.vector(_number(request, "item"), _number(request, "node"))


def _exercises(session: Session, request: Request) -> list[dict[str, Any]]:
    return session.exercises(_number(request, "item"), _number(request, "seed"))


def _cell(session: Session, request: Request) -> dict[str, Any]:
    item, node, channel = (_number(request, name) for name in ("item", "node", "channel"))
    return session.cell(item, node, channel, _position(request))


def _effective(session: Session, request: Request) -> dict[str, Any]:
    item, node = (_number(request, name) for name in ("item", "node"))
    return session.effective(item, node, _position(request))


def _marks(request: Request) -> tuple[int, str]:
    return _number(request, "item"), request.query_params.get("method", "")


def _position(request: Request) -> list[int]:
    text = request.query_params.get("position", "")
    return [_whole("position", part) for part in text.split(",") if part]


def _depth(request: Request) -> int | None:
    return _number(request, "depth") if "depth" in request.query_params else None


def _number(request: Request, name: str) -> int:
    return _whole(name, request.query_params.get(name, "0"))


def _whole(name: str, text: str) -> int:
    from striate.errors import ArgumentError

    if not text.removeprefix("-").isascii() or not text.removeprefix("-").isdigit():
        raise ArgumentError(f"{name}={text[:20]!r}", why="it must be a whole number")
    return int(text[:9])
