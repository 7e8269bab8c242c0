"""The recipe of the models that come with Tamis: stages/models/perplexity/LANGUAGE.{harmful,background,weights}.klm.

    tamis sample && bash jobs/build_kenlm.sh && pip install scikit-learn
    python jobs/train_default_perplexity.py

The threshold in a card is chosen on documents of sources that the models scoring them were not trained on: for each
harmful source a pair of models is trained without it, and for each quarter of the benign sources one without these.
(French has one harmful source: there its records are halved, and the card says so.) The shipped models are then trained
on everything. The data is read from `$TAMIS_DATA`; the same data gives the same models.
"""

import argparse
import dataclasses
import json
import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import perplexity_sources as sources
import perplexity_weights
import pyarrow as pa
from perplexity_sources import BACKGROUND, HARMFUL, Source

from pipeline import calibration as measures
from pipeline.training.perplexity import Trained, train
from pipeline.training.settings import PerplexityTraining
from stages.ngram_models import Calibration, Kind, ModelCard, card_json, card_path
from stages.perplexity import Perplexity
from stages.perplexity_models import DEFAULT

SEED = 20221210
PREVALENCE = 0.01
ALARMS = {"en": 0.005}
"""Share of benign documents that may be dropped, the mean over held-out sources."""
FEW_ALARMS = 0.001
"""The same where harmful text is scarce: such a model finds little, so it shall cost little."""
FOLDS = 4
"""Parts of the benign sources, each left out once."""
COMMAND = "python jobs/train_default_perplexity.py"
MANY = 200_000
"""Characters of harmful text from which on n-grams seen once are left out: they cost space, and accuracy in English."""

Texts = dict[str, list[str]]
Scores = dict[str, measures.Floats]


