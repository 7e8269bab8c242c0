"""Child of chain_peers.py and faults_peers.py, in datatrove's environment: JSON Lines in, English kept, Parquet out.

datatrove computes perplexities for statistics only (CCNetPerplexityStats); the filter here is the least that stores
what the same class `KenlmModel` says beside each document. With `--words` the same KenLM file as Tamis has is asked,
and words at blanks stand for the pieces of SentencePiece.
"""

import argparse
import sys
from pathlib import Path

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters import LanguageFilter
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import ParquetWriter
from datatrove.utils.perplexity import KenlmModel
from datatrove_models import PIECES, place_language, place_perplexity
from loguru import logger


class Perplexity(BaseFilter):
    """Keeps every document and notes its perplexity."""

    name = "perplexity"

    def __init__(self, words: Path | None) -> None:
        super().__init__()
        self.words = words
        self.kenlm = KenlmModel(PIECES, "en")

    def filter(self, doc: Document) -> bool:
        """True."""
        if self.words and self.kenlm._model is None:
            import kenlm

            self.kenlm._model, self.kenlm._tokenizer = kenlm.Model(str(self.words)), _Words()
        doc.metadata["perplexity"] = self.kenlm.get_perplexity(doc.text)
        return True


class _Words:
    """In place of SentencePiece: words at blanks."""

    def tokenize(self, text: str) -> str:
        return " ".join(text.split())


class Failing(BaseFilter):
    """Raises at one document, as a mistake in a user's filter does."""

    name = "failing"

    def __init__(self, mark: str) -> None:
        super().__init__()
        self.mark = mark

    def filter(self, doc: Document) -> bool:
        """True, or RuntimeError."""
        if self.mark in doc.text:
            raise RuntimeError("a fault in a filter")
        return True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("corpus", type=Path, help="directory with *.jsonl and *.jsonl.gz")
    parser.add_argument("output", type=Path)
    parser.add_argument("--min-score", type=float, default=0.65)
    parser.add_argument("--pieces", type=Path, help="directory with en.sp.model and en.arpa.bin")
    parser.add_argument("--words", type=Path, help="a KenLM model of words")
    parser.add_argument("--label-only", action="store_true", help="keep all languages")
    parser.add_argument("--fail-at", default="", help="a filter raises at texts that hold this")
    parser.add_argument("--tasks", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    place_language(arguments.model)
    steps = [JsonlReader(str(arguments.corpus), glob_pattern="*.jsonl*")]
    languages, least = (None, 0.0) if arguments.label_only else (["en"], arguments.min_score)
    steps.append(LanguageFilter(languages, least, backend="ft176", label_only=arguments.label_only))
    if arguments.pieces or arguments.words:
        if arguments.pieces:
            place_perplexity(arguments.pieces)
        steps.append(Perplexity(arguments.words))
    if arguments.fail_at:
        steps.append(Failing(arguments.fail_at))
    steps.append(ParquetWriter(str(arguments.output / "data")))
    logs = str(arguments.output / "logs")
    LocalPipelineExecutor(steps, tasks=arguments.tasks, workers=arguments.workers, logging_dir=logs).run()


if __name__ == "__main__":
    main()
