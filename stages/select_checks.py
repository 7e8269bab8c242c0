"""What the settings of selection may be."""

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from stages.errors import ConfigError
from stages.rating_protocol import CRITERIA, DOMAINS
from stages.select_rows import NO_VALUE

if TYPE_CHECKING:
    from stages.select import Select

MOST_BUDGET = 2**62 - 1
MOST_WEIGHT = 1e6
OWN_WORDS = ("text", "metadata", "id")
"""Columns of documents' own words, which are never names of strata: a stratum's name is written down."""
METHODS = ("top_k", "sample")
SHARES = ("proportional", "equal")


def check(stage: "Select") -> None:
    """Raise ConfigError for a setting that cannot be used."""
    for name, known in {"method": METHODS, "shortfall": ("keep", "redistribute"), "unrated": ("drop", "keep")}.items():
        _one_of(name, getattr(stage, name), known)
    for name in stage.weights:
        _one_of("weights", name, CRITERIA)
    for name, fits, expected in (
        ("tokens", 0 <= stage.tokens <= MOST_BUDGET, f"0 to {MOST_BUDGET:,}"),
        ("temperature", 1e-6 <= stage.temperature <= 1e6, "0.000001 to 1000000"),
        ("bytes_per_token", 0.01 <= stage.bytes_per_token <= 1e6, "0.01 to 1000000"),
        ("max_copies", 1 <= stage.max_copies <= 1000, "1 to 1000"),
        ("weights", _usable(stage.weights), "finite numbers of at most a million, not all of them 0"),
        ("strata", len(set(stage.strata)) == len(stage.strata) <= 2, "at most two different columns, such as [source]"),
        (
            "strata",
            not set(stage.strata) & set(OWN_WORDS),
            f"none of {', '.join(OWN_WORDS)}: such as [source]",
        ),
        ("tokens_from", stage.tokens_from not in ("", *OWN_WORDS), "bytes, or the name of an integer column"),
        *((f"min_{name}", 0 <= least <= 5, "0 to 5") for name, least in stage.minimums.items()),
    ):
        if not fits:
            raise ConfigError(f"select.{name}: found {getattr(stage, name)}, expected {expected}")
    if isinstance(stage.shares, str):
        _one_of("shares", stage.shares, SHARES)
    elif not _finite(stage.shares) or min(stage.shares.values(), default=0.0) < 0 or not _whole(stage.shares):
        raise ConfigError(f"select.shares: found {stage.shares}, expected numbers of 0 or more whose sum is 1")
    elif not stage.tokens:
        raise ConfigError("select.shares: shares by name are shares of a budget: set select.tokens")
    elif stage.strata == ("domain",):
        for name in stage.shares:
            _one_of("shares", name, (*DOMAINS, NO_VALUE))


def check_names(shares: Mapping[str, float], found: list[str], columns: tuple[str, ...]) -> None:
    """A share of a stratum that no document belongs to is a mistake; but any domain may be absent."""
    for name in () if columns == ("domain",) else sorted(set(shares) - set(found)):
        near = difflib.get_close_matches(name, found, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else "."
        shown = ", ".join(found[:20]) or "none"
        raise ConfigError(f"select.shares: no document of stratum '{name}' reaches the stage{hint} There are: {shown}")


def _finite(values: Mapping[str, float]) -> bool:
    return all(math.isfinite(value) for value in values.values())


def _usable(weights: Mapping[str, float]) -> bool:
    return all(abs(weight) <= MOST_WEIGHT for weight in weights.values()) and any(weights.values())


def _whole(shares: Mapping[str, float]) -> bool:
    return abs(sum(shares.values()) - 1.0) <= 1e-6


def _one_of(name: str, found: str, known: Sequence[str]) -> None:
    if found not in known:
        near = difflib.get_close_matches(found, known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ConfigError(f"select.{name}: found '{found}', expected one of {', '.join(known)}{hint}")
