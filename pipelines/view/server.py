"""The server of `tamis view`: what the page asks of a release, answered as JSON, on the loopback."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from importlib import resources
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tamis.pipelines.view.access import HOSTS, Access
from tamis.pipelines.view.document_list import DocumentList, Filter, Order, filter_of
from tamis.pipelines.view.document_view import DocumentViews
from tamis.pipelines.view.marks import Marks
from tamis.pipelines.view.moved_limits import MovedLimits
from tamis.pipelines.view.text_search import find_in_texts
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.release import Release

_PAGE = {
    "/": ("index.html", "text/html"),
    "/view.js": ("view.js", "text/javascript"),
    "/view.css": ("view.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""The files of the page, by path, with their media types."""

_ROWS = 50  # of a page of the list
_MOST_ROWS = 200
_VALUES = 200  # languages and hosts that the page suggests


def listen(port: int) -> socket.socket:
    """A socket on the loopback; port 0 takes a free one. Raises RunError if the port cannot be had."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
    except OSError as error:
        raise RunError(f"port {port}: {error.strerror}; name another with --port, or none, for one that is free") from None
    listening.listen()
    return listening


def serve(release: Release, marks: Marks, listening: socket.socket, announce: Callable[[str], None]) -> None:
    """Answers until it is interrupted. `announce` is told the address, which holds the session's secret."""
    secret = secrets.token_urlsafe(24)
    app = page_of(release, marks, secret)
    announce(f"http://127.0.0.1:{listening.getsockname()[1]}/?token={secret}")
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off"))
    with suppress(KeyboardInterrupt):
        server.run([listening])


def page_of(release: Release, marks: Marks, secret: str) -> Starlette:
    """The page of a release, for whoever knows the secret."""
    answers = Answers(release, marks)
    routes = [
        *(Route(path, _file(*file)) for path, file in _PAGE.items()),
        *(Route(f"/api/{name}", _json(answer)) for name, answer in answers.questions.items()),
        Route("/api/marks", _json(answers.mark), methods=["POST"]),
        Route("/labels.csv", answers.labels),
    ]
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS), Middleware(Access, secret=secret)]
    return Starlette(routes=routes, middleware=middleware)


