"""Small real runs for tests: invented documents in, a run directory out, and what to compare of it."""

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from pipeline.config import load_config
from pipeline.engines import Engine
from pipeline.engines.local import LocalEngine
from pipeline.manifest import Finished
from pipeline.run import run

SENTENCES = {
    "en": "The lighthouse keeper counted the boats again before the storm closed the narrow harbour for the night.",
    "de": "Der Leuchtturmwärter zählte noch einmal die Boote, bevor der Sturm den engen Hafen für die Nacht schloss.",
    "fr": "Le gardien du phare compta encore une fois les bateaux avant que la tempête ne ferme le port étroit.",
    "es": "El guardián del faro volvió a contar los barcos antes de que la tormenta cerrara el puerto estrecho.",
    "it": "Il guardiano del faro contò di nuovo le barche prima che la tempesta chiudesse lo stretto porto.",
    "ru": "Смотритель маяка ещё раз пересчитал лодки, прежде чем буря закрыла узкую гавань на всю ночь.",
}


def documents(count: int, seed: int = 0, sentences: int = 12) -> list[dict[str, Any]]:
    """Documents in six languages, each of several lines, every one different, some without letters."""
    chance = random.Random(seed)
    made: list[dict[str, Any]] = []
    for number in range(count):
        language = chance.choice(sorted(SENTENCES))
        words = SENTENCES[language].split()
        lines = [" ".join(chance.sample(words, len(words))) for _ in range(chance.randint(1, sentences))]
        text = f"{number * 17:,} - {number}" if number % 50 == 7 else "\n".join(lines)
        made.append({"id": f"{seed}-{number}", "text": text, "source": f"source-{number % 3}", "made_in": language})
    return made


def write_jsonl(path: Path, rows: Iterable[object]) -> Path:
    """One JSON line per row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_config(path: Path, inputs: Iterable[Path | str], output: Path | str, **sections: Any) -> Path:
    """A configuration file; `stages` and keys of `input` and `shards` may be given."""
    raw = {
        "input": {"paths": [str(entry) for entry in inputs], **sections.get("input", {})},
        "output": str(output),
        "stages": sections.get("stages", [{"language": {"keep": ["en", "de", "fr"]}}]),
        "shards": sections.get("shards", {}),
    }
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return path


def go(config: Path, *overrides: str, limit: int = 0, workers: int = 1) -> Finished:
    """Run in this process (or with worker processes)."""
    with LocalEngine(workers) as engine:
        return go_with(engine, config, *overrides, limit=limit)


def go_with(engine: Engine, config: Path, *overrides: str, limit: int = 0) -> Finished:
    """Run on an engine that is open already."""
    return run(load_config(config, overrides, limit), engine, Console(quiet=True))


def tamis(*arguments: str | Path, **options: Any) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, **options)


def command(*arguments: str | Path) -> list[str]:
    """The command line of `tamis` in this environment."""
    return [sys.executable, "-m", "pipeline.cli", *(str(argument) for argument in arguments)]


def fingerprint(run_directory: Path) -> dict[str, str]:
    """Every Parquet file of a run with the hash of its bytes, and the counts of the manifest."""
    found = {
        str(path.relative_to(run_directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run_directory.rglob("*.parquet"))
    }
    manifest = json.loads((run_directory / "manifest.json").read_text())
    counts = {key: manifest[key] for key in ("ledger", "funnel", "parts", "dropped", "steps")}
    return found | {"manifest": json.dumps(counts, sort_keys=True)}
