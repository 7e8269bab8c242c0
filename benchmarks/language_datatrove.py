"""Child of language_speed.py, run in datatrove's environment: JSON Lines in, language labels, Parquet out, one task."""

import argparse
import sys
from pathlib import Path

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters import LanguageFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import ParquetWriter
from datatrove.utils.lid import FT176LID
from datatrove_models import place_language
from loguru import logger


class PrefixLID(FT176LID):
    """datatrove's identifier on the first characters of the text; the document keeps its text."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.characters = characters

    def predict(self, doc: Document) -> tuple[tuple[str, int], dict[str, float]]:
        """The same call on a shorter document."""
        return super().predict(Document(text=doc.text[: self.characters], id=doc.id))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--prefix", type=int, default=0, help="characters to look at; 0: all")
    arguments = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    place_language(arguments.model)
    language = LanguageFilter(languages=None, backend="ft176", label_only=True)
    if arguments.prefix:
        language.model = PrefixLID(arguments.prefix)
    reader = JsonlReader(str(arguments.corpus.parent), glob_pattern=arguments.corpus.name)
    writer = ParquetWriter(str(arguments.output / "data"))
    logs = str(arguments.output / "logs")
    LocalPipelineExecutor([reader, language, writer], tasks=1, workers=1, logging_dir=logs).run()


if __name__ == "__main__":
    main()
