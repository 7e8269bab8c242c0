"""`tamis view`: a page on this machine alone, to look into the documents of a run.

The server answers on 127.0.0.1 only, under a path that holds a random token, and only if it is addressed by that name,
so neither other machines nor other pages in the browser (by DNS rebinding, say) reach the documents. The page
loads nothing from elsewhere and its policy forbids it to.
"""

import hmac
import http.server
import json
import math
import secrets
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rich.console import Console

from pipeline.credentials import without_credentials
from pipeline.manifest import read_manifest
from pipeline.report_page import page, source_of
from pipeline.storage import Store
from pipeline.view_query import Documents, Filter, Question
from stages.errors import InputError, Interrupted, TamisError

ADDRESS = "127.0.0.1"
MOST_FILTERS = 20
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_ASSETS = {"view.js": "text/javascript", "style.css": "text/css", "view.css": "text/css"}


class Viewer(http.server.ThreadingHTTPServer):
    """The server; `url` is where its page is."""

    daemon_threads = True

    def __init__(self, path: str, port: int = 0) -> None:
        """Open the run. Raises InputError if it is not finished, OSError if the port is taken."""
        store = Store(path)
        self.manifest = read_manifest(store)
        self.documents = Documents(store)
        self.token = secrets.token_urlsafe(24)
        super().__init__((ADDRESS, port), _Handler)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_port}/{self.token}/"


def serve(console: Console, path: str, port: int) -> None:
    """Serve until interrupted."""
    with Viewer(path, port) as viewer:
        console.print(viewer.url, markup=False, highlight=False, soft_wrap=True)
        console.print("for this machine alone, until Ctrl-C", highlight=False)
        try:
            viewer.serve_forever()
        except (KeyboardInterrupt, Interrupted):
            console.print("ended", highlight=False)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Viewer
    server_version = "tamis"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer one request, if it may be answered."""
        split = urlsplit(self.path)
        token, _, name = split.path.lstrip("/").partition("/")
        if not self._is_ours() or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._send(HTTPStatus.FORBIDDEN, "text/plain", "not for you: use the address that tamis view printed")
            return
        try:
            self._answer(name, {key: found[0] for key, found in parse_qs(split.query).items()})
        except TamisError as error:
            why = json.dumps({"error": without_credentials(str(error))})
            self._send(HTTPStatus.BAD_REQUEST, "application/json", why)
        except (ValueError, KeyError, TypeError):
            self._send(HTTPStatus.BAD_REQUEST, "application/json", '{"error": "view: the question is damaged"}')

    def _is_ours(self) -> bool:
        """Whether the request is addressed to this server by its own name, and comes from its own page or a person."""
        hosts = {f"{name}:{self.server.server_port}" for name in (ADDRESS, "localhost")}
        sent_by = self.headers.get("Sec-Fetch-Site", "none")
        return self.headers.get("Host") in hosts and sent_by in ("none", "same-origin")

    def _answer(self, name: str, asked: dict[str, str]) -> None:
        documents = self.server.documents
        if name == "":
            columns = documents.described()
            numbers = [column["name"] for column in columns if column["number"]]
            facts = {"manifest": self.server.manifest, "columns": columns, "shown": documents.shown, "numbers": numbers}
            self._send(HTTPStatus.OK, "text/html", page("view.html", **facts))
        elif name in _ASSETS:
            self._send(HTTPStatus.OK, _ASSETS[name], source_of(name))
        elif name == "documents":
            question = question_of(asked)
            self._json({"rows": documents.page(question), "count": documents.count(question)})
        elif name == "document":
            self._json(documents.document(asked["place"], int(asked["row"]), asked.get("uncover") == "yes"))
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", "nothing here")

    def _json(self, value: dict[str, Any]) -> None:
        self._send(HTTPStatus.OK, "application/json", json.dumps(told(value), default=str, allow_nan=False))

    def _send(self, status: HTTPStatus, kind: str, content: str) -> None:
        body = content.encode()
        self.send_response(status)
        for header, value in _HEADERS.items():
            self.send_header(header, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests hold the token and what was searched for: they are not logged."""


def told(value: Any) -> Any:
    """A value with names for numbers that JSON has not: a page could read nothing of an answer that holds one.

    >>> told({"quality_ppl": float("inf"), "shares": [0.5, float("nan")]})
    {'quality_ppl': 'inf', 'shares': [0.5, 'nan']}
    """
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: told(item) for key, item in value.items()}
    return [told(item) for item in value] if isinstance(value, list | tuple) else value


def question_of(asked: dict[str, str]) -> Question:
    """The question that a page asks. Raises InputError, or ValueError, KeyError or TypeError if it makes no sense.

    >>> question_of({"filters": '[{"column": "lang", "comparison": "is", "value": "en"}]', "page": "2"}).page
    2
    """
    told = json.loads(asked.get("filters", "[]"))
    filters = [Filter(str(one["column"]), str(one["comparison"]), str(one["value"])) for one in told]
    if len(filters) > MOST_FILTERS:
        raise InputError(f"view: found {len(filters)} filters, expected at most {MOST_FILTERS}")
    return Question(
        tuple(filters),
        asked.get("text", ""),
        asked.get("sort", ""),
        asked.get("descending") == "yes",
        int(asked.get("page", "0")),
    )
