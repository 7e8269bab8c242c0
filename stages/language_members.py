"""The two identifiers behind one interface: they answer with standard codes and with shares between 0 and 1.

Both hold loaded libraries and do not pickle: they are made once per worker process.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stages.errors import ModelError
from stages.language_codes import UNDETERMINED, base, standard_code

SERBO_CROATIAN = "sh"
"""lid.176 has a label for the group; it is counted for each of its languages."""

_NO_CHARACTERS = "".join(chr(plane + last) for plane in range(0, 0x110000, 0x10000) for last in (0xFFFE, 0xFFFF))
_REFUSED = re.compile(f"[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef{_NO_CHARACTERS}]+")
"""Control characters, and the code points that Unicode sets aside as no characters."""

_GROUP = ("hr", "bs", "sr")


class FastText:
    """A fastText model with labels of the form `__label__CODE`."""

    def __init__(self, path: Path) -> None:
        """Load the model. Raises ModelError if fastText cannot, or if the model has no labels."""
        model = _load(path)
        self._predict: Any = model.f.predict
        self._codes = {label: _label_code(label) for label in model.get_labels()}
        self.known = frozenset(base(code) for code in self._codes.values()) | _group_of(self._codes.values())

    def best(self, text: str) -> tuple[str, float]:
        """The likeliest code and its probability. `text` is one line."""
        answer = self._predict(text + "\n", 1, 0.0, "strict")
        if not answer:
            return UNDETERMINED, 0.0
        return self._codes[answer[0][1]], min(answer[0][0], 1.0)

    def ranked(self, text: str, k: int = 5) -> list[tuple[str, float]]:
        """The `k` likeliest codes, Serbo-Croatian as each of its languages. `text` is one line."""
        answer = [(self._codes[label], min(p, 1.0)) for p, label in self._predict(text + "\n", k, 0.0, "strict")]
        return [(each, p) for code, p in answer for each in (_GROUP if code == SERBO_CROATIAN else (code,))]


class Cld2:
    """Compact Language Detector 2; its tables are inside the library."""

    def __init__(self) -> None:
        """Load the library."""
        import pycld2

        self._library: Any = pycld2
        self._codes = {code: standard_code(code) for _, code in pycld2.LANGUAGES} | {"un": UNDETERMINED}
        known = (code for name, code in pycld2.LANGUAGES if name in pycld2.DETECTED_LANGUAGES)
        self.known = frozenset(base(self._codes[code]) for code in known)

    def best(self, text: str) -> tuple[str, float, bool]:
        """The code of the largest part, that part's share of the bytes, and CLD2's word on whether it is reliable."""
        reliable, details = self._detect(text, best_effort=True)
        _, code, percent, _ = details[0]
        return self._codes[code], percent / 100, reliable

    def shares(self, text: str, *, best_effort: bool) -> list[tuple[str, float]]:
        """Up to three codes with their shares of the bytes; without `best_effort` only those that CLD2 is sure of."""
        _, details = self._detect(text, best_effort=best_effort)
        found = [(self._codes[code], percent / 100) for _, code, percent, _ in details if percent]
        return [(code, share) for code, share in found if code != UNDETERMINED]

    def _detect(self, text: str, *, best_effort: bool) -> tuple[bool, Any]:
        """Ask; where CLD2 refuses the text, ask again without the code points that it refuses."""
        try:
            reliable, _, details = self._library.detect(text, bestEffort=best_effort)
        except self._library.error:
            reliable, _, details = self._library.detect(_REFUSED.sub(" ", text), bestEffort=best_effort)
        return reliable, details


def _load(path: Path) -> Any:
    import fasttext

    try:
        model = fasttext.load_model(str(path))
        labels = model.get_labels()
    except (ValueError, RuntimeError, MemoryError) as error:
        raise ModelError(f"{path}: fastText cannot load it ({error}): the file is damaged or cut short") from error
    if not labels or not labels[0].startswith("__label__"):
        raise ModelError(f"{path}: found a fastText model of word vectors, expected a classifier with language labels")
    return model


def _label_code(label: str) -> str:
    return SERBO_CROATIAN if label == "__label__sh" else standard_code(label)


def _group_of(codes: Iterable[str]) -> frozenset[str]:
    return frozenset(_GROUP if SERBO_CROATIAN in codes else ())
