"""Speed of the student rater on one core: documents per CPU second, the share of each part, the embedding alone.

    tamis sample && python benchmarks/rating_student_speed.py

A stretch of each source of the quickstart corpus, as many documents of each as its share of the corpus's shards.
"""

import argparse
import json
import os
import random
import statistics as stats
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.config import InputConfig
from pipeline.documents_of import documents_of
from stages.rating_card import DEFAULT
from stages.rating_features import Parts, parts_of, shown, statistics
from stages.rating_student import Student, measured, open_student
from stages.rating_tokens import token_statistics

SAMPLE = Path(__file__).parents[1] / "data" / "sample"
DOCUMENTS, SEED = 2000, 20250219


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write all figures here")
    arguments = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    texts = mix()
    student = open_student(DEFAULT)
    student.rate(texts[:200])
    rounds = [one_round(student, texts) for _ in range(arguments.rounds)]
    medians = {name: stats.median(found[name] for found in rounds) for name in rounds[0]}
    characters = sum(map(len, texts))
    print(f"{len(texts):,} documents, {characters:,} characters, {sum(len(shown(t)) for t in texts):,} of them read\n")
    print("| part | CPU s | share | documents / CPU s |\n|---|---|---|---|")
    for name, seconds in medians.items():
        print(f"| {name} | {seconds:.2f} | {seconds / medians['all']:.0%} | {len(texts) / seconds:,.0f} |")
    if arguments.json:
        arguments.json.write_text(json.dumps({"documents": len(texts), "cpu_seconds": rounds}, indent=1) + "\n")


def mix() -> list[str]:
    """Documents of the quickstart corpus, drawn evenly."""
    config = InputConfig(paths=(str(SAMPLE / "*.jsonl.zst"),))
    found = [document.text for document, _ in documents_of(config, lambda record: None)]
    return random.Random(SEED).sample(found, min(DOCUMENTS, len(found)))


def one_round(student: Student, texts: Sequence[str]) -> dict[str, float]:
    """CPU seconds of each part, with the memory of words emptied first, as a fresh worker has it."""
    embedder, tables = student.embedder, student.tables
    parts: list[Parts] = []
    rows = [measured(text, embedder, tables) for text in texts]
    fresh(student)
    return {
        "all": clock(lambda: student.rate(texts)),
        "cutting": clock(lambda: parts.extend(parts_of(shown(text)) for text in texts)),
        "statistics": clock(lambda: [statistics(part) for part in parts]),
        "tokens, words known": clock(lambda: [embedder.ids(part.sentences) for part in parts]),
        "tokens, embedding and their statistics": clock(
            lambda: [token_statistics(embedder, tables, part.sentences) for part in parts]
        ),
        "heads": clock(lambda: [student.heads.answer(*row) for row in rows]),
        "raw embedding alone (wordllama's own)": clock(raw_embedding(texts)),
    }


def fresh(student: Student) -> None:
    student.embedder.forget()


def raw_embedding(texts: Sequence[str]) -> Callable[[], object]:
    """wordllama's own `embed` on the same part of the texts, one by one, loaded before the clock starts."""
    from wordllama import WordLlama

    model = WordLlama.load(cache_dir=Path(__import__("wordllama").__file__).parent, disable_download=True)
    given = [shown(text) for text in texts if text.strip()]
    return lambda: [model.embed([text]) for text in given]


def clock(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
