"""Child of chain_peers.py, in NeMo Curator's environment: JSON Lines in, English kept, Parquet out, on Ray.

NeMo Curator has no perplexity filter, so it takes part in the first chain alone.
"""

import argparse
from pathlib import Path

from nemo_curator.backends.ray_data import RayDataExecutor
from nemo_curator.core.client import RayClient
from nemo_curator.pipeline import Pipeline
from nemo_curator.stages.text.filters import ScoreFilter
from nemo_curator.stages.text.filters.fasttext.fasttext_filters import FastTextLangId
from nemo_curator.stages.text.io.reader import JsonlReader
from nemo_curator.stages.text.io.writer import ParquetWriter


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--min-score", type=float, default=0.65)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    client = RayClient(num_cpus=arguments.workers, num_gpus=0, include_dashboard=False)
    client.start()
    language = FastTextLangId(str(arguments.model), min_langid_score=arguments.min_score, lang="en")
    stages = [
        JsonlReader(str(arguments.corpus), files_per_partition=1),
        ScoreFilter(language, text_field="text", score_field="language"),
        ParquetWriter(str(arguments.output / "data")),
    ]
    Pipeline(name="language", stages=stages).run(RayDataExecutor())
    client.stop()


if __name__ == "__main__":
    main()
