"""A small corpus that reaches every stage, and the whole chain of the quickstart on it, in seconds."""

from pathlib import Path
from typing import Any

import yaml

from tests.runs import documents, write_jsonl

QUICKSTART = Path(__file__).parents[1] / "configs" / "quickstart.yaml"
_PROXY = {"steps": 48, "delta": 0.5, "batch": 4, "window": 16, "held": 2, "evaluate": 2, "rounds": 1, "sweeps": 2}
"""A mixture learned in a second: its proxy is about nothing but that it runs."""
_PROSE = (
    "The harbour was quiet in the early morning, and the {a} sailors carried {b} crates of salted fish to the market.",
    "A committee of {a} engineers examined the bridge for {b} days and found that its northern pillar had moved.",
    "In the library there were {a} shelves of old maps, and each of them held the memory of {b} forgotten journeys.",
    "She explained to her {a} students why water boils at a lower temperature on a mountain of {b} metres.",
    "The recipe asks for {a} spoons of flour and {b} of sugar, stirred slowly until the mixture becomes smooth.",
)


def corpus(folder: Path) -> list[Path]:
    """Three files: English prose with repeated and nearly repeated documents, other languages, and a broken line."""
    rows = [_prose(number) for number in range(60)]
    rows += [{**row, "id": f"again-{row['id']}"} for row in rows[:3]]
    near = [{**row, "id": f"near-{row['id']}", "text": f"{row['text']} The end."} for row in rows[3:6]]
    paths = [write_jsonl(folder / "prose.jsonl", rows), write_jsonl(folder / "mixed.jsonl", [*near, *documents(40)])]
    (folder / "bad.jsonl").write_text("broken\n")
    return [*paths, folder / "bad.jsonl"]


def whole_chain(path: Path, inputs: list[Path], output: Path | str, split_mb: float = 0.01, **more: Any) -> Path:
    """The configuration of the quickstart, whatever its stages are, on these files; `more` are further sections."""
    raw: dict[str, Any] = yaml.safe_load(QUICKSTART.read_text(encoding="utf-8"))
    raw["input"] |= {"paths": [str(entry) for entry in inputs], "split_mb": split_mb, "max_bad_fraction": 0.5}
    raw |= {"output": str(output), "shards": {"text_mb": 0.02, "row_group_mb": 0.01}, **more}
    for entry in raw["stages"]:
        if "select" in entry:
            entry["select"]["tokens"] = 6000
        if "mixture" in entry:
            entry["mixture"] |= _PROXY
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return path


def _prose(number: int) -> dict[str, Any]:
    sentences = [_PROSE[(number + turn) % len(_PROSE)].format(a=number + 2, b=turn + number) for turn in range(6)]
    return {"id": f"prose-{number:03d}", "text": " ".join(sentences), "source": f"source-{number % 2}"}
