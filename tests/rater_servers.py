"""Endpoints for tests of the served rater: one with scripted faults in this process, and a real small model.

The real one is SmolLM2-135M-Instruct under llama.cpp, which jobs/setup.sh puts into an environment of its own.
"""

import hashlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

SMOLLM2, KEY = "smollm2-135m-instruct", "sk-only-for-tests"
_SERVE = """
import sys, xllamacpp
settings = xllamacpp.CommonParams()
settings.model.path, settings.model_alias, settings.api_keys = sys.argv[1], {sys.argv[3]}, [sys.argv[4]]
settings.hostnames, settings.port, settings.ui, settings.verbosity = ["127.0.0.1"], int(sys.argv[2]), False, 0
settings.n_ctx, settings.n_parallel, settings.n_threads_http = 512, 1, 4
settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
settings.n_gpu_layers = settings.cache_ram_mib = 0
settings.warmup = False
server = xllamacpp.Server(settings)
sys.stdin.read()
"""
_START_SECONDS = 60


@dataclass(frozen=True)
class Said:
    """What the scripted endpoint says instead of a good answer."""

    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: str | None = None
    finish: str = "stop"
    delay: float = 0.0
    reset: bool = False


Script = Callable[[int, str, dict[str, Any]], Said | None]
"""From the number of the request (from 0), its prompt and its body to what is said; None for a good answer."""


def good_answer(prompt: str) -> str:
    """Fifteen lines that depend on the prompt alone."""
    seed = hashlib.sha256(prompt.encode()).digest()
    return "\n".join(["ABCDEFGHIJKLMNO"[seed[0] % 15], *("12345"[byte % 5] for byte in seed[1:15])])


class FakeEndpoint:
    """An endpoint on loopback in threads of this process; it may end and begin again on the same port."""

    def __init__(self, script: Script | None = None, *, key: str = "", logprobs: bool = False) -> None:
        self.script, self.key, self.logprobs = script, key, logprobs
        self.prompts: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.at_once = self.most_at_once = 0
        self.models: str | None = json.dumps({"data": [{"id": "fake-1"}, {"id": "fake-2"}]})
        self.lock = threading.Lock()
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def is_up(self) -> bool:
        return self._server is not None

    def __enter__(self) -> "FakeEndpoint":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, fake: FakeEndpoint) -> None:
        self.fake = fake
        super().__init__(("127.0.0.1", fake.port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no failure of a test."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _fake(self) -> FakeEndpoint:
        return cast(_Server, self.server).fake

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if not self._is_allowed():
            self._send(Said(401, f"bad key {self.headers['Authorization']}"))
        elif self.path != "/v1/models" or self._fake.models is None:
            self._send(Said(404, "{}"))
        else:
            self._send(Said(200, self._fake.models))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body.get("prompt") or body["messages"][-1]["content"]
        fake = self._fake
        with fake.lock:
            number = len(self._fake.prompts)
            self._fake.prompts.append(prompt)
            self._fake.bodies.append(body)
            self._fake.at_once += 1
            self._fake.most_at_once = max(self._fake.most_at_once, self._fake.at_once)
        try:
            self._answer(number, prompt, body)
        finally:
            with self._fake.lock:
                self._fake.at_once -= 1

    def _answer(self, number: int, prompt: str, body: dict[str, Any]) -> None:
        said = (self._fake.script(number, prompt, body) if self._fake.script else None) or Said()
        time.sleep(said.delay)
        if not self._is_allowed():
            said = Said(401, f"bad key {self.headers['Authorization']}")
        if said.reset or not self._fake.is_up:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        answer = good_answer(prompt) if said.answer is None else said.answer
        whole = said.body or json.dumps(reply(answer, said.finish, body, self._fake.logprobs))
        self._send(Said(said.status, whole, said.headers))

    def _is_allowed(self) -> bool:
        return not self._fake.key or self.headers["Authorization"] == f"Bearer {self._fake.key}"

    def _send(self, said: Said) -> None:
        raw = said.body.encode()
        self.send_response(said.status)
        for name, value in {"Content-Type": "application/json", **said.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self._headers_buffer.append(b"\r\n" + raw)  # type: ignore[attr-defined]
        self.flush_headers()


def reply(answer: str, finish: str, body: Mapping[str, Any], logprobs: bool) -> dict[str, Any]:
    """A response in the form of the API that was asked; with probabilities 0.6 and 4 times 0.1 if these are wanted."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
    tokens = [token for line in answer.split("\n") for token in (line, "\n")][:-1]
    if "prompt" in body:
        choice["text"] = answer
        if logprobs and body.get("logprobs"):
            choice["logprobs"] = {"tokens": tokens, "top_logprobs": [_tops(token) for token in tokens]}
    else:
        choice["message"] = {"role": "assistant", "content": answer}
        if logprobs and body.get("logprobs"):
            tops = [[{"token": name, "logprob": value} for name, value in _tops(token).items()] for token in tokens]
            content = [{"token": token, "top_logprobs": top} for token, top in zip(tokens, tops, strict=True)]
            choice["logprobs"] = {"content": content}
    return {"choices": [choice], "usage": {"prompt_tokens": 200, "completion_tokens": len(tokens)}}


def _tops(token: str) -> dict[str, float]:
    others = [other for other in ("12345" if token in "12345" else "ABCDE") if other != token][:4]
    return {token: -0.5108256, **dict.fromkeys(others, -2.3025851)}


@pytest.fixture(scope="session")
def smollm2_url() -> Iterator[str]:
    """URL of a real model under llama.cpp."""
    if not has_smollm2():
        pytest.skip("no SmolLM2: run jobs/setup.sh dev, or set TAMIS_SMOLLM2 to its environment")
    with smollm2() as url:
        yield url


def has_smollm2() -> bool:
    """Whether set-up has put the model and its server here."""
    return (_home() / "bin" / "python").is_file() and any((_home() / "share").glob("*.gguf"))


@contextmanager
def smollm2() -> Iterator[str]:
    """The URL of the model SMOLLM2, which is served for the key KEY as long as the context lasts."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    model = next((_home() / "share").glob("*.gguf"))
    command = [str(_home() / "bin" / "python"), "-c", _SERVE, str(model), str(port), SMOLLM2, KEY]
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet)
    try:
        _wait(f"http://127.0.0.1:{port}/health", server)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.communicate()


def _home() -> Path:
    return Path(os.environ.get("TAMIS_SMOLLM2", Path(sys.prefix) / "smollm2"))


def _wait(url: str, server: "subprocess.Popen[bytes]") -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            direct.open(url, timeout=5).close()
        except OSError:
            if server.poll() is not None or time.monotonic() > end:
                pytest.fail(f"the model server did not answer within {_START_SECONDS} s")
            time.sleep(0.1)
        else:
            return
