"""One OpenAI-compatible endpoint: requests with retries, and which failure is a document's and which the endpoint's.

A request that fails for a reason that may pass (no connection, no answer in time, 408, 409, 425, 429, 5xx, a body that
is no answer) is sent again after an exponentially growing wait with jitter, or after what `Retry-After` asks for. The
endpoint counts as down when `retries` + 1 tries of one request in a row have failed so: an error that stops the run.
One exception: a document to which alone it says 500 or nonsense, while it answers PROBES other requests sent right
then, is refused as one that it rejects (another 4xx) is. A wrong key and a missing model stop the run at once.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from stages.errors import ConfigError, EngineError, ModelError
from stages.rating_models import read_models
from stages.rating_requests import PATHS, Ask, BadReply, Reply, body, halves, read_reply

T = TypeVar("T")
KEY_VARIABLE = "TAMIS_RATER_KEY"
FIRST_WAIT_S, MOST_WAIT_S, MOST_ASKED_WAIT_S = 0.5, 30.0, 300.0
"""The wait before the second try, and the longest one, ours and one that the endpoint asks for."""
PROBES = 3
REFUSALS = 20
"""Documents refused before any was answered that are taken for a wrong configuration."""
_PROBE = "The lighthouse keeper counted the boats again before the storm."
_KEPT = "Finished shards are kept; the same command goes on from here"
_PASSING = (408, 409, 425, 429)
_LOGGERS = ("openai", "httpx", "httpcore", "httpx2", "httpcore2")


class _Passing(Exception):
    """A try failed for a reason that may pass."""

    def __init__(self, why: str, wait: float = 0.0, *, own: bool = False) -> None:
        super().__init__(why)
        self.wait = wait
        self.own = own
        """Whether the document may be the reason."""


class _Refused(Exception):
    """The endpoint rejects this request for good."""


class _TooLong(_Refused):
    """The text does not fit into the model's context."""


