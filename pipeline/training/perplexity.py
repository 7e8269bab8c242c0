"""Train an n-gram model on documents: read, choose, normalise, estimate, pack; then publish model and card.

The text goes from the readers through the normaliser into the estimator's standard input, so memory is bounded by
`memory` and the text is written nowhere, except that `lmplz` sorts n-grams in its temporary directory. The same input
and settings give the same bytes.
"""

import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.config import InputConfig
from pipeline.documents_of import MB, documents_of
from pipeline.formats import BadRecord
from pipeline.storage import Store
from pipeline.training import kenlm_tools, kneser_ney
from pipeline.training.settings import PerplexityTraining, as_command
from pipeline.training.unknown_words import pin_unknown
from pipeline.where import parse_conditions
from stages.errors import NothingRead, TamisError
from stages.model_files import sha256_of
from stages.ngram_models import ModelCard, card_json, card_path
from stages.normalisers import normaliser

_HARDEST = 1 << 20


@dataclass
class _Counts:
    """What went into a model."""

    documents: Counter[str] = field(default_factory=Counter)
    read: int = 0
    bad: int = 0
    sentences: int = 0
    tokens: int = 0

    def count_bad(self, record: BadRecord) -> None:
        self.bad += record.count


@dataclass(frozen=True)
class Trained:
    """A finished training."""

    path: Path
    card: ModelCard
    read: int
    """Documents read, chosen by `where` or not."""
    bad: int
    """Records that could not be read."""


def train(settings: PerplexityTraining) -> Trained:
    """Train a model and write it, with its card, to `settings.output`.

    Raises ConfigError for settings and missing programs, InputError (NothingRead) for the input, TamisError if a
    program fails or nothing fits into `settings.max_mb`.
    """
    thresholds = kenlm_tools.check_pruning(settings.prune, settings.order)
    with tempfile.TemporaryDirectory(dir=settings.temporary or None, prefix="tamis-train-") as folder:
        for pruning in _harder(thresholds):
            packed, counts = _attempt(settings, pruning, Path(folder))
            if not settings.max_mb or packed.stat().st_size <= settings.max_mb * MB:
                card = _card(settings, packed, counts, pruning)
                _publish(packed, settings.output, card)
                return Trained(settings.output, card, counts.read, counts.bad)
    raise TamisError(f"no pruning gives a model of {settings.max_mb} MB: raise --max-mb or lower --order")


def _harder(pruning: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The thresholds, then ever higher ones: the highest orders first, pairs half as much, single words a sixth.

    >>> list(itertools.islice(_harder((0, 0, 0, 0)), 6))
    [(0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 1, 1), (0, 0, 1, 2), (0, 1, 2, 2), (0, 1, 2, 3)]
    """
    yield pruning
    order, last, step = len(pruning), pruning, 1
    while step <= _HARDEST:
        whole = (step // 6, step // 2, *[step] * order)[:order]
        for first in range(order - 1, min(2, order - 1) - 1, -1):
            raised = (
                max(old, new) if n >= first or first <= 2 else old
                for n, (old, new) in enumerate(zip(last, whole, strict=True))
            )
            tried = tuple(itertools.accumulate(raised, max))
            if tried != last:
                yield tried
            last = tried
        step += max(1, step // 4)


def _attempt(settings: PerplexityTraining, pruning: tuple[int, ...], folder: Path) -> tuple[Path, _Counts]:
    """Estimate and pack one model in the temporary directory."""
    arpa, packed, counts = folder / "model.arpa", folder / "model.klm", _Counts()
    for left in (arpa, packed):
        left.unlink(missing_ok=True)
    with closing(_lines(settings, counts)) as lines:
        first = next(lines, None)
        if first is None:
            raise NothingRead(_nothing(settings, counts))
        _estimate(settings, itertools.chain([first], lines), arpa, pruning)
    if settings.unknown_log10 is not None:
        pin_unknown(arpa, settings.unknown_log10)
    if settings.binary == "arpa":
        return arpa, counts
    kenlm_tools.build_binary(arpa, packed, settings.binary, settings.bits, settings.memory, folder)
    return packed, counts


def _estimate(settings: PerplexityTraining, lines: Iterator[str], arpa: Path, pruning: tuple[int, ...]) -> None:
    if settings.estimator == "numpy":
        vocabulary, orders = kneser_ney.estimate(lines, settings.order)
        with arpa.open("wb") as file:
            kneser_ney.write_arpa(file, vocabulary, orders)
        return
    with kenlm_tools.estimating(arpa, settings.order, pruning, settings.memory, arpa.parent) as sink:
        for line in lines:
            sink.write(f"{line}\n".encode())


def _lines(settings: PerplexityTraining, counts: _Counts) -> Generator[str, None, None]:
    """The normalised lines of the chosen documents."""
    function, chosen = normaliser(settings.normaliser), parse_conditions(settings.where)
    config = InputConfig(paths=settings.inputs, format=settings.format, text=settings.text)
    for document, fields in documents_of(config, counts.count_bad):
        counts.read += 1
        if not chosen(fields):
            continue
        counts.documents[document.source] += 1
        for line in function(document.text):
            counts.sentences += 1
            counts.tokens += line.count(" ") + 1
            yield line


def _nothing(settings: PerplexityTraining, counts: _Counts) -> str:
    chosen = counts.documents.total()
    return (
        f"nothing to train on in {', '.join(settings.inputs)}: {counts.read:,} documents read ({counts.bad:,} bad "
        f"records), {chosen:,} of them chosen by {' '.join(settings.where) or 'no condition'}, none of which has a "
        f"token after '{settings.normaliser}': check --input, --where and --normaliser"
    )


def _card(settings: PerplexityTraining, packed: Path, counts: _Counts, pruning: tuple[int, ...]) -> ModelCard:
    function = normaliser(settings.normaliser)
    return ModelCard(
        kind=settings.kind,
        language=settings.language,
        normaliser=function.name,
        normaliser_version=function.version,
        order=settings.order,
        documents=dict(sorted(counts.documents.items())),
        sentences=counts.sentences,
        tokens=counts.tokens,
        pruning=pruning,
        binary=settings.binary,
        quantisation_bits=settings.bits if settings.binary == "trie" else 0,
        sha256=sha256_of(packed),
        bytes=packed.stat().st_size,
        licence=settings.licence,
        command=as_command(settings),
        unknown_log10=settings.unknown_log10,
        tool="kenlm 0.3.0" if settings.estimator == "lmplz" else "tamis kneser_ney 1",
    )


def _publish(packed: Path, output: Path, card: ModelCard) -> None:
    """Each file appears whole; a model beside an older card is refused when it is opened."""
    store = Store(str(output.parent))
    with packed.open("rb") as source, store.create(output.name) as file:
        shutil.copyfileobj(source, file, 1 << 20)
    with store.create(card_path(output).name) as file:
        file.write(card_json(card))
