"""What the settings of rating may be."""

import math
from typing import TYPE_CHECKING

from stages.errors import ConfigError
from stages.rating_protocol import DOMAINS, MODES, WORDINGS

if TYPE_CHECKING:
    from stages.rating import Rating

RATERS = ("student", "llm", "served")
DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("auto", "float32", "bfloat16")
APIS = ("completions", "chat")
GUIDES = ("none", "regex", "grammar")
MOST_RETRIES = 100
_CHOICES = {
    "rater": RATERS,
    "mode": MODES,
    "language": tuple(WORDINGS),
    "languages": ("known", "all"),
    "device": DEVICES,
    "dtype": DTYPES,
    "api": APIS,
    "guided": GUIDES,
    "unrated": ("keep", "drop"),
}


def check(stage: "Rating") -> None:
    """Raise ConfigError for a setting that cannot be used, or that could never act."""
    for name, known in _CHOICES.items():
        _one_of(name, getattr(stage, name), known)
    for domain in stage.domains:
        _one_of("domains", domain, DOMAINS)
    for name in ("batch_tokens", "concurrency", "timeout_s"):
        if not 0 < getattr(stage, name) < math.inf:
            raise ConfigError(f"rating.{name}: found {getattr(stage, name)}, expected more than 0, and finite")
    for name in ("prompt_price", "answer_price"):
        if not 0 <= getattr(stage, name) < math.inf:
            raise ConfigError(f"rating.{name}: found {getattr(stage, name)}, expected 0 or more, and finite")
    for name, most in (("min_overall_score", 5), ("retries", MOST_RETRIES)):
        if not 0 <= getattr(stage, name) <= most:
            raise ConfigError(f"rating.{name}: found {getattr(stage, name)}, expected 0 to {most}")
    _check_no_secret(stage.url)
    _check_acts(stage)


def _check_no_secret(url: str) -> None:
    """Whoever rates: manifest and report hold every setting."""
    if "@" in url or "?" in url:
        raise ConfigError(
            "rating.url: found a user, a password or a query, expected none, since settings are written down; set the "
            "key in $TAMIS_RATER_KEY"
        )


def _check_acts(stage: "Rating") -> None:
    """A mode that the rater does not have, or a threshold on what the mode does not ask for, would do nothing."""
    if stage.rater == "student" and stage.mode != "all":
        raise ConfigError(
            f"rating.mode: found '{stage.mode}', but the rater student always gives all: leave mode out, or choose "
            "the rater llm or served"
        )
    if stage.mode == "domain" and stage.min_overall_score:
        raise ConfigError(
            f"rating.min_overall_score: found {stage.min_overall_score}, but the mode domain gives no score: set "
            "rating.mode to all or score, or leave min_overall_score out"
        )
    if stage.mode == "score" and stage.domains:
        raise ConfigError(
            f"rating.domains: found {', '.join(stage.domains)}, but the mode score gives no domain: set rating.mode "
            "to all or domain, or leave domains out"
        )


def _one_of(name: str, found: str, known: tuple[str, ...]) -> None:
    if found not in known:
        raise ConfigError(f"rating.{name}: found '{found}', expected one of {', '.join(known)}")
