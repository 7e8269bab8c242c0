"""Child of language_speed.py, run in datatrove's environment: JSON Lines in, language labels, Parquet out, one task.

datatrove has no option for the model's path, so the model file is put where its downloader would leave it, below
$HF_ASSETS_CACHE. fastText looks at the content, not at the name, so a quantised model may stand for lid.176.bin.
"""

import argparse
import shutil
import sys
from pathlib import Path

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters import LanguageFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import ParquetWriter
from datatrove.utils.lid import FT176LID
from fsspec.core import strip_protocol
from huggingface_hub import cached_assets_path
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
    _place(arguments.model)
    language = LanguageFilter(languages=None, backend="ft176", label_only=True)
    if arguments.prefix:
        language.model = PrefixLID(arguments.prefix)
    reader = JsonlReader(str(arguments.corpus.parent), glob_pattern=arguments.corpus.name)
    writer = ParquetWriter(str(arguments.output / "data"))
    logs = str(arguments.output / "logs")
    LocalPipelineExecutor([reader, language, writer], tasks=1, workers=1, logging_dir=logs).run()


def _place(model: Path) -> None:
    directory = cached_assets_path(library_name="datatrove", namespace="lid", subfolder=FT176LID.MODEL_SUBFOLDER)
    target = Path(directory) / strip_protocol(FT176LID.MODEL_URL).replace("/", "_")
    shutil.copyfile(model, target)
    target.with_name(f"{target.name}.completed").touch()


if __name__ == "__main__":
    main()
