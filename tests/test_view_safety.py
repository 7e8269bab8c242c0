"""`tamis view` towards the outside: strangers, broken requests, its own DuckDB, taken ports, and its end."""

import hmac
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from pipeline.storage import Store
from pipeline.view import Viewer
from pipeline.view_query import Documents
from stages.errors import InputError
from tests.looks import looked_at, served
from tests.runs import command, tamis

END = 60
"""Seconds after which a process that does not answer has failed."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return looked_at(tmp_path_factory.mktemp("looks"))


@pytest.fixture(scope="module")
def viewer(run: Path) -> Iterator[Viewer]:
    with served(run) as server:
        yield server


def sent(viewer: Viewer, request: bytes) -> bytes:
    """The answer to raw bytes."""
    with socket.create_connection(("127.0.0.1", viewer.server_port), timeout=END) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /{token}/ HTTP/1.1", 200),
        (b"GET /{token}/view.js HTTP/1.1", 200),
        (b"GET / HTTP/1.1", 403),
        (b"GET /{token} HTTP/1.1", 200),
        (b"GET //{token}/ HTTP/1.1", 200),
        (b"GET /{token}/%2e%2e/manifest.json HTTP/1.1", 404),
        (b"GET /{token}/document?place=/etc/passwd&row=0 HTTP/1.1", 400),
        (b"GET /\xff\xfe/ HTTP/1.1", 403),
        (b"POST /{token}/ HTTP/1.1", 501),
        (b"OPTIONS /{token}/ HTTP/1.1", 501),
        (b"<script>alert(1)</script>", 400),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1", 414),
    ],
)
def test_every_answer_is_guarded_and_sets_no_cookie(viewer: Viewer, request_line: bytes, status: int) -> None:
    host = f"127.0.0.1:{viewer.server_port}".encode()
    line = request_line.replace(b"{token}", viewer.token.encode())
    head, _, body = sent(viewer, line + b"\r\nHost: " + host + b"\r\n\r\n").partition(b"\r\n\r\n")
    headers = dict(one.split(b": ", 1) for one in head.lower().splitlines()[1:])
    assert int(head.split()[1]) == status
    assert headers[b"content-security-policy"].startswith(b"default-src 'none'; script-src 'self';")
    assert b"unsafe" not in headers[b"content-security-policy"]
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"cross-origin-opener-policy"] == b"same-origin"
    assert not {b"set-cookie", b"access-control-allow-origin"} & headers.keys()
    assert b"<script>alert" not in body
    assert b"python" not in head.lower(), "what answers is nobody's business"


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example:{port}"])
def test_only_its_own_name_is_answered(viewer: Viewer, host: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", viewer.server_port, timeout=END)
    connection.putrequest("GET", f"/{viewer.token}/", skip_host=True)
    if host:
        connection.putheader("Host", host.format(port=viewer.server_port))
    connection.endheaders()
    assert connection.getresponse().status == 403
    connection.close()


def test_the_token_is_random_and_compared_in_constant_time(
    viewer: Viewer, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def spied(given: bytes, token: bytes) -> bool:
        asked.append((given, token))
        return compare(given, token)

    monkeypatch.setattr(hmac, "compare_digest", spied)
    connection = http.client.HTTPConnection("127.0.0.1", viewer.server_port, timeout=END)
    connection.request("GET", "/guess/")
    assert connection.getresponse().status == 403
    connection.close()
    assert asked == [(b"guess", viewer.token.encode())]
    with Viewer(str(run)) as other:
        assert other.token != viewer.token
        assert len(other.token) >= 32


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_parquet('{run}/quarantine/part-00000.parquet')",
        "SELECT * FROM read_parquet('{run}/data/../quarantine/part-00000.parquet')",
        "COPY (SELECT 1) TO '{run}/x.csv'",
        "ATTACH '{run}/x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "RESET lock_configuration",
        "SELECT * FROM read_csv('https://127.0.0.1/x.csv')",
    ],
)
def test_duckdb_reaches_the_shards_alone(viewer: Viewer, run: Path, query: str) -> None:
    connection = viewer.documents._connection.cursor()
    with pytest.raises((duckdb.PermissionException, duckdb.InvalidInputException, duckdb.CatalogException)):
        connection.execute(query.format(run=run)).fetchall()
    assert connection.execute("SELECT count(*) FROM documents").fetchall() == [(65,)]
    assert not {"x.csv", "x.db"} & {path.name for path in run.iterdir()}


def test_what_spills_goes_where_nobody_else_looks(run: Path) -> None:
    documents = Documents(Store(str(run)))
    spill = Path(documents._spill.name)
    assert spill.stat().st_mode & 0o077 == 0
    documents.close()
    assert not spill.exists()


def test_a_taken_port_is_told(viewer: Viewer, run: Path) -> None:
    with pytest.raises(InputError, match=rf"port {viewer.server_port} of 127\.0\.0\.1 cannot be used .*--port"):
        Viewer(str(run), viewer.server_port)
    done = tamis("view", run, "--port", str(viewer.server_port))
    assert (done.returncode, "cannot be used" in done.stderr, "Traceback" in done.stderr) == (4, True, False)


def test_a_run_that_cannot_be_viewed_leaves_no_port_open(tmp_path: Path, run: Path) -> None:
    (tmp_path / "manifest.json").write_bytes((run / "manifest.json").read_bytes())
    with pytest.raises(InputError, match=r"part-00000\.parquet is missing"):
        Viewer(str(tmp_path))
    with pytest.raises(InputError, match="no finished run"):
        Viewer(str(tmp_path / "nowhere"))


def test_a_browser_that_leaves_is_no_error(viewer: Viewer, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", viewer.server_port)) as connection:
            connection.sendall(
                f"GET /{viewer.token}/ HTTP/1.1\r\nHost: 127.0.0.1:{viewer.server_port}\r\n\r\n".encode()
            )
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sent(viewer, b"")
    assert capfd.readouterr().err == ""


def test_what_fails_inside_is_told_without_the_question(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret words")

    monkeypatch.setattr(viewer.documents, "page", fail)
    sent(viewer, f"GET /{viewer.token}/documents HTTP/1.1\r\nHost: 127.0.0.1:{viewer.server_port}\r\n\r\n".encode())
    told = capfd.readouterr().err
    assert "RuntimeError" in told
    assert "secret" not in told
    assert viewer.token not in told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once_when_asked(run: Path, tmp_path: Path, number: int) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        command("view", run), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    assert address.startswith("http://127.0.0.1:")
    port = int(address.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port)):  # a connection that says nothing holds nobody up
        assert "until Ctrl-C" in process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(number)
        out, err = process.communicate(timeout=END)
    assert (process.returncode, out.strip(), err) == (0, "ended", "")
    assert list(tmp_path.glob("tamis-view-*")) == []
