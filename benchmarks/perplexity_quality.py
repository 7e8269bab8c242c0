"""Quality of the perplexity filter: how well it finds harmful text of a source it was not trained on, and its cost.

    python benchmarks/perplexity_quality.py --json perplexity_quality.json

English; each harmful source is left out once, with its benign records, and tested. See benchmarks/README.md.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import perplexity_sets as sets
import perplexity_sources as sources
import pyarrow as pa
import train_default_perplexity as recipe
from perplexity_rivals import Floats, rivals

from pipeline.calibration import auc, precision_at
from stages.perplexity import Perplexity

PREVALENCE = 0.01
COLUMNS = {
    "document perplexity": ("harmful_ppl", -1),
    "worst window": ("harmful_ppl_worst", -1),
    "ratio (default)": ("harmful_ratio", 1),
}
PLAIN, DEFAULT = "document perplexity", "ratio (default)"
GROUPS = (
    "books", "code_java", "code_python", "finance_gov", "forum_20ng", "law_de", "law_en", "math_latex", "medical_web",
    "news", "pubmed_abstracts", "stackexchange", "wiki",
)  # fmt: skip

Cell = dict[str, float]
Table = dict[str, dict[str, Cell]]
"""Measures by row and method."""


def main() -> None:
    """Measure, print tables as Markdown, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write all figures here")
    arguments = parser.parse_args()
    cost = benign_cost()
    folds = {name: measure_without(name) for name in (source.name for source in sources.HARMFUL["en"])}
    mean = mean_of(list(folds.values()))
    show("mean over the sources left out", mean)
    for name, table in folds.items():
        show(f"left out: {name}", table)
    print("\n| source | documents | dropped by the default |\n|---|---|---|")
    for name, (count, share) in cost.items():
        print(f"| {name} | {count:,} | {share:.2%} |")
    if arguments.json:
        arguments.json.write_text(json.dumps({"mean": mean, "left_out": folds, "benign_cost": cost}, indent=1) + "\n")


def measure_without(name: str) -> Table:
    """All rows for one harmful source, by models trained on the others."""
    harmful = recipe.texts_of(sources.HARMFUL, "en")
    benign = recipe.texts_of(sources.BACKGROUND, "en")
    held, held_benign = harmful.pop(name), benign.pop(name, [])
    rows = test_rows(held, held_benign)
    with tempfile.TemporaryDirectory() as folder:
        recipe.train_pair("en", harmful, benign, Path(folder))
        methods = {label: scorer_of(Path(folder), *column) for label, column in COLUMNS.items()}
        methods |= rivals(*training_of(harmful, benign))
        return {
            row: {m: measure(s(found), s(others)) for m, s in methods.items()} for row, (found, others) in rows.items()
        }


def training_of(harmful: recipe.Texts, benign: recipe.Texts) -> tuple[list[str], list[str]]:
    """The text that both models are trained on, as lists."""
    tables = ((sources.HARMFUL, harmful), (sources.BACKGROUND, benign))
    both = [
        [text for s in table["en"] for text in sources.training_texts(s, texts.get(s.name, []), recipe.SEED)]
        for table, texts in tables
    ]
    return both[0], both[1]


def test_rows(held: list[str], held_benign: list[str]) -> dict[str, tuple[list[str], list[str]]]:
    """Harmful and benign texts of each row."""
    documents = sets.benign_documents()
    single = held[: sets.SENTENCES]
    rows = {f"sentences vs {kind}": (single, texts) for kind, texts in sets.benign_sentences(documents).items()}
    whole = sets.joined(held, sets.DOCUMENTS)
    rows |= {f"documents vs {kind}": (whole, texts) for kind, texts in documents.items()}
    if held_benign:
        rows["sentences vs same source"] = (single, held_benign[: sets.SENTENCES])
        rows["documents vs same source"] = (whole, sets.joined(held_benign, sets.DOCUMENTS))
    clean = sets.diluted(documents, held, 0.0, seed=10)
    return rows | {
        f"{share:.0%} harmful lines": (sets.diluted(documents, held, share, seed=9), clean) for share in sets.SHARES
    }


def scorer_of(models: Path, column: str, sign: int) -> Callable[[Sequence[str]], Floats]:
    """A column of the stage, higher for harmful; texts of any length are scored, those without a word lowest."""
    annotate = Perplexity(model=str(models), min_words=1).open()

    def score(texts: Sequence[str]) -> Floats:
        batch = pa.RecordBatch.from_pydict({"text": list(texts), "lang": ["en"] * len(texts)})
        values = np.asarray(annotate(batch).column(column).to_numpy(zero_copy_only=False), dtype=np.float64)
        return np.nan_to_num(sign * values, nan=-1e9)

    return score


def measure(positive: Floats, negative: Floats) -> Cell:
    """AUC; false positives and precision at the threshold that finds 90% of the positives."""
    threshold = np.quantile(positive, 0.1)
    alarms = float(np.mean(negative >= threshold))
    precision = precision_at(0.9, alarms, PREVALENCE)
    return {"auc": auc(positive, negative), "fpr": alarms, "precision": precision}


def mean_of(tables: Sequence[Table]) -> Table:
    """The mean of each cell over the tables that have it."""
    rows = list(dict.fromkeys(row for table in tables for row in table))
    return {row: _mean_row([table[row] for table in tables if row in table]) for row in rows}


def _mean_row(found: Sequence[dict[str, Cell]]) -> dict[str, Cell]:
    keys = ("auc", "fpr", "precision")
    return {m: {k: float(np.mean([row[m][k] for row in found])) for k in keys} for m in found[0]}


def show(title: str, table: Table) -> None:
    """A table as Markdown: AUC / false positive rate / precision at recall .9; the best AUC of a row in bold."""
    methods = list(next(iter(table.values())))
    print(f"\n{title}: AUC / false positive rate / precision, the latter two at recall .9, prevalence {PREVALENCE}\n")
    print(f"| | {' | '.join(methods)} |\n|---|{'---|' * len(methods)}")
    for row, cells in table.items():
        best = max(cell["auc"] for cell in cells.values())
        print(f"| {row} | {' | '.join(_cell(cells[m], cells[m]['auc'] == best) for m in methods)} |")
    lost = [row for row, cells in table.items() if cells[DEFAULT]["auc"] <= cells[PLAIN]["auc"]]
    print(f"\nrows where the default does not beat the document perplexity: {', '.join(lost) or 'none'}", flush=True)


def _cell(cell: Cell, best: bool) -> str:
    value = f"{cell['auc']:.3f}"
    return f"{f'**{value}**' if best else value} / {cell['fpr']:.3f} / {cell['precision']:.2f}"


def benign_cost() -> dict[str, tuple[int, float]]:
    """Documents, and the share that the default stage drops, of each source of groups/."""
    stage = Perplexity()
    annotate = stage.open()
    found: dict[str, tuple[int, float]] = {}
    for name in GROUPS:
        texts = [str(record["text"]) for record in sets.records(f"groups/{name}")]
        language = "de" if name.endswith("_de") else "en"
        batch = pa.RecordBatch.from_pydict({"text": texts, "lang": [language] * len(texts)})
        reasons = stage.decide(annotate(batch))
        found[name] = (len(texts), 1 - reasons.null_count / len(texts))
    return found


if __name__ == "__main__":
    main()
