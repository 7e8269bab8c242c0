"""The settings of training jobs."""

import math
import shlex
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from pipeline.training.kenlm_tools import MAX_ORDER, check_memory, check_pruning
from stages.errors import ConfigError
from stages.ngram_models import KINDS, Binary, Kind
from stages.normalisers import normaliser

Estimator = Literal["lmplz", "numpy"]


@dataclass(frozen=True)
class PerplexityTraining:
    """How to train one n-gram model. Raises ConfigError for a value that cannot be."""

    inputs: tuple[str, ...]
    """Files, globs or URLs of any input format."""
    output: Path
    """The model, NAME.klm; its card becomes NAME.json."""
    language: str
    kind: Kind
    normaliser: str = "alphabetic"
    order: int = 5
    prune: str = "0"
    """Thresholds by order, as `lmplz --prune` takes them."""
    memory: str = "1G"
    """Sorting memory of the programs."""
    where: tuple[str, ...] = ()
    """Conditions on the fields of a record; only documents that meet all of them are used."""
    text: str = "text"
    """Field that holds the text."""
    format: str = "auto"
    max_mb: float = 0.0
    """Largest model (MB); pruning is raised until it fits (0: no limit)."""
    bits: int = 8
    """Bits of a stored probability and backoff of a trie (0: not quantised)."""
    binary: Binary = "trie"
    estimator: Estimator = "lmplz"
    unknown_log10: float | None = None
    """Log10 probability of a word that was never seen (None: as estimated). Models whose scores are subtracted, such as
    harmful and background, need the same: -6 was the best of those tried."""
    licence: str = ""
    """Licence of the training text."""
    temporary: str = ""
    """Directory for temporary files (empty: the system's)."""

    def __post_init__(self) -> None:
        normaliser(self.normaliser)
        check_memory(self.memory)
        check_pruning(self.prune, self.order)
        self._check_choices()
        if self.output.suffix != ".klm":
            raise ConfigError(f"--output: found '{self.output}', expected a name that ends in .klm")
        if not self.language:
            raise ConfigError("--language: found nothing, expected a language code, such as en")
        if not 2 <= self.order <= MAX_ORDER:
            raise ConfigError(f"--order: found {self.order}, expected 2 to {MAX_ORDER}")
        if not 0 <= self.bits <= 25 or self.bits == 1:
            raise ConfigError(f"--bits: found {self.bits}, expected 0, or 2 to 25")
        if self.unknown_log10 is not None and not -99 <= self.unknown_log10 < 0:
            raise ConfigError(f"--unknown-log10: found {self.unknown_log10}, expected -99 to 0, 0 itself excluded")
        if self.max_mb < 0 or not math.isfinite(self.max_mb):
            raise ConfigError(f"--max-mb: found {self.max_mb}, expected a positive number, or 0 for no limit")
        if self.estimator == "numpy" and (self.max_mb or self.prune != "0"):
            raise ConfigError("--estimator numpy does not prune: leave out --prune and --max-mb, or use lmplz")

    def _check_choices(self) -> None:
        for name, known in (("kind", KINDS), ("binary", get_args(Binary)), ("estimator", get_args(Estimator))):
            if getattr(self, name) not in known:
                raise ConfigError(f"--{name}: found '{getattr(self, name)}', expected one of {', '.join(known)}")


_OPTIONS = {"inputs": "input", "temporary": "", "max_mb": "max-mb", "unknown_log10": "unknown-log10"}


def as_command(settings: PerplexityTraining) -> str:
    """The command line of a training; of the output only the name, so that it does not say where it was made.

    >>> as_command(PerplexityTraining(("a b.txt",), Path("models/en.klm"), "en", "clean", order=3))
    "tamis train perplexity --input 'a b.txt' --output en.klm --language en --kind clean --order 3"
    """
    words = ["tamis", "train", "perplexity"]
    for field in fields(settings):
        value, option = getattr(settings, field.name), _OPTIONS.get(field.name, field.name)
        if option and (field.default is MISSING or value != field.default):
            for one in value if isinstance(value, tuple) else (value,):
                words += [f"--{option}", one.name if isinstance(one, Path) else str(one)]
    return shlex.join(words)
