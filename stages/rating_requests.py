"""What is sent to an OpenAI-compatible endpoint about one document, and what is read from its answer.

The endpoint's tokenizer is not here, so texts are measured in UTF-8: BYTES_PER_TOKEN bytes count as a token, which is
about what byte-level tokenizers make of prose in any script. Text of digits or of rare scripts has more tokens; an
endpoint that finds a request too long is asked again with half of it.

`completions` always sends ChatML, the form of the published models, whatever template the served model has of its own:
it is for those and for other models of that form. `chat` leaves the form to the endpoint's template.
"""

import math
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from stages.rating_protocol import GAP, LETTERS, SYSTEM, prepared, slots, user_message

BYTES_PER_TOKEN = 4
HALVINGS = 3
"""Times that a text is halved for an endpoint that finds it too long, before the document is an `error`."""
PATHS = {"completions": "/completions", "chat": "/chat/completions"}
STOPS = ("<|im_end|>", "<|endoftext|>")
"""Tokens 151645 and 151643 of the published models."""
LOGPROBS = 5
"""Alternatives asked for at each token: the five digits."""

_CHATML = "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"
_EDGE = 100_000
"""Characters of a text's beginning and end that are looked at; far more than are shown."""
_SPECIAL = re.compile(
    r"<(?=[|｜][^<>|｜\n]{1,60}[|｜]>|(?:/?s|<SYS>|bos|eos|start_of_turn|end_of_turn)>)|\[(?=/?INST\])"
)
"""The first character of a token that looks special; tokens may stand within one another."""
_BROKEN_OFF = ("content_filter", "abort", "error", "cancelled")
"""Ends of an answer that are not the model's, in the words of several servers."""


class BadReply(ValueError):
    """What the endpoint sent is no answer of the API's form."""


@dataclass(frozen=True)
class Ask:
    """The facts, beside a document's text, that decide what is asked."""

    model: str
    api: str = "chat"
    mode: str = "all"
    language: str = "en"
    guided: str = "none"
    """How the endpoint is held to the answer's form: not, by vLLM's structured outputs, or by a llama.cpp grammar."""

    @property
    def most_tokens(self) -> int:
        """Tokens of an answer: a line and its end each; of a single line, the token after it shows whether it ends.

        >>> Ask("m").most_tokens, Ask("m", mode="score").most_tokens
        (29, 2)
        """
        return max(2, 2 * len(slots(self.mode)) - 1)


@dataclass(frozen=True)
class Reply:
    """What an endpoint answered, as far as a rating needs it."""

    text: str
    prompt_tokens: int = -1
    answer_tokens: int = -1
    chances: tuple[tuple[float, ...], ...] = ()
    """For each line its choices' probabilities, which add up to 1; nothing if the endpoint tells none."""
    complete: bool = True
    """Whether there is one that was neither filtered nor broken off."""


def shown(text: str) -> str:
    """What is shown of a document: see `prepared`; tokens that look special to any common model are neutralised."""
    if len(text) > 2 * _EDGE:
        text = text[:_EDGE] + text[-_EDGE:]
    return _neutral(prepared(_neutral(text), _pieces, _joined, ()))


def halves(text: str) -> Iterator[str]:
    """The text, then its first and last quarter, and so on HALVINGS times.

    >>> [len(half) for half in halves("x" * 80)]
    [80, 43, 23, 13]
    """
    yield text
    for _ in range(HALVINGS):
        quarter = max(1, len(text) // 4)
        text = text[:quarter] + GAP + text[-quarter:]
        yield text


def body(ask: Ask, text: str, logprobs: bool) -> dict[str, Any]:
    """The request about a text that was made ready with `shown`."""
    user = user_message(text, ask.language, ask.mode)
    made: dict[str, Any] = {
        "model": ask.model,
        "max_tokens": ask.most_tokens,
        "temperature": 0,
        "seed": 0,
        "stop": list(STOPS),
        **_guide(ask),
    }
    if ask.api == "completions":
        made["prompt"] = _CHATML.format(system=SYSTEM, user=user)
        return made | ({"logprobs": LOGPROBS} if logprobs else {})
    made["messages"] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}]
    return made | ({"logprobs": True, "top_logprobs": LOGPROBS} if logprobs else {})


