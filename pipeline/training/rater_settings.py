"""The settings of `tamis train rater`."""

import shlex
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

from stages.errors import ConfigError


@dataclass(frozen=True)
class RaterTraining:
    """How to train a student. Raises ConfigError for a value that cannot be."""

    inputs: tuple[str, ...]
    """Files, globs or URLs: labelled documents (`rating_*`, `domain`), or with `damage` clean ones."""
    output: Path
    """Directory of the student."""
    damage: bool = False
    """Make labels by graded damage of the documents; those they have are not read."""
    name: str = "student"
    """Of the rater, as the column `rater` will have it."""
    base: str = "default"
    """The student whose tables of counts are used: default, or a directory."""
    where: tuple[str, ...] = ()
    text: str = "text"
    group: str = ""
    """Field whose values never stand on both sides of the split (empty: the first 200 characters of the text)."""
    by_source: bool = False
    """Hold out whole sources."""
    held_out: float = 0.2
    """Share of groups that the figures are measured on."""
    languages: tuple[str, ...] = ("en",)
    licence: str = ""
    seed: int = 20250219

    def __post_init__(self) -> None:
        if not 0 < self.held_out <= 0.5:
            raise ConfigError(f"--held-out: found {self.held_out}, expected more than 0 and at most 0.5")
        if not 0 <= self.seed < 2**64:
            raise ConfigError(f"--seed: found {self.seed}, expected 0 to {2**64 - 1}")
        if not self.name:
            raise ConfigError("--name: found nothing, expected a name for the rater")
        if self.output.is_file():
            raise ConfigError(f"--output: {self.output}: found a file, expected a directory or nothing")


_OPTIONS = {"inputs": "input", "by_source": "by-source", "held_out": "held-out", "languages": "language"}


def as_command(settings: RaterTraining) -> str:
    """The command line of a training; of the output only the name.

    >>> as_command(RaterTraining(("a.jsonl",), Path("x/mine"), damage=True))
    'tamis train rater --input a.jsonl --output mine --damage'
    """
    words = ["tamis", "train", "rater"]
    for field in fields(settings):
        value, option = getattr(settings, field.name), _OPTIONS.get(field.name, field.name)
        if field.default is not MISSING and value == field.default:
            continue
        if value is True:
            words.append(f"--{option}")
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words += [f"--{option}", one.name if isinstance(one, Path) else str(one)]
    return shlex.join(words)
