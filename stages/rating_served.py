"""Rating by a language model behind an OpenAI-compatible endpoint, such as vLLM's: the rater `served`.

Nothing is imputed: an answer that is not one by the protocol is `invalid`, a document that the endpoint refuses is
`error`. A failure of the endpoint itself is an error that stops the run. Equal texts of a batch are asked about once.
The rater's name is `served:<model>`, and `served:<model>@<8 hex>` where the endpoint tells what it serves by that name.
"""

import asyncio
import math
import os
import threading
import weakref
from collections import defaultdict
from collections.abc import Coroutine, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import numpy as np

from stages.errors import ConfigError
from stages.rating_answers import Answers, check_place
from stages.rating_endpoint import KEY_VARIABLE, Endpoint
from stages.rating_protocol import DIGITS, LETTERS, parse_answer, slots
from stages.rating_requests import Ask, Reply, shown
from stages.ratings import ERROR, INVALID, OK, Ratings

if TYPE_CHECKING:
    from stages.rating import Rating

MOST_AT_ONCE = 1000
"""Requests at once that the client has connections for; a larger `concurrency` is this."""
T = TypeVar("T")


def files(settings: "Rating") -> Mapping[str, Path]:
    """No model lies here. Raises ConfigError for settings that cannot do, before anything is read."""
    _check(settings)
    return {}


def open_rater(settings: "Rating") -> "ServedRater":
    """Ask the endpoint for its models. Raises ConfigError, ModelError or EngineError."""
    _check(settings)
    ask = Ask(settings.model, settings.api, settings.mode, settings.language, settings.guided)
    answers = Answers(settings.answers, ask)
    endpoint = Endpoint(settings.url.rstrip("/"), _key(), ask, settings.retries, settings.timeout_s)
    rater = ServedRater(endpoint, answers, ask, min(settings.concurrency, MOST_AT_ONCE))
    rater.check_model()
    return rater


class ServedRater:
    """Rates by asking; see `open_rater`. Its requests run in a thread of their own, which ends with it."""

    def __init__(self, endpoint: Endpoint, answers: Answers, ask: Ask, concurrency: int) -> None:
        self.name = f"served:{ask.model}"
        self._endpoint, self._answers, self._ask, self._concurrency = endpoint, answers, ask, concurrency
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_serve, args=(self._loop, endpoint, answers), daemon=True)
        thread.start()
        self.close = weakref.finalize(self, _end, self._loop, thread)

    def check_model(self) -> None:
        """Learn the model's identity. Raises ModelError if the endpoint has no such model, and what `rate` raises."""
        if identity := self._wait_for(self._endpoint.check_model()):
            self._answers.identity = identity
            self.name = f"served:{self._ask.model}@{identity}"

    def rate(self, texts: Sequence[str]) -> Ratings:
        """See Rater.rate. Raises EngineError, ConfigError or ModelError if the endpoint is the reason of a failure."""
        ratings = Ratings.none(len(texts))
        rows: dict[str, list[int]] = defaultdict(list)
        for row, text in enumerate(texts):
            if ready := shown(text):
                rows[ready].append(row)
        replies = self._wait_for(self._ask_all(list(rows)))
        for ready, same in rows.items():
            for row in same:
                _fill(ratings, row, replies[ready], self._ask.mode)
        return ratings

    async def _ask_all(self, texts: Sequence[str]) -> dict[str, Reply | None]:
        """The replies; the first error that stops the run ends all other requests."""
        replies: dict[str, Reply | None] = {}
        left = iter(texts)

        async def work() -> None:
            for text in left:
                replies[text] = await self._reply(text)

        workers = [asyncio.create_task(work()) for _ in range(min(self._concurrency, len(texts)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return replies

    async def _reply(self, text: str) -> Reply | None:
        if found := self._answers.find(text):
            return found
        reply = await self._endpoint.ask(text)
        if reply:
            self._answers.keep(text, reply)
        return reply

    def _wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


def _fill(ratings: Ratings, row: int, reply: Reply | None, mode: str) -> None:
    """Write one document's rating."""
    if reply is None:
        ratings.status[row] = ERROR
        return
    ratings.tokens[row] = reply.prompt_tokens, reply.answer_tokens
    answer = parse_answer(reply.text, mode)
    if answer is None:
        ratings.status[row] = INVALID
        return
    ratings.status[row] = OK
    domain, scores = answer
    ratings.domains[row] = domain
    if scores:
        ratings.scores[row, -len(scores) :] = scores
    if reply.chances:
        _fill_chances(ratings, row, reply, mode)


def _fill_chances(ratings: Ratings, row: int, reply: Reply, mode: str) -> None:
    chosen = []
    lines = reply.text.split()
    for line, choices, chances in zip(lines, slots(mode), reply.chances, strict=True):
        chance = chances[choices.index(line)]
        if choices == LETTERS:
            ratings.domain_confidence[row] = chance
        else:
            chosen.append(chance)
    digits = [chances for choices, chances in zip(slots(mode), reply.chances, strict=True) if choices == DIGITS]
    if digits:
        ratings.means[row, -len(digits) :] = np.array(digits) @ np.arange(1, len(DIGITS) + 1)
        ratings.confidence[row] = np.mean(chosen)


def _check(settings: "Rating") -> None:
    if find_spec("openai") is None:
        raise ConfigError(
            "rating.rater: 'served' needs the package openai, which is not here: pip install 'tamis[served]'"
        )
    if not math.isfinite(settings.timeout_s):
        raise ConfigError(f"rating.timeout_s: found {settings.timeout_s}, expected a finite number of seconds")
    _check_url(settings.url)
    check_place(settings.answers)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and not parts.fragment
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"rating.url: found '{url}', expected a base URL such as http://localhost:8000/v1")


def _key() -> str:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"${KEY_VARIABLE}: found characters that no key has, expected printable ASCII")
    return key


def _serve(loop: asyncio.AbstractEventLoop, endpoint: Endpoint, answers: Answers) -> None:
    loop.run_forever()
    loop.run_until_complete(endpoint.close())
    answers.close()
    loop.close()


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