class Endpoint:
    """Asks; to be used in one event loop."""

    def __init__(self, url: str, key: str, ask: Ask, retries: int, timeout_s: float) -> None:
        import openai

        self._openai = openai
        self._client = openai.AsyncOpenAI(api_key=key or "none", base_url=url, max_retries=0, timeout=timeout_s)
        self._url, self._ask, self._retries, self._timeout_s = url, ask, retries, timeout_s
        self._takes_logprobs: bool | None = None
        self._probing = asyncio.Lock()
        self._answered = False
        self._refused = 0
        _quieten()

    async def check_model(self) -> str:
        """The model's identity (see `read_models`), or nothing if the endpoint tells none.

        Raises ModelError if the endpoint lists its models and ours is not there; errors as `ask` otherwise.
        """
        try:
            models = read_models(await self._patiently(self._models, "models"))
        except _Refused:
            return ""
        except _Passing as last:
            raise self._down(last) from None
        if models is not None and self._ask.model not in models:
            some = ", ".join(f"'{name[:100]}'" for name in list(models)[:5] if name.isprintable()) or "none"
            raise ModelError(f"rating.model: {self._url} has no '{self._ask.model}', found {some}; name one of them")
        return (models or {}).get(self._ask.model, "")

    async def ask(self, text: str) -> Reply | None:
        """The answer about a shown text, or None if the endpoint refuses this document.

        Raises EngineError if it is down, ConfigError if it takes neither key nor request, ModelError if it has no such
        model.
        """
        for part in halves(text):
            try:
                reply = await self._reply(part)
            except _TooLong:
                continue
            except _Refused as refused:
                self._count_refusal(refused)
                return None
            self._answered = True
            return reply
        return None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _reply(self, text: str) -> Reply:
        """The answer with probabilities; without them if the endpoint refuses them, for this text or for any."""
        if self._takes_logprobs is not False:
            try:
                return await self._tried(body(self._ask, text, True))
            except _TooLong:
                raise
            except _Refused:
                await self._find_out_logprobs()
        return await self._tried(body(self._ask, text, False))

    async def _find_out_logprobs(self) -> None:
        """Ask about a fixed text, once: whether probabilities are refused for any text must not hang on a document."""
        async with self._probing:
            if self._takes_logprobs is None:
                takes = await self._takes(body(self._ask, _PROBE, True))
                self._takes_logprobs = takes or not await self._takes(body(self._ask, _PROBE, False))

    async def _takes(self, request: dict[str, Any]) -> bool:
        try:
            await self._tried(request)
        except _Refused:
            return False
        return True

    def _count_refusal(self, refused: _Refused) -> None:
        self._refused += 1
        if not self._answered and self._refused >= REFUSALS:
            raise ConfigError(
                f"{self._url}: refused each of the first {self._refused} documents ({refused}): do rating.api "
                f"('{self._ask.api}') and rating.guided ('{self._ask.guided}') suit it? Its own log may say more"
            )

    async def _tried(self, request: dict[str, Any]) -> Reply:
        try:
            return await self._patiently(lambda: self._answer(request), request)
        except _Passing as last:
            if last.own and await self._is_well():
                raise _Refused(str(last)) from None
            raise self._down(last) from None

    async def _is_well(self) -> bool:
        """Whether the endpoint answers other requests right now."""
        probe = body(self._ask, _PROBE, False)
        try:
            for _ in range(PROBES):
                await self._once(lambda: self._answer(probe))
        except (_Passing, _Refused):
            return False
        return True

    async def _patiently(self, call: Callable[[], Awaitable[T]], seed: object) -> T:
        """What the call gives, tried again as often as may be. Raises the last try's _Passing, or _Refused at once."""
        for attempt in range(self._retries):
            try:
                return await self._once(call)
            except _Passing as failure:
                await asyncio.sleep(_wait(attempt, failure.wait, seed))
        return await self._once(call)

    async def _once(self, call: Callable[[], Awaitable[T]]) -> T:
        openai = self._openai
        try:
            async with asyncio.timeout(self._timeout_s):
                return await call()
        except openai.APIStatusError as error:
            raise self._judged(error) from None
        except (TimeoutError, openai.APITimeoutError):
            raise _Passing(f"no answer within {self._timeout_s:g} s") from None
        except openai.APIConnectionError:
            raise _Passing("no connection, or one that broke") from None
        except BadReply:
            raise _Passing("a body that is no answer of this API", own=True) from None
        except Exception as error:
            raise EngineError(f"{self._url}: could not be asked: {type(error).__name__}. {_KEPT}") from None

    async def _answer(self, request: dict[str, Any]) -> Reply:
        return read_reply(await self._client.post(PATHS[self._ask.api], cast_to=str, body=request), self._ask)

    async def _models(self) -> str:
        """What the endpoint says of its models; nothing if it has no list."""
        try:
            return str(await self._client.get("/models", cast_to=str))
        except self._openai.NotFoundError:
            return ""

    def _judged(self, error: Any) -> Exception:
        """What a status means; never with the endpoint's own words, which may quote the document or the key."""
        status = int(error.status_code)
        if status in (401, 403):
            return ConfigError(
                f"{self._url}: the endpoint does not accept the key (HTTP {status}): set ${KEY_VARIABLE}"
            )
        if status == 404:
            return ModelError(
                f"{self._url}: HTTP 404 for model '{self._ask.model}' at {PATHS[self._ask.api]}: expected a base URL "
                "such as http://host:8000/v1 in rating.url, and a model that is served there in rating.model"
            )
        if status in _PASSING or status >= 500:
            return _Passing(f"HTTP {status}", _asked_wait(error.response.headers), own=status == 500)
        return (_TooLong if status == 413 or _is_too_long(str(error.body)) else _Refused)(f"HTTP {status}")

    def _down(self, last: _Passing) -> EngineError:
        return EngineError(
            f"{self._url}: {self._retries + 1} tries of one request failed, the last with: {last}. Is the endpoint up, "
            f"and is rating.concurrency not too much for it? {_KEPT}"
        )


def _wait(attempt: int, asked: float, seed: object) -> float:
    """Seconds before the next try: doubled each time, of which jitter takes up to half; longer if asked for."""
    ours = min(FIRST_WAIT_S * 2.0 ** min(attempt, 10), MOST_WAIT_S)
    jitter = random.Random(f"{attempt} {seed}").uniform(0.5, 1.0)
    return max(ours * jitter, min(asked, MOST_ASKED_WAIT_S))


def _asked_wait(headers: Any) -> float:
    """Seconds that a `Retry-After` asks for, as a number or as a date; 0 if there is none."""
    asked = str(headers.get("retry-after", ""))
    try:
        return max(0.0, float(asked))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _is_too_long(said: str) -> bool:
    """Whether a refusal is about the context's length, in the words of vLLM, llama.cpp and others."""
    said = said.lower()
    return any(words in said for words in ("context", "too long", "max_model_len", "max_tokens must be at least"))


def _quieten() -> None:
    """The client's libraries log requests, with documents in them, where logs are made at their finest."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
