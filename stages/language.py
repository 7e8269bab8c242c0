"""Which language a document is in, how sure that is, and which languages its lines are in.

fastText (lid.176, or any model by path) and CLD2 are asked about the start of the document; where they agree, the
label is right far more often than either's own score could tell, so agreement is what the score rests on. Codes are
ISO 639, the shortest there is (`language_codes`).

What it does not do: find languages inside a line, or name languages that no member was trained on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.contract import Annotate, setting
from stages.errors import ConfigError
from stages.language_codes import UNDETERMINED, base, check_codes, kept_codes
from stages.model_files import LID_176, fasttext_model, published_model

MEMBERS = ("fasttext", "cld2")
DEFAULT_MODEL = "default"
MOST_MIN_LETTERS = 64

_COLUMNS = (
    pa.field("lang", pa.string()),
    pa.field("lang_score", pa.float32()),
    pa.field("lang_letters", pa.int32()),
)
_MIX = pa.field("lang_mix", pa.list_(pa.struct([("lang", pa.string()), ("share", pa.float32())])))


class Row(NamedTuple):
    """The annotations of one document."""

    lang: str
    score: float
    letters: int
    mix: list[tuple[str, float]] | None


@dataclass(frozen=True)
class Language:
    """Language identification by members whose agreement is the confidence.

    Columns: `lang`, `und` for text without language; `lang_score`, the probability that `lang` is right, 0 for `und`;
    `lang_letters`, letters among the first 128 characters; `lang_mix`, for documents of several lines the share of
    bytes of each language, the largest first.

    Reasons, in order of precedence: `no_language`, `too_short`, `not_kept`, `low_score`, `mixed`.
    """

    name: ClassVar[str] = "language"
    version: ClassVar[str] = "1"
    libraries: ClassVar[tuple[str, ...]] = ("fasttext-community", "pycld2", "langcodes")
    reads: ClassVar[tuple[str, ...]] = ("text",)

    members: tuple[str, ...] = setting(MEMBERS, "identifiers to ask: fasttext, cld2 or both")
    model: str = setting(DEFAULT_MODEL, "default (lid.176) or the path of a fastText model, such as GlotLID or OpenLID")
    prefix: int = setting(1000, "characters asked about, from the start of the document (0: all)")
    mix: bool = setting(True, "whether to find the share of each language in documents of several lines")
    keep: tuple[str, ...] = setting((), "languages to keep, as ISO 639 codes (none: all)", filter=True)
    min_score: float = setting(0.0, "documents with a lower score are dropped (0 to 1)", filter=True)
    no_language: str = setting("drop", "keep or drop text without language, whatever `keep` says", filter=True)
    short: str = setting("keep", "keep or drop documents with fewer than `min_letters` letters", filter=True)
    min_letters: int = setting(20, f"see `short` (0 to {MOST_MIN_LETTERS})", filter=True)
    mixed: str = setting("keep", "keep or drop documents in two languages or more", filter=True)
    mixed_share: float = setting(0.2, "share of bytes from which on a second language counts (0 to 0.5)", filter=True)

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that cannot be used."""
        if not self.members or len(set(self.members)) != len(self.members) or set(self.members) - set(MEMBERS):
            raise ConfigError(f"language.members: found {list(self.members)}, expected fasttext, cld2 or both")
        for name in ("no_language", "short", "mixed"):
            _one_of(name, getattr(self, name), ("keep", "drop"))
        for name, most in (("min_score", 1), ("min_letters", MOST_MIN_LETTERS), ("mixed_share", 0.5)):
            _between(name, getattr(self, name), most)
        if self.prefix < 0:
            raise ConfigError(f"language.prefix: found {self.prefix}, expected 0 (all) or a number of characters")
        if self.model != DEFAULT_MODEL and "fasttext" not in self.members:
            raise ConfigError("language.model: found a fastText model, expected its member fasttext among the members")
        if self.mixed == "drop" and not self.mix:
            raise ConfigError("language.mixed: found drop with mix: false, expected mix: true, which finds the shares")
        check_codes("language.keep", self.keep)

    @property
    def adds(self) -> pa.Schema:
        """`lang_mix` is added only where the setting `mix` asks for it."""
        return pa.schema([*_COLUMNS, _MIX] if self.mix else _COLUMNS)

    def models(self) -> Mapping[str, Path]:
        """The fastText model, if it is a member; CLD2's tables are inside its package."""
        if "fasttext" not in self.members:
            return {}
        if self.model == DEFAULT_MODEL:
            return {"fasttext": published_model(LID_176)}
        return {"fasttext": fasttext_model(Path(self.model))}

    def open(self) -> Annotate:
        """Load the members. Raises ModelError if the fastText model is missing, damaged or no classifier."""
        label, schema = self._labeller(), self.adds

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            rows = [label(text) for text in batch.column("text").to_pylist()]
            columns = list(zip(*rows, strict=True)) or [()] * len(Row._fields)
            return pa.RecordBatch.from_arrays(
                [pa.array(values, field.type) for values, field in zip(columns, schema, strict=False)], schema=schema
            )

        return annotate

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        """The first reason that holds, in the order of the class's documentation; null to keep."""
        lang, score = annotations.column("lang"), annotations.column("lang_score")
        nameless = pc.equal(lang, UNDETERMINED)
        named = pc.invert(nameless)
        few = pc.less(annotations.column("lang_letters"), self.min_letters)
        reasons = {
            "no_language": pc.and_(nameless, self.no_language == "drop"),
            "too_short": pc.and_(few, self.short == "drop"),
            "not_kept": pc.and_(named, pc.invert(self._is_kept(lang))),
            "low_score": pc.and_(named, pc.less(score, pa.scalar(self.min_score, pa.float32()))),
            "mixed": self._is_mixed(annotations),
        }
        return pc.case_when(pc.make_struct(*reasons.values()), *(pa.scalar(reason) for reason in reasons))

    def _is_kept(self, lang: pa.StringArray) -> pa.BooleanArray:
        if not self.keep:
            return pa.array(np.ones(len(lang), bool))
        return pc.is_in(lang, value_set=pa.array(kept_codes(self.keep, pc.unique(lang).to_pylist()), pa.string()))

    def _is_mixed(self, annotations: pa.RecordBatch) -> pa.BooleanArray:
        if self.mixed == "keep":
            return pa.array(np.zeros(annotations.num_rows, bool))
        second = second_shares(annotations.column("lang_mix"))
        return pc.greater_equal(second, pa.scalar(self.mixed_share, pa.float32()))

    def _labeller(self) -> Callable[[str | None], Row]:
        """The function from a text to its annotations, with the models in its closure."""
        from stages.language_judges import NOTHING, open_judge
        from stages.language_mix import has_lines, shares
        from stages.language_text import count_letters, has_language, prepare
        from stages.language_weights import DISAGREEMENT, OWN_MODEL

        weights = DISAGREEMENT if self.model == DEFAULT_MODEL else OWN_MODEL
        judge, voter = open_judge(self.members, self.models().get("fasttext"), weights)
        prefix, mix = self.prefix, self.mix

        def label(text: str | None) -> Row:
            asked = prepare(text or "", prefix)
            letters = count_letters(asked)
            verdict = judge(asked, letters) if has_language(asked, letters) else NOTHING
            if not (mix and text and verdict is not NOTHING and has_lines(text)):
                return Row(verdict.lang, verdict.score, letters, None)
            return Row(verdict.lang, verdict.score, letters, _renamed(shares(text, voter), verdict.lang, verdict.heard))

        return label