class Answers:
    """The answers to the page, each a function of a request."""

    def __init__(self, release: Release, marks: Marks) -> None:
        self._release, self._marks = release, marks
        self._documents = DocumentList(release)
        self._views = DocumentViews(self._documents)
        self._limits = MovedLimits(self._documents)
        self.questions: dict[str, Callable[[Request], Any]] = {
            "release": self.release,
            "documents": self.documents,
            "counts": self.counts,
            "values": self.values,
            "search": self.search,
            "document": self.document,
            "text": self.text,
            "representative": self.representative,
            "item": self.item,
            "marks": self.marks,
            "limits": self.limits,
            "what-if": self.what_if,
        }

    def release(self, request: Request) -> Any:
        """What the page is about: the release, its counts, and the columns by which it can be filtered."""
        counts = self._release.manifest["counts"]
        return {
            "name": f"{self._release.run}@{self._release.number}",
            "recipe": self._release.manifest["recipe"]["name"],
            "records": counts["records"],
            "rejected": counts["rejected"],
            "sources": list(counts["sources"]),
            "reasons": sorted({row["reason"] for row in counts["reasons"]}),
            "columns": self._documents.numbers,
            "marks": {"path": self._marks.path, "count": len(self._marks)},
        }

    def documents(self, request: Request) -> Any:
        """A page of the list."""
        query = request.query_params
        order = Order(query.get("sort", ""), query.get("direction") == "descending")
        rows = self._documents.page(_filter(request), order, _number(request, "first", 0), _rows(request))
        return {"rows": [self._with_mark(row) for row in rows]}

    def counts(self, request: Request) -> Any:
        """How many documents match, by decision and reason."""
        return self._documents.counts(_filter(request))

    def values(self, request: Request) -> Any:
        """The most frequent languages, or hosts."""
        column = request.query_params.get("column")
        if column not in ("language", "host"):
            raise RunError("the column must be language or host")
        return self._documents.values(column, _VALUES)

    def search(self, request: Request) -> Any:
        """Documents with a passage in their text, from a place on."""
        passage = request.query_params.get("passage", "")
        if not passage:
            raise RunError("the passage is empty")
        found = find_in_texts(self._documents, _filter(request), passage, _number(request, "start", 0), _rows(request))
        rows = self._documents.at(found.places)
        return asdict(found) | {"rows": [self._with_mark(row) for row in rows]}

    def document(self, request: Request) -> Any:
        """One document, with the mark that it has."""
        return self._with_mark(self._views.explain(*_place(request)))

    def text(self, request: Request) -> Any:
        """More of a text."""
        return self._views.text(*_place(request), _number(request, "first", 0))

    def representative(self, request: Request) -> Any:
        """A duplicate beside the document that was kept in its place."""
        return self._views.beside_representative(*_place(request))

    def item(self, request: Request) -> Any:
        """What a document has of a benchmark item, beside the item."""
        return self._views.beside_item(*_place(request), _number(request, "number", 0))

    def marks(self, request: Request) -> Any:
        """All marks."""
        return [asdict(mark) for mark in self._marks]

    def limits(self, request: Request) -> Any:
        """The limits of the recipe, which can be moved."""
        return self._limits.fields()

    def what_if(self, request: Request) -> Any:
        """What other limits would decide."""
        return self._limits.answer(request.query_params.getlist("set"))

    def mark(self, request: Request, body: Any) -> Any:
        """Marks the decision about a document as right or wrong, or takes the mark away."""
        if not isinstance(body, dict) or body.get("verdict") not in ("right", "wrong", None):
            raise RunError('a mark is {"part": …, "row": …, "verdict": "right", "wrong" or null}')
        part, row = body.get("part"), body.get("row")
        if type(part) is not int or type(row) is not int:
            raise RunError("part and row must be whole numbers")
        mark = self._views.mark_of(part, row, body["verdict"] or "right")
        if body["verdict"]:
            self._marks.add(mark)
        else:
            self._marks.remove(mark.id)
        return {"count": len(self._marks)}

    def labels(self, request: Request) -> Response:
        """The labels that the marks give, as a file."""
        named = {"Content-Disposition": 'attachment; filename="labels.csv"'}
        return Response(self._marks.labels(), media_type="text/csv", headers=named)

    def _with_mark(self, row: dict[str, Any]) -> dict[str, Any]:
        mark = self._marks.get(row["id"])
        return row | {"mark": mark and mark.verdict}


def _file(name: str, kind: str) -> Callable[[Request], Response]:
    content = (resources.files("tamis.pipelines.view") / "page" / name).read_bytes()
    return lambda request: Response(content, media_type=kind)


def _json(answer: Callable[..., Any]) -> Callable[[Request], Any]:
    """An endpoint that answers in JSON. What is wrong with a question is status 400 and a message."""

    async def endpoint(request: Request) -> Response:
        try:
            if request.method == "POST":
                value = await run_in_threadpool(answer, request, orjson.loads(await request.body()))
            else:
                value = await run_in_threadpool(answer, request)
        except (RunError, orjson.JSONDecodeError) as error:
            return _answer({"error": str(error)}, 400)
        return _answer(value, 200)

    return endpoint


def _answer(value: Any, status: int) -> Response:
    content = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, status, media_type="application/json")


def _filter(request: Request) -> Filter:
    return filter_of(request.query_params, request.query_params.getlist("range"))


def _place(request: Request) -> tuple[int, int]:
    return _number(request, "part", None), _number(request, "row", None)


def _rows(request: Request) -> int:
    return min(_number(request, "count", _ROWS), _MOST_ROWS)


def _number(request: Request, name: str, default: int | None) -> int:
    text = request.query_params.get(name, "" if default is None else str(default))
    if not text.isdecimal() or len(text) > 18:
        raise RunError(f"{name}={text}: it must be a whole number")
    return int(text)
