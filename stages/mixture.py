"""Mixture: how much of each group of contexts is trained on, and when.

Works on packed contexts, after the documents are written. A small model, the *proxy*, is trained on them while an
estimator (Aioli by default) measures which groups lower the loss; its decisions, replayed onto all contexts, are the
mixture log that a trainer's sampler and the mixed shards follow. Mixtures that need no proxy (stratified,
proportional, temperature, unimax, given) need no torch. Shares are of tokens: contexts of a run are of one length.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from stages.contract import setting
from stages.errors import ConfigError
from stages.frozen import Frozen
from stages.mixture_checks import KNOWN, TRAINED, check
from stages.transformers_files import config_files

TINY = "tiny"


@dataclass(frozen=True)
class Mixture:
    """Shares of the groups over the run: `mixture.jsonl`, and `mixed/` in the order that it gives.

    The settings from `proxy` on are of the small model that is trained where the estimator learns from one.
    """

    name: ClassVar[str] = "mixture"
    version: ClassVar[str] = "1"
    works_on_contexts: ClassVar[bool] = True

    estimator: str = setting("aioli", f"one of {', '.join((*TRAINED, *KNOWN))}")
    tokens: int = setting(0, "the budget of the whole training (0: what one epoch of all contexts holds)")
    max_epochs: float | Mapping[str, float] = setting(4.0, "how often a context may come, for all groups or by group")
    block: int = setting(256, "contexts in which the shares are kept exactly")
    objective: Mapping[str, float] = setting(Frozen(), "group -> weight of its loss (others 1; 0: leave it out)")
    floor: float = setting(0.02, "drawn to uniform by this much at the end: no share falls below floor / groups")
    replay: str = setting("trajectory", "of the proxy's decisions: trajectory (as they came), average, or final")
    log: str = setting("", "a finished log of the same contexts to replay instead of training a proxy")
    shares: Mapping[str, float] = setting(Frozen(), "given: group -> share")
    temperature: float = setting(2.0, "temperature: shares go with size ** (1 / temperature)")
    eta: float = setting(0.0, "how far a decision moves (0: 0.75 x groups for aioli, 0.2 for skillit, 1 for doremi)")
    rounds: int = setting(4, "aioli, skillit: decisions; fewer where probes would have no step")
    sweeps: int = setting(2, "aioli: times that each group is probed in a round")
    own: float = setting(0.0, "aioli: share of a probe's own group (0: two thirds of the way from 1/groups to 1)")
    delta: float = setting(0.25, "aioli: share of a round's steps that are probes")
    hold: float = setting(1.0, "aioli: standard errors by which a group must stand out for shares to move by it")
    memory: float = setting(0.9, "aioli: weight of a round's evidence in the next (0: each round alone)")
    shrink: bool = setting(True, "aioli: shrink what was measured by its error")
    pull: float = setting(0.3, "aioli: how far shares are drawn to uniform before each move")
    fade: float = setting(0.3, "aioli: how far so, in a round whose evidence is not clear, but against the shares")
    ema: float = setting(0.0, "aioli: the public code's rule with this moving average (0: the paper's rule)")
    diagonal: bool = setting(False, "aioli: each group's effect on itself alone")
    static: bool = setting(False, "aioli: measure in the first round only")
    prior: Mapping[str, float] = setting(
        Frozen(), "aioli, doremi: the mixture to start on (doremi: uniform without one)"
    )
    warm: float = setting(0.0, "aioli: share of the steps that train on the prior first")
    trials: int = setting(0, "laws, regmix: short runs (0: 2 x groups + 4, 8 x groups)")
    trial_steps: int = setting(0, "skillit, doremi, laws, regmix: steps of each short run (0: a quarter of steps)")
    proxy: str = setting(TINY, "tiny, or the directory of a transformers config (and safetensors to start from)")
    steps: int = setting(400, "training steps of the proxy")
    batch: int = setting(16, "windows in a step")
    window: int = setting(64, "tokens of a window that the proxy sees; contexts are cut into such")
    learning_rate: float = setting(0.004, "of AdamW, after a warm-up of 5% and with a cosine to a tenth over all steps")
    held: int = setting(8, "contexts at the end of each group that validate and do not train the proxy")
    evaluate: int = setting(16, "windows of each group on which its loss is measured")
    threads: int = setting(
        1, "threads of the proxy on a CPU (more for wide models; another number may round otherwise)"
    )
    device: str = setting("auto", "auto (a GPU if there is one), cpu or cuda")

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that cannot be used; mappings become hashable."""
        for name in ("objective", "shares", "prior", "max_epochs"):
            if isinstance(value := getattr(self, name), Mapping):
                object.__setattr__(self, name, Frozen({group: float(weight) for group, weight in value.items()}))
        check(self)

    @property
    def trains(self) -> bool:
        """Whether a proxy is trained."""
        return self.estimator in TRAINED and not self.log

    @property
    def libraries(self) -> tuple[str, ...]:
        """Those of the proxy, if one is trained. Raises ConfigError if one is not installed."""
        if not self.trains:
            return ("numpy",)
        if missing := [name for name in ("torch", "transformers") if find_spec(name) is None]:
            raise ConfigError(
                f"mixture.estimator {self.estimator} trains a small model, which needs {missing[0]}, and it is not "
                "installed; run: pip install 'tamis[llm]', or set an estimator that trains none, such as proportional"
            )
        return ("numpy", "safetensors", "torch", "transformers")

    @property
    def reads(self) -> tuple[str, ...]:
        """Nothing of documents."""
        return ()

    @property
    def adds(self) -> pa.Schema:
        """Nothing to documents."""
        return pa.schema([])

    def models(self) -> Mapping[str, Path]:
        """The proxy's config and weights, and the log to replay. Raises ModelError for a directory that is no model."""
        found = {"log": Path(self.log)} if self.log else {}
        if self.trains and self.proxy != TINY:
            return found | config_files(Path(self.proxy), "mixture.proxy")
        return found

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        """Every document stays."""
        return pa.nulls(annotations.num_rows, pa.string())
