"""What an OpenAI-compatible endpoint says of its models: their names, and what tells two models of one name apart.

vLLM and SGLang say where a model's files come from (`root`), and of an adapter also its model (`parent`); llama.cpp
tells a model's measures (`meta`). `created` is no fact about a model there: all three say the time of the request. A
`system_fingerprint` is one of the server, and changes with it.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

_MEASURES = ("n_vocab", "n_embd", "n_params", "size")


def read_models(raw: str) -> dict[str, str] | None:
    """The names of the models listed, each with its identity: 8 hex digits, or nothing if the list tells none.

    None if this is no list.

    >>> read_models('{"data": [{"id": "rater", "root": "lab/model"}, {"id": "other", "root": "other"}]}')
    {'rater': '988bc26d', 'other': ''}
    """
    try:
        return {str(name): _identity(model) for model in orjson.loads(raw)["data"] for name in _names(model)}
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _names(model: Mapping[str, Any]) -> list[Any]:
    return [model["id"], *(model.get("aliases") or ())]


def _identity(model: Mapping[str, Any]) -> str:
    """The hash of what is told beyond the model's own names."""
    meta = model.get("meta")
    facts = {name: model.get(name) for name in ("root", "parent")}
    facts |= {name: meta.get(name) for name in _MEASURES} if isinstance(meta, Mapping) else {}
    told = {name: fact for name, fact in facts.items() if _is_told(fact) and fact not in _names(model)}
    return hashlib.sha256(orjson.dumps(told)).hexdigest()[:8] if told else ""


def _is_told(fact: object) -> bool:
    return isinstance(fact, str | int) and bool(fact)
