"""`tamis train rater`: documents to a student, its card, and a report on documents that were held out.

The figures come from heads fitted on the other documents; the weights that are written are fitted on all.
"""

import hashlib
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import InputConfig
from pipeline.documents_of import documents_of
from pipeline.training.agreement import criterion_figures, domain_figures
from pipeline.training.damage import REACHED, Stock
from pipeline.training.damage_words import FOREIGN
from pipeline.training.rater import expected_scores, measure, rows_of, train_heads, write_student
from pipeline.training.rater_examples import Clean, Example, damage_examples
from pipeline.training.rater_fit import Fitting, Inputs
from pipeline.training.rater_settings import RaterTraining, as_command
from pipeline.where import parse_conditions
from stages.errors import InputError, NothingRead
from stages.rating_card import StudentCard, student_directory
from stages.rating_heads import Heads
from stages.rating_protocol import CRITERIA, DOMAINS
from stages.rating_student import open_student

FEWEST = 20
"""Examples below which nothing is trained."""
REPORT, PAGE = "report.json", "report.html"


@dataclass
class _Read:
    documents: list[tuple[Clean, dict[str, object]]] = field(default_factory=list)
    bad: int = 0


@dataclass(frozen=True)
class TrainedRater:
    """A finished training."""

    path: Path
    card: StudentCard
    figures: dict[str, Any]
    bad: int
    """Records that could not be read."""


def train(settings: RaterTraining) -> TrainedRater:
    """Train and write a student. Raises InputError if there are too few labelled documents, or but one group."""
    base = open_student(student_directory(settings.base))
    read = _documents(settings)
    examples = damage_of(read.documents, settings.seed) if settings.damage else labelled_of(read.documents)
    if len(examples) < FEWEST:
        raise InputError(
            f"found {len(examples)} examples in {len(read.documents)} documents, expected {FEWEST} or more: label them "
            "with `tamis stage rating` or a run (rating_*, domain), or give clean ones with --damage"
        )
    data = measure(examples, base.embedder, base.tables)
    held = held_out(examples, settings)
    how = Fitting(seed=settings.seed)
    figures = figures_of(train_heads(rows_of(data, ~held), how), rows_of(data, held))
    figures["split"] = {"by": _split_by(settings), "train": int((~held).sum()), "held_out": int(held.sum())}
    teacher = "graded damage" if settings.damage else _teacher(read.documents)
    card = write_student(
        settings.output, train_heads(data, how), base.tables, base.embedder, data=data, name=settings.name,
        sources=(example.source for example in examples), licence=settings.licence, command=as_command(settings),
        teacher=teacher, languages=settings.languages, figures=short_figures(figures),
    )  # fmt: skip
    (settings.output / REPORT).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    (settings.output / PAGE).write_text(page(card, figures), encoding="utf-8")
    return TrainedRater(settings.output, card, figures, read.bad)


def labelled_of(documents: list[tuple[Clean, dict[str, object]]]) -> list[Example]:
    """Documents with at least one rating of 1 to 5 (whole numbers; expected scores are not read), or a domain."""
    found = []
    for clean, fields in documents:
        values = [fields.get(f"rating_{name}") for name in CRITERIA]
        labels = np.array([v if isinstance(v, int | float) and v in (1, 2, 3, 4, 5) else np.nan for v in values], float)
        domain = fields.get("domain")
        place = DOMAINS.index(domain) if isinstance(domain, str) and domain in DOMAINS else -1
        if place >= 0 or not np.isnan(labels).all():
            found.append(Example(clean.text, labels, domain=place, source=clean.source, group=clean.group))
    return found


def damage_of(documents: list[tuple[Clean, dict[str, object]]], seed: int) -> list[Example]:
    """Damaged passages and made-up pages of the documents; sensitivity stays out, for want of improper text."""
    cleans = [clean for clean, _ in documents]
    if not cleans:
        return []
    others = [clean.text for clean in random.Random(seed).sample(cleans, min(len(cleans), 1500))]
    names = sorted({word.lower() for text in others for word in text.split() if word.isalpha() and 4 < len(word) < 12})
    kinds = tuple(name for name in REACHED if name != "sensitivity")
    found = damage_examples(cleans, Stock(FOREIGN, others, ()), names or ["thing"], seed, 4, kinds)
    return [example for example in found if example.text.strip()]


def held_out(examples: list[Example], settings: RaterTraining) -> np.ndarray:
    """Which examples the figures are measured on: whole groups, drawn by hash. Raises InputError for a single group."""
    keys = [example.source if settings.by_source else example.group for example in examples]
    groups = sorted(set(keys), key=lambda key: hashlib.sha256(f"{settings.seed} {key}".encode()).digest())
    if len(groups) < 2:
        raise InputError(f"found {len(groups)} {_split_by(settings)} to split by, expected 2 or more; choose another")
    chosen = set(groups[: max(1, round(len(groups) * settings.held_out))])
    return np.array([key in chosen for key in keys])


def figures_of(heads: Heads, data: Inputs) -> dict[str, Any]:
    """Agreement for each criterion that has labels here, and of domains."""
    expected = expected_scores(heads, data)
    answers = [heads.answer(*row) for row in zip(data.statistics, data.embeddings, strict=True)]
    scores = np.stack([answer.ratings.argmax(axis=1) + 1 for answer in answers])
    criteria = {}
    for place, name in enumerate(CRITERIA):
        known = ~np.isnan(data.labels[:, place]) & (data.weights[:, place] == 1)
        if known.any():
            criteria[name] = criterion_figures(data.labels[known, place], scores[known, place], expected[known, place])
    chosen = data.domains >= 0
    found = np.array([int(answer.domains.argmax()) for answer in answers])
    domain = domain_figures(data.domains[chosen], found[chosen], DOMAINS) if chosen.any() else None
    return {"criteria": criteria, "domain": domain}


def page(card: StudentCard, figures: dict[str, Any]) -> str:
    """The report as one HTML file, without text of documents; every value is escaped by the template engine."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline", "templates"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("agreement.html").render(card=card, figures=figures)


def _documents(settings: RaterTraining) -> _Read:
    chosen, read = parse_conditions(settings.where), _Read()

    def count(record: Any) -> None:
        read.bad += record.count

    config = InputConfig(paths=settings.inputs, text=settings.text)
    for document, fields in documents_of(config, count):
        if chosen(fields) and document.text.strip():
            key = (
                str(fields.get(settings.group))
                if settings.group
                else " ".join(document.text[:400].lower().split())[:200]
            )
            group = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:16]
            read.documents.append((Clean(document.text, document.source, group), fields))
    if not read.documents:
        raise NothingRead(f"found no document in {', '.join(settings.inputs)}, expected documents with text")
    return read


def _split_by(settings: RaterTraining) -> str:
    return "source" if settings.by_source else (settings.group or "beginning of the text")


def _teacher(documents: list[tuple[Clean, dict[str, object]]]) -> str:
    found = sorted({str(fields["rater"]) for _, fields in documents if fields.get("rater")})
    return ", ".join(found) or "unknown"


def short_figures(figures: dict[str, Any]) -> dict[str, Any]:
    """What of `figures_of`, and of its split, a card carries: no tables."""
    left = ("confusion", "reliability", "names")
    rows = {**figures["criteria"], **({"domain": figures["domain"]} if figures["domain"] else {})}
    short = {name: {k: v for k, v in found.items() if k not in left} for name, found in rows.items()}
    return {**short, "split": figures["split"]}
