"""How often the language stage is right, how far its score can be trusted, and what it costs.

    python benchmarks/language_accuracy.py [--json FILE]

Reads the labelled texts below `$TAMIS_DATA` (see `language_data`); single-language texts from the half that nothing was
fitted to. Languages count as equal without their script. All through the stage's own function; one process.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from language_data import MIXED, UDHR, XQUAD, Labelled, data_folder, labelled, records

from stages.language import Language
from stages.language_codes import base
from stages.language_members import Cld2, FastText
from stages.model_files import LID_176, published_model

WAYS: dict[str, tuple[str, ...]] = {"fasttext": ("fasttext",), "cld2": ("cld2",), "ensemble": ("fasttext", "cld2")}
SCORES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
PREFIXES = (500, 1000, 2000)
LONG_CHARACTERS = 4_000
"""Length of the documents that the cut to a prefix is measured on, made of paragraphs in one language."""

Table = dict[str, dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description="accuracy and cost of language identification")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    target = parser.parse_args().json
    folder = data_folder()
    texts = [text for text in labelled(folder) if text.held_out]
    mixed = list(records(folder, MIXED))
    sets = _sets(texts)
    long = {name: _long_documents(sets[name]) for name in ("xquad", "udhr2 known to both", "udhr2 all")}
    tables = {
        "accuracy": accuracy(sets),
        "coverage and precision at scores": trust(sets),
        "mixed documents": {way: _mixed_figures(mixed, members) for way, members in WAYS.items()},
        "documents of one language taken as mixed": {
            way: _false_mixed(long["xquad"], members) for way, members in WAYS.items()
        },
        "labels changed by the prefix": {name: _changed(documents) for name, documents in long.items()},
        "documents per CPU second": cost(sets, [record["text"] for record in mixed]),
    }
    for title, table in tables.items():
        _show(title, table)
    if target:
        target.write_text(json.dumps(tables, indent=2) + "\n")


def annotated(texts: Sequence[str], **settings: Any) -> list[dict[str, Any]]:
    """The stage's rows for these texts."""
    return list(Language(**settings).open()(pa.record_batch({"text": pa.array(texts, pa.string())})).to_pylist())


def accuracy(sets: dict[str, list[Labelled]]) -> Table:
    """The share of right labels, by set and members."""
    return {
        name: {"texts": len(texts)} | {way: _right(texts, m) for way, m in WAYS.items()} for name, texts in sets.items()
    }


def trust(sets: dict[str, list[Labelled]]) -> Table:
    """How many labels have at least some score, and how many of those are right."""
    table: Table = {}
    for name in ("sentences", "word-pairs", "single-words", "udhr2 all", "xquad"):
        rows = annotated([text.text for text in sets[name]], mix=False)
        scores = np.array([row["lang_score"] for row in rows])
        right = np.array([base(row["lang"]) == text.lang for row, text in zip(rows, sets[name], strict=True)])
        table[name] = {f"{low}": f"{(scores >= low).mean():.3f} / {right[scores >= low].mean():.3f}" for low in SCORES}
        table[name]["mean score"] = round(float(scores.mean()), 3)
    return table


def cost(sets: dict[str, list[Labelled]], mixed: list[str]) -> Table:
    """Documents per second of CPU time, start-up excluded."""
    batches = {name: [text.text for text in sets[name]] for name in ("sentences", "xquad")} | {"mixed": mixed}
    ways: dict[str, dict[str, Any]] = {
        "default": {},
        "mix off": {"mix": False},
        "mix off, cld2": {"mix": False, "members": ("cld2",)},
        "mix off, fasttext, all of the text": {"mix": False, "members": ("fasttext",), "prefix": 0},
    }
    return {way: {name: _speed(texts, settings) for name, texts in batches.items()} for way, settings in ways.items()}


