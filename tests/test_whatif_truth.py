"""`tamis what-if` and `tamis compare` against the truth: the same thresholds in a run of their own, by document.

The chain is that of the quickstart as far as its stages judge documents one by one, with `perplexity` a second time,
and `select` after it.
"""

import io
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from rich.console import Console

from pipeline.compare import compare_page, compare_runs
from pipeline.inspect_document import document_facts
from pipeline.whatif import what_if
from pipeline.whatif_showing import show_what_if
from stages.errors import ConfigError
from tests.runs import go, write_config
from tests.tiny_corpus import corpus

CHAIN: list[dict[str, Any]] = [
    {"dedup": {}},
    {"language": {"min_score": 0.3, "min_letters": 20}},
    {"perplexity": {"threshold": 0.1}},
    {"perplexity": {"side": "below", "threshold": 3600.0}},
    {"rating": {"min_overall_score": 2}},
    {"tokens": {"max_tokens": 600}},
]
SELECT = {"select": {"tokens": 3000, "strata": ["lang"], "weights": {"overall_score": 1.0}}}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a finished run."""
    folder = tmp_path_factory.mktemp("truth")
    corpus(folder)
    made = configured(folder / "c.yaml", folder, folder / "run", CHAIN)
    go(made)
    return made


def configured(path: Path, corpus_of: Path, output: Path, chain: list[Any]) -> Path:
    return write_config(
        path,
        sorted(corpus_of.glob("*.jsonl")),
        output,
        stages=chain,
        input={"max_bad_fraction": 0.5, "split_mb": 0.01},
        shards={"text_mb": 0.02, "row_group_mb": 0.01},
    )


def truth(config: Path, folder: Path, *overrides: str) -> Path:
    """The directory of a run with these thresholds; scores of the first run that are the same are not made again."""
    shutil.copytree(config.parent / "run", folder / "run")
    go(config, f"output={folder / 'run'}", *overrides)
    return folder / "run"


def sides(run: Path) -> dict[str, str]:
    """Document -> kept, or what dropped it and why."""
    found = dict.fromkeys(pq.read_table(run / "data", columns=["id"]).column("id").to_pylist(), "kept")
    dropped = pq.read_table(run / "dropped", columns=["id", "dropped_by", "drop_reason"]).to_pylist()
    return found | {row["id"]: f"{row['dropped_by']}: {row['drop_reason']}" for row in dropped}


def funnel(run: Path) -> list[dict[str, Any]]:
    manifest = yaml.safe_load((run / "manifest.json").read_text())
    return [{key: row[key] for key in ("stage", "entered", "kept", "dropped")} for row in manifest["funnel"]]


THRESHOLDS = [
    "dedup.drop=false",
    "language.keep=[en, de]",
    "language.min_score=0.9",
    "language.min_score=0",
    "language.no_language=keep",
    "language.short=drop",
    "language.min_letters=64",
    "language.mixed=drop",
    "language.mixed_share=0.01",
    "stages.2.perplexity.score=worst",
    "stages.2.perplexity.threshold=-1.5",
    "stages.2.perplexity.threshold=calibrated",
    "stages.2.perplexity.no_model=drop",
    "stages.2.perplexity.too_short=drop",
    "stages.3.perplexity.threshold=1600",
    "stages.3.perplexity.threshold=100000",
    "stages.3.perplexity.threshold=calibrated",
    "stages.3.perplexity.no_model=drop",
    "rating.min_overall_score=0",
    "rating.min_overall_score=4",
    "rating.domains=[law, coding]",
    "rating.unrated=drop",
    "tokens.min_tokens=120",
    "tokens.max_tokens=150",
]


TOGETHER = [
    "rating.min_overall_score=3 language.short=drop tokens.min_tokens=50",
    "stages.3.perplexity.threshold=calibrated stages.3.perplexity.buckets=[tail] stages.2.perplexity.threshold=0.2",
]


@pytest.mark.parametrize("override", [*THRESHOLDS, *TOGETHER])
def test_it_says_what_a_run_would(config: Path, tmp_path: Path, override: str) -> None:
    overrides = override.split(" ") if override.count("=") > 1 else [override]
    found = what_if(str(config.parent / "run"), overrides)
    run = truth(config, tmp_path, *overrides)
    told = [{key: row[key] for key in ("stage", "entered", "kept", "dropped")} for row in found["stages"]]
    known = next((at for at, row in enumerate(found["stages"]) if row["unknown"]), len(told))
    assert told[:known] == funnel(run)[:known]
    before, after = sides(config.parent / "run"), sides(run)
    kept = sum(side == "kept" for side in after.values())
    assert found["kept"] <= kept <= found["kept"] + found["unknown"]
    lost = {id_ for id_, side in before.items() if side == "kept" and after[id_] != "kept"}
    gained = {id_ for id_, side in after.items() if side == "kept" and before[id_] != "kept"}
    assert found["lost"] == len(lost)
    assert found["gained"] <= len(gained) <= found["gained"] + found["unknown"]
    moved = compare_runs(str(config.parent / "run"), str(run))["documents"]
    assert (moved["gained"], moved["lost"]) == (len(gained), len(lost))
    by_sides = {(row["a"], row["b"]): row for row in moved["moved"]}
    assert sum(row["documents"] for row in by_sides.values()) == sum(before[id_] != after[id_] for id_ in before)
    assert all((before[id_], after[id_]) == pair for pair, row in by_sides.items() for id_ in row["ids"])


def test_the_thresholds_above_are_all_there_are_and_move_something(config: Path) -> None:
    import stages
    from stages.contract import settings_of

    known = {f"{name}.{one.name}" for entry in CHAIN for name in entry for one in settings_of(stages.stage_class(name))
             if one.filter}  # fmt: skip
    named = {re.sub(r"^stages\.\d\.", "", threshold.partition("=")[0]) for threshold in THRESHOLDS}
    assert known - named == {"perplexity.buckets"}, "which needs another threshold to say something"
    found = [what_if(str(config.parent / "run"), [threshold]) for threshold in THRESHOLDS]
    moved = [one["was_kept"] != one["kept"] or one["unknown"] > 0 for one in found]
    assert sum(moved) > len(moved) / 2


def test_stages_of_one_name_are_told_apart(config: Path) -> None:
    """Both must drop some, or nothing above would tell whether their documents are."""
    before = funnel(config.parent / "run")
    assert [set(row["dropped"]) for row in before if row["stage"] == "perplexity"] == [{"harmful"}, {"low_quality"}]
    with pytest.raises(ConfigError, match=r"found 2 stages 'perplexity'.*stages.2.perplexity.threshold or stages.3"):
        what_if(str(config.parent / "run"), ["perplexity.threshold=2"])
    found = what_if(str(config.parent / "run"), ["stages.3.perplexity.threshold=1600"])
    assert found["settings"] == [{"name": "stages.3.perplexity.threshold", "was": 3600.0, "is": 1600}]
    assert [place for place, row in enumerate(found["stages"]) if row["changed"]] == [3]


def test_the_way_of_each_document_ends_where_the_funnel_says(config: Path) -> None:
    run, expected = config.parent / "run", funnel(config.parent / "run")
    dropped = pq.read_table(run / "dropped", columns=["id", "dropped_by", "drop_reason"]).to_pylist()
    ends = Counter[int]()
    for id_ in (row["id"] for row in dropped if row["dropped_by"] == "perplexity"):
        fates = [stage["fate"] for stage in document_facts(str(run), id_, False)["stages"]]
        end = next(place for place, fate in enumerate(fates) if fate.startswith("dropped"))
        assert fates[:end] + fates[end + 1 :] == ["passed"] * end + ["not reached"] * (len(fates) - end - 1)
        ends[end] += 1
    assert ends == {place: sum(expected[place]["dropped"].values()) for place in (2, 3)}
    low = next(row["id"] for row in dropped if row["drop_reason"] == "low_quality")
    first, second = document_facts(str(run), low, False)["stages"][2:4]
    assert (first["thresholds"]["threshold"], second["thresholds"]["threshold"]) == (0.1, 3600.0)
    assert ("harmful_ppl" in first["found"], "quality_ppl" in second["found"]) == (True, True)


def test_a_choice_among_all_documents_is_said_to_be_another(config: Path, tmp_path: Path) -> None:
    shutil.copytree(config.parent / "run", tmp_path / "run")
    go(configured(tmp_path / "c.yaml", config.parent, tmp_path / "run", [*CHAIN, SELECT]))
    found = what_if(str(tmp_path / "run"), ["rating.min_overall_score=4"])
    (select,) = (row for row in found["stages"] if row["stage"] == "select")
    assert select["missing"] > 0
    assert "depends on all documents that reach it" in select["note"]
    assert found["as_before"] == ["select"]
    out = io.StringIO()
    show_what_if(Console(file=out, width=80), found)
    assert out.getvalue().rstrip().endswith("as long as select answer as in the run")
    for refused in ("select.tokens=9", "select.min_overall_score=4"):
        with pytest.raises(ConfigError, match="is no threshold: it changes the scores themselves"):
            what_if(str(tmp_path / "run"), [refused])


def test_runs_of_other_chains_are_compared(config: Path, tmp_path: Path) -> None:
    chain = [{"tokens": {"min_tokens": 130}}, {"language": {"keep": ["en", "fr"]}}]
    go(configured(tmp_path / "c.yaml", config.parent, tmp_path / "run", chain))
    found = compare_runs(str(config.parent / "run"), str(tmp_path / "run"))
    before, after = sides(config.parent / "run"), sides(tmp_path / "run")
    assert before.keys() == after.keys()
    assert found["documents"]["lost"] == sum(before[i] == "kept" != after[i] for i in before)
    only = {row["stage"]: (row["a"], row["b"]) for row in found["funnel"] if row["reason"] == "entered"}
    assert only["rating"][1] is None
    assert None not in only["tokens"]
    assert {row["name"] for row in found["settings"]} >= {"tokens.min_tokens", "rating.min_overall_score"}
    assert "rating" in compare_page(found)