def second_shares(mix: pa.ListArray) -> pa.FloatArray:
    """The share of each document's second language; 0 where it has none.

    [[('en', .7), ('fr', .3)], [('en', 1)], null] -> [.3, 0, 0]
    """
    lengths = pc.fill_null(pc.list_value_length(mix), 0)
    places = pc.add(mix.offsets[:-1], 1)
    places = pc.if_else(pc.greater(lengths, 1), places, pa.scalar(None, places.type))
    return pc.fill_null(mix.values.field("share").take(places), 0.0)


def _renamed(shares: Mapping[str, float], lang: str, heard: str) -> list[tuple[str, float]]:
    """The shares with the document's own code where the voter never says it, but said `heard` of the whole document.

    The voter may hear 'hr' in the whole and in its pieces, where the vote of both members says 'bs'.

    >>> _renamed({"hr": 0.9, "de": 0.1}, "bs", "hr")
    [('bs', 0.9), ('de', 0.1)]
    """
    own = base(lang) if base(lang) in shares else heard
    return [(lang if code == own else code, share) for code, share in shares.items()] or [(lang, 1.0)]


def _one_of(name: str, found: Any, expected: tuple[str, ...]) -> None:
    if found not in expected:
        raise ConfigError(f"language.{name}: found '{found}', expected {' or '.join(expected)}")


def _between(name: str, found: float, most: float) -> None:
    if not 0 <= found <= most:
        raise ConfigError(f"language.{name}: found {found}, expected 0 to {most}")