def main() -> None:
    """Train, calibrate and write the models of the languages asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--language", action="append", choices=sorted(HARMFUL), help="only this one")
    parser.add_argument("--output", type=Path, default=DEFAULT, help="directory for the models")
    arguments = parser.parse_args()
    perplexity_weights.need_scikit_learn()
    for language in arguments.language or HARMFUL:
        calibrated = calibrate(
            *held_out_scores(language), ALARMS.get(language, FEW_ALARMS), len(HARMFUL[language]) == 1
        )
        models = train_pair(language, texts_of(HARMFUL, language), texts_of(BACKGROUND, language), arguments.output)
        for kind, trained in models.items():
            finish(language, kind, trained, calibrated if kind == "harmful" else None)
        print(language, *(f"{t.card.bytes / 1e6:.2f} MB" for t in models.values()), summary(calibrated))


def texts_of(table: Mapping[str, tuple[Source, ...]], language: str) -> Texts:
    """All chosen records by source; sources without any are left out."""
    found = {source.name: sources.read(source) for source in table[language]}
    return {name: texts for name, texts in found.items() if texts}


def train_pair(language: str, harmful: Texts, background: Texts, output: Path) -> dict[Kind, Trained]:
    """Train the harmful and the background model of a language, and the weights of its words."""
    many = sum(map(len, (text for texts in harmful.values() for text in texts))) > MANY
    plans: dict[Kind, tuple[Mapping[str, tuple[Source, ...]], Texts, str]] = {
        "harmful": (HARMFUL, harmful, "0 0 1" if many else "0"),
        "background": (BACKGROUND, background, "0 1 1" if many else "0 0 1"),
    }
    models: dict[Kind, Trained] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, (table, texts, prune) in plans.items():
            path = Path(folder) / f"{kind}.jsonl"
            path.write_text("".join(_records(table[language], texts)), encoding="utf-8")
            name = output / f"{language}.{kind}.klm"
            settings = PerplexityTraining((str(path),), name, language, kind, order=3, prune=prune, max_mb=4.0)
            models[kind] = train(dataclasses.replace(settings, unknown_log10=-6.0, memory="500M"))
    name = output / f"{language}.weights.klm"
    labelled = [
        (kind == "harmful", source.name, text)
        for kind, (table, texts, _) in plans.items()
        for source in table[language]
        for text in sources.training_texts(source, texts.get(source.name, []), SEED)
    ]
    card = perplexity_weights.train_weights(labelled, language, name)
    models["weights"] = Trained(name, card, len(labelled), 0)
    return models


def _records(table: tuple[Source, ...], texts: Texts) -> Iterator[str]:
    for source in table:
        for text in sources.training_texts(source, texts.get(source.name, []), SEED):
            yield json.dumps({"text": text, "source": source.name}) + "\n"


def held_out_scores(language: str) -> tuple[Scores, Scores]:
    """Scores of harmful and of benign documents by source, each from models that did not see the source."""
    harmful, benign = texts_of(HARMFUL, language), texts_of(BACKGROUND, language)
    positive: Scores = {}
    negative: Scores = {}
    for fold in _folds(harmful, benign):
        positive |= _scores_without(language, fold.harmful, fold.background, HARMFUL, fold.held_harmful)
        negative |= _scores_without(language, fold.harmful, fold.background, BACKGROUND, fold.held_benign)
    others = [name for name in benign if name not in harmful]
    for place in range(FOLDS):
        held = {name: benign[name] for name in others[place::FOLDS]}
        kept = {name: texts for name, texts in benign.items() if name not in held}
        negative |= _scores_without(language, harmful, kept, BACKGROUND, held)
    return positive, negative


class _Fold(NamedTuple):
    harmful: Texts
    background: Texts
    held_harmful: Texts
    held_benign: Texts


def _folds(harmful: Texts, benign: Texts) -> Iterator[_Fold]:
    """Leave out one harmful source with its benign texts; halves of both if there is but one source."""
    if len(harmful) > 1:
        for name in harmful:
            yield _Fold(_without(harmful, name), _without(benign, name), _only(harmful, name), _only(benign, name))
        return
    ((name, texts),) = harmful.items()
    for half in (0, 1):
        held, kept = slice(half, None, 2), slice(1 - half, None, 2)
        left, label = benign[name], f"{name} half {half}"
        yield _Fold({name: texts[kept]}, benign | {name: left[kept]}, {label: texts[held]}, {label: left[held]})


def _without(texts: Texts, name: str) -> Texts:
    return {other: found for other, found in texts.items() if other != name}


def _only(texts: Texts, name: str) -> Texts:
    return {other: found for other, found in texts.items() if other == name}


def _scores_without(
    language: str, harmful: Texts, background: Texts, table: Mapping[str, tuple[Source, ...]], held: Texts
) -> Scores:
    """Scores of documents of the held-out sources from models of the others; sources without any are left out."""
    with tempfile.TemporaryDirectory() as folder:
        train_pair(language, harmful, background, Path(folder))
        found = {name: _scores(language, name, table, texts, Path(folder)) for name, texts in held.items()}
    return {name: values for name, values in found.items() if len(values)}


def _scores(
    language: str, name: str, table: Mapping[str, tuple[Source, ...]], texts: list[str], models: Path
) -> measures.Floats:
    """`harmful_ratio` of up to 300 documents, without those too short to be judged."""
    source = next(source for source in table[language] if name.startswith(source.name))
    found = sources.documents(source, texts, 300, SEED)
    batch = pa.RecordBatch.from_pydict({"text": found, "lang": [language] * len(found)})
    answer = Perplexity(model=str(models)).open()(batch)
    return np.asarray(answer.column("harmful_ratio").drop_null(), dtype=np.float64)


def calibrate(positive: Scores, negative: Scores, alarms: float, same_source: bool) -> Calibration:
    """The threshold for a card: the lowest that drops at most this share of the benign documents."""
    threshold = math.ceil(measures.threshold_for_alarms(negative, alarms) * 1000) / 1000
    point = measures.point_at(threshold, positive, negative, PREVALENCE)
    interval = measures.bootstrap(measures.auc_by_source, positive, negative, SEED, 200)
    details = {
        "prevalence": PREVALENCE,
        "auc": [round(value, 4) for value in interval],
        "false_positive_rate": round(point.false_positive_rate, 5),
        "validation": "held-out halves of the same source" if same_source else "sources not trained on",
        "recall_by_source": {name: round(float(np.mean(v > threshold)), 4) for name, v in positive.items()},
        "dropped_by_benign_source": {name: round(float(np.mean(v > threshold)), 4) for name, v in negative.items()},
    }
    target = f"at most {alarms} of benign documents"
    return Calibration("ratio", threshold, target, measures.rounded(point.precision), round(point.recall, 4), details)


def finish(language: str, kind: Kind, trained: Trained, calibrated: Calibration | None) -> None:
    """Write into the card what the recipe knows: licences, its own command, the calibration."""
    tables = {"harmful": (HARMFUL,), "background": (BACKGROUND,)}.get(kind, (HARMFUL, BACKGROUND))
    found = {source.name: source for table in tables for source in table[language]}
    used = [source for source in found.values() if source.name in trained.card.documents]
    licence = "; ".join(f"{source.name}: {source.licence}" for source in used)
    command = f"{COMMAND} --language {language}"
    card: ModelCard = dataclasses.replace(trained.card, licence=licence, command=command, calibration=calibrated)
    card_path(trained.path).write_bytes(card_json(card))


def summary(calibrated: Calibration) -> str:
    """One line of figures."""
    return f"threshold {calibrated.threshold} recall {calibrated.recall} {json.dumps(calibrated.details)}"


if __name__ == "__main__":
    main()
