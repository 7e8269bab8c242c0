"""The price of words that a model has never seen, made the same in models whose scores are subtracted.

The estimate of `<unk>` depends on the vocabulary: the model that knows more words finds the unknown one less likely.
In a difference of two models every foreign name or misspelling would then count for the smaller vocabulary.
"""

import re
from pathlib import Path

from stages.errors import TamisError

_UNKNOWN = re.compile(rb"\S+\t<unk>(\t\S+)?\n")


def pin_unknown(arpa: Path, log10: float) -> None:
    """Set the log10 probability of `<unk>` in an ARPA file. Raises TamisError if the file has no such line.

    The other probabilities stay as they are: the sum over the vocabulary is no longer exactly 1.
    """
    pinned = arpa.with_suffix(".pinned")
    done = False
    with arpa.open("rb") as source, pinned.open("wb") as target:
        for line in source:
            if not done and (match := _UNKNOWN.fullmatch(line)):
                line, done = b"%.7g\t<unk>%s\n" % (log10, match[1] or b""), True  # noqa: PLW2901
            target.write(line)
    if not done:
        raise TamisError(f"{arpa}: found no line for <unk>, expected one among the single words")
    pinned.replace(arpa)