def _sets(texts: list[Labelled]) -> dict[str, list[Labelled]]:
    fasttext, cld2 = FastText(published_model(LID_176)).known, Cld2().known
    udhr = [text for text in texts if text.kind == UDHR]
    sets = {kind: [t for t in texts if t.kind == kind] for kind in ("sentences", "word-pairs", "single-words")}
    return sets | {
        "udhr2 known to both": [t for t in udhr if t.lang in fasttext & cld2],
        "udhr2 known to one": [t for t in udhr if t.lang in fasttext | cld2],
        "udhr2 all": udhr,
        "xquad": [t for t in texts if t.kind == XQUAD],
    }


def _right(texts: list[Labelled], members: tuple[str, ...]) -> float:
    rows = annotated([text.text for text in texts], members=members, mix=False)
    return _mean(base(row["lang"]) == text.lang for row, text in zip(rows, texts, strict=True))


def _mixed_figures(mixed: list[dict[str, Any]], members: tuple[str, ...]) -> dict[str, float]:
    """Of documents with at least .2 (.3) in each of two languages, those found at .2; the error of the second share."""
    rows = annotated([record["text"] for record in mixed], members=members)
    found: dict[float, list[bool]] = {0.2: [], 0.3: []}
    errors = []
    for row, record in zip(rows, mixed, strict=True):
        shares = _base_shares(row)
        (first, _), (second, true) = sorted(record["share_bytes"].items(), key=lambda item: -item[1])
        errors.append(abs(shares.get(second, 0.0) - true))
        for low, answers in found.items():
            if true >= low:
                answers.append(min(shares.get(first, 0.0), shares.get(second, 0.0)) >= 0.2)
    both = {f"found, of {low}": _mean(answers) for low, answers in found.items()}
    return {"documents": len(mixed)} | both | {"share error": _mean(errors)}


def _base_shares(row: dict[str, Any]) -> dict[str, float]:
    return {base(part["lang"]): part["share"] for part in row["lang_mix"] or []}


def _long_documents(paragraphs: list[Labelled]) -> list[str]:
    """Documents of up to 4,000 characters in one language, one paragraph or block a line."""
    documents: dict[str, list[str]] = {}
    for text in paragraphs:
        parts = documents.setdefault(text.lang, [""])
        if len(parts[-1]) + len(text.text) > LONG_CHARACTERS:
            parts.append("")
        parts[-1] += text.text + "\n"
    return [document for parts in documents.values() for document in parts if document]


def _false_mixed(documents: list[str], members: tuple[str, ...]) -> dict[str, float]:
    rows = annotated(documents, members=members)
    return {
        "documents": len(rows),
        "taken as mixed": _mean(max(_base_shares(row).values(), default=1.0) <= 0.8 for row in rows),
    }


def _changed(documents: list[str]) -> dict[str, float]:
    """The share of labels that differ from those on the whole text, by the length of the prefix."""
    whole = [row["lang"] for row in annotated(documents, mix=False, prefix=0)]
    changed: dict[str, float] = {"documents": len(documents)}
    for prefix in PREFIXES:
        cut = annotated(documents, mix=False, prefix=prefix)
        changed[str(prefix)] = _mean(a != b["lang"] for a, b in zip(whole, cut, strict=True))
    return changed


def _speed(texts: list[str], settings: dict[str, Any]) -> int:
    annotate: Callable[[pa.RecordBatch], pa.RecordBatch] = Language(**settings).open()
    batch = pa.record_batch({"text": pa.array(texts, pa.string())})
    seconds = []
    for _ in range(3):
        started = time.process_time()
        annotate(batch)
        seconds.append(time.process_time() - started)
    return round(len(texts) / min(seconds))


def _mean(values: Any) -> float:
    return round(float(np.mean(list(values))), 4)


def _show(title: str, table: Table) -> None:
    columns = list(next(iter(table.values())))
    width = max(len(name) for name in table)
    print(f"\n{title}\n{'':{width}}  " + "  ".join(f"{column:>13}" for column in columns))
    for name, row in table.items():
        print(f"{name:{width}}  " + "  ".join(f"{row[column]!s:>13}" for column in columns))


if __name__ == "__main__":
    main()
