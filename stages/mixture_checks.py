"""What the settings of `mixture` may be."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stages.errors import ConfigError

if TYPE_CHECKING:
    from stages.mixture import Mixture

KNOWN = ("stratified", "proportional", "temperature", "unimax", "given")
"""Estimators whose mixture is known before training."""
TRAINED = ("aioli", "skillit", "doremi", "laws", "regmix")
"""Estimators that learn from a proxy."""
REPLAYS = ("trajectory", "average", "final")
DEVICES = ("auto", "cpu", "cuda")
_POSITIVE = ("block", "rounds", "sweeps", "steps", "batch", "held", "evaluate", "threads")
_WHOLE = ("tokens", "trials", "trial_steps")
_SHARES = ("floor", "own", "delta", "memory", "pull", "fade", "ema", "warm")


def check(stage: "Mixture") -> None:
    """Raise ConfigError, naming the setting, for a value that cannot be used."""
    for name, known in (("estimator", (*TRAINED, *KNOWN)), ("replay", REPLAYS), ("device", DEVICES)):
        if getattr(stage, name) not in known:
            raise _wrong(stage, name, f"one of {', '.join(known)}")
    _check_numbers(stage)
    _check_mappings(stage)
    if stage.log and not Path(stage.log).is_file():
        raise ConfigError(f"mixture.log: {stage.log} is no file, expected a finished mixture log")


def _check_numbers(stage: "Mixture") -> None:
    for name in _POSITIVE:
        if getattr(stage, name) < 1:
            raise _wrong(stage, name, "1 or more")
    for name in _WHOLE:
        if getattr(stage, name) < 0:
            raise _wrong(stage, name, "0 or more")
    for name in _SHARES:
        if not 0 <= getattr(stage, name) <= 1:
            raise _wrong(stage, name, "0 to 1")
    for name, fits, expected in (
        ("window", stage.window >= 2, "2 tokens or more"),
        ("learning_rate", 0 < stage.learning_rate <= 1, "more than 0, and 1 at most"),
        ("temperature", stage.temperature > 0, "more than 0 (.inf: uniform)"),
        ("eta", 0 <= stage.eta < math.inf, "0 or more"),
        ("hold", 0 <= stage.hold < math.inf, "0 or more"),
        ("sweeps", stage.sweeps > 1 or not stage.hold or stage.estimator != "aioli", "2 or more, or hold 0"),
        ("warm", not stage.warm or bool(stage.prior), "0, or a prior to train on"),
    ):
        if not fits:
            raise _wrong(stage, name, expected)


def _check_mappings(stage: "Mixture") -> None:
    epochs = stage.max_epochs
    if any(not limit > 0 for limit in (epochs.values() if isinstance(epochs, Mapping) else [epochs])):
        raise _wrong(stage, "max_epochs", "numbers above 0 (.inf: no limit)")
    for name in ("shares", "prior"):
        shares: Mapping[str, float] = getattr(stage, name)
        if shares and (any(not share >= 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-6):
            raise _wrong(stage, name, "shares that are not negative and sum to 1")
    if bool(stage.shares) != (stage.estimator == "given"):
        raise ConfigError(
            f"mixture.shares: found {dict(stage.shares)} for the estimator {stage.estimator}: the estimator `given` "
            "needs shares, such as {web: 0.7, code: 0.3}, and no other takes any"
        )


def _wrong(stage: "Mixture", name: str, expected: str) -> ConfigError:
    return ConfigError(f"mixture.{name}: found {getattr(stage, name)}, expected {expected}")