def read_reply(raw: str | bytes, ask: Ask) -> Reply:
    """The answer in a response's body. Raises BadReply if there is none."""
    try:
        whole = orjson.loads(raw)
        choice = whole["choices"][0]
        text = choice["text"] if ask.api == "completions" else choice["message"]["content"]
    except (ValueError, LookupError, TypeError):
        raise BadReply from None
    if not isinstance(text, str | None):
        raise BadReply
    usage = whole.get("usage")
    prompt, answer = (_count(usage, name) for name in ("prompt_tokens", "completion_tokens"))
    chances = _chances(choice.get("logprobs"), slots(ask.mode))
    complete = bool((text or "").strip()) and choice.get("finish_reason") not in _BROKEN_OFF
    return Reply(text or "", prompt, answer, chances, complete)


def _guide(ask: Ask) -> dict[str, Any]:
    choices = [f"[{'A-O' if slot == LETTERS else '1-5'}]" for slot in slots(ask.mode)]
    if ask.guided == "regex":
        return {"structured_outputs": {"regex": r"\n".join(choices)}}
    if ask.guided == "grammar":
        return {"grammar": "root ::= " + r' "\n" '.join(choices)}
    return {}


def _chances(logprobs: object, choices: Sequence[str]) -> tuple[tuple[float, ...], ...]:
    """One distribution a slot if the tokens are those of an answer, with nothing but white space between; else none."""
    tokens = [(token, others) for token, others in _tokens(logprobs) if token.strip() and token not in STOPS]
    if len(tokens) != len(choices):
        return ()
    found = []
    for (token, others), slot in zip(tokens, choices, strict=True):
        mass = dict.fromkeys(slot, 0.0)
        for other, logprob in others:
            if other.strip() in mass:
                mass[other.strip()] += math.exp(min(logprob, 0.0))
        total = sum(mass.values())
        if token.strip() not in mass or not total > 0:
            return ()
        found.append(tuple(value / total for value in mass.values()))
    return tuple(found)


def _tokens(logprobs: object) -> list[tuple[str, list[tuple[str, float]]]]:
    """Each token with its alternatives: of chat (`content`), or of completions (`tokens` and `top_logprobs`)."""
    try:
        if isinstance(logprobs, Mapping) and logprobs.get("content") is not None:
            return [
                (str(one["token"]), [(str(other["token"]), float(other["logprob"])) for other in one["top_logprobs"]])
                for one in logprobs["content"]
            ]
        if isinstance(logprobs, Mapping) and logprobs.get("tokens") is not None:
            pairs = zip(logprobs["tokens"], logprobs["top_logprobs"], strict=True)
            return [(str(token), [(str(name), float(one)) for name, one in tops.items()]) for token, tops in pairs]
    except (LookupError, TypeError, ValueError, AttributeError):
        pass
    return []


def _count(usage: object, name: str) -> int:
    found = usage.get(name) if isinstance(usage, Mapping) else None
    return found if isinstance(found, int) and 0 <= found < 2**31 else -1


def _neutral(text: str) -> str:
    """The text with a space after the first character of each token that looks special."""
    return _SPECIAL.sub(r"\g<0> ", text)


def _pieces(text: str) -> Sequence[int]:
    """The text's UTF-8 in pieces of BYTES_PER_TOKEN, the last filled up with spaces."""
    raw = text.encode("utf-8", "replace")
    return array("I", raw + b" " * (-len(raw) % BYTES_PER_TOKEN))


def _joined(pieces: Sequence[int]) -> str:
    return array("I", pieces).tobytes().decode("utf-8", "ignore")
