"""`tamis view`: a page on this machine alone, to look into the documents of a run.

The server answers on 127.0.0.1 only, under a path that holds a random token, and only if it is addressed by that name,
so neither other machines nor other pages in the browser (by DNS rebinding, say) reach the documents. The page
loads nothing from elsewhere and its policy forbids it to. No browser is opened: its command line would show the token
to other users of the machine.
"""

import contextlib
import hmac
import http.server
import json
import math
import secrets
import socket
import sys
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rich.console import Console

from pipeline.credentials import without_credentials
from pipeline.manifest import read_manifest
from pipeline.report_page import page, source_of
from pipeline.storage import Store
from pipeline.view_cursors import Superseded, Ticket
from pipeline.view_document import document
from pipeline.view_query import PAGE, Documents
from pipeline.view_question import COMPARISONS, Filter, Question
from pipeline.view_search import Searches
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
    "Cross-Origin-Opener-Policy": "same-origin",
}
_MOST_EXACT = 1 << 53
"""Beyond it a page's numbers are not whole."""
_ASSETS = {"view.js": "text/javascript", "style.css": "text/css", "view.css": "text/css"}


class Viewer(http.server.ThreadingHTTPServer):
    """The server; `url` is where its page is."""

    daemon_threads = False

    def __init__(self, path: str, port: int = 0) -> None:
        """Open the run. Raises InputError if it is not finished, or the port is not to be had."""
        store = Store(path)
        self.manifest = read_manifest(store)
        self.documents = Documents(store)
        self.searches = Searches(self.documents)
        self.token = secrets.token_urlsafe(24)
        self._open: set[socket.socket] = set()
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            why = f"port {port} of {ADDRESS} cannot be used ({error.strerror})"
            raise InputError(f"view: {why}: choose another by --port, or give none") from None

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_port}/{self.token}/"

    def server_close(self) -> None:
        """End what is still asked, and stop listening."""
        for request in list(self._open):
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)
        self.documents.close()
        super().server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember a connection as long as it is open."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """See process_request."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves before its answer is there is no error; what is one is told without a question."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            print(f"view: a request failed: {type(error).__name__}", file=sys.stderr)


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
    timeout = 60
    """Seconds that a connection may keep silent."""

    def do_GET(self) -> None:
        """Answer one request, if it may be answered."""
        split = urlsplit(self.path)
        token, _, name = split.path.lstrip("/").partition("/")
        if not self._is_ours() or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._send(HTTPStatus.FORBIDDEN, "text/plain", "not for you: use the address that tamis view printed")
            return
        try:
            self._answer(name, {key: found[0] for key, found in parse_qs(split.query).items()})
        except Superseded as error:
            self._refuse(HTTPStatus.CONFLICT, str(error))
        except TamisError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, without_credentials(str(error)))
        except (ValueError, KeyError, TypeError):
            self._refuse(HTTPStatus.BAD_REQUEST, "view: the question is damaged")

    def _is_ours(self) -> bool:
        """Whether the request is addressed to this server by its own name, and comes from its own page or a person."""
        hosts = {f"{name}:{self.server.server_port}" for name in (ADDRESS, "localhost")}
        sent_by = self.headers.get("Sec-Fetch-Site", "none")
        return self.headers.get("Host") in hosts and sent_by in ("none", "same-origin")

    def _answer(self, name: str, asked: dict[str, str]) -> None:
        if name == "":
            self._send(HTTPStatus.OK, "text/html", page("view.html", **self._facts()))
        elif name in _ASSETS:
            self._send(HTTPStatus.OK, _ASSETS[name], source_of(name))
        elif name == "documents":
            ticket = self.server.documents.ticket(asked.get("asker", "")[:64])
            self._json(self._listed(question_of(asked), ticket))
        elif name == "document":
            if (place := asked["place"]) not in self.server.documents.places:
                raise InputError("view: the place is no shard of this run")
            store = self.server.documents.store
            self._json(document(store, place, int(asked["row"]), asked.get("uncover") == "yes"))
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", "nothing here")

    def _facts(self) -> dict[str, Any]:
        documents = self.server.documents
        columns = documents.described()
        numbers = [column["name"] for column in columns if column["number"]]
        facts = {"columns": columns, "shown": documents.shown, "numbers": numbers, "comparisons": COMPARISONS}
        return {"manifest": self.server.manifest, **facts}

    def _listed(self, question: Question, ticket: Ticket) -> dict[str, Any]:
        """One page; of a search, with how far it is: `count` is that of the documents found so far."""
        documents = self.server.documents
        if not question.text:
            rows, count = documents.page(question, ticket), documents.count(question, ticket)
            return {"rows": rows, "count": count, "finished": True, "page": PAGE}
        found = self.server.searches.page(question, ticket)
        progress = {"searched": found.searched, "of": sum(documents.rows), "finished": found.finished}
        return {"rows": found.rows, "count": found.found, **progress, "page": PAGE}

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._send(status, "application/json", json.dumps({"error": why}))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no GET, or no HTTP, as all else: with the policy, and without a word of the request."""
        self.close_connection = True
        self._send(HTTPStatus(code), "text/plain", "only GET is answered here")

    def _json(self, value: dict[str, Any]) -> None:
        self._send(HTTPStatus.OK, "application/json", json.dumps(told(value), default=str, allow_nan=False))

    def _send(self, status: HTTPStatus, kind: str, content: str) -> None:
        body = content.encode()
        self.request_version = "HTTP/1.0"  # what has no version would get no headers
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
    """A value with words for numbers that JSON has not, or that a page would round.

    >>> told({"quality_ppl": float("inf"), "shares": [0.5, float("nan")], "hash": 2**60 + 1})
    {'quality_ppl': 'inf', 'shares': [0.5, 'nan'], 'hash': '1152921504606846977'}
    """
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and abs(value) >= _MOST_EXACT:
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
