"""The report: pictures of the right shape, warnings where they are due, facts that merge, pages of bounded size."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.aggregates import OTHER, rounded
from pipeline.hiding import is_hidden
from pipeline.perplexity_facts import Scores, add_scores, limits_of, perplexity_facts
from pipeline.report import read_facts, rewrite_html
from pipeline.report_charts import HEIGHT, histogram, pair_histogram, score_histogram
from pipeline.report_page import percent, render
from pipeline.report_pages import chosen_places, shard_page, write_pages
from pipeline.report_shards import FIRST
from pipeline.report_summary import losses
from pipeline.report_warnings import warnings_of
from pipeline.storage import Store
from stages.perplexity import Perplexity
from tests.looks import EVIL, HARMFUL_TEXT, looked_at

NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False).filter(lambda value: value == 0 or abs(value) > 1e-6)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return looked_at(tmp_path_factory.mktemp("looks"))


def counts_of(values: list[float]) -> dict[str, int]:
    keys = [f"{value:.2g}" for value in rounded(np.array(values, dtype=np.float64))]
    return {key: keys.count(key) for key in keys}


def tops(path: str) -> list[float]:
    """The height of each bar, from its path."""
    return [HEIGHT - float(top) for top in re.findall(r"V([\d.]+)H", path)]


@settings(deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=60))
def test_a_histogram_shows_every_document(values: list[float]) -> None:
    found = histogram(counts_of(values), counts_of(values[:1]))
    assert found is not None
    assert (found.documents, found.kept_documents) == (len(values), 1)
    heights = tops(found.all)
    assert max(heights) == HEIGHT
    assert len(heights) <= 40
    assert sum(height > 0 for height in tops(found.kept)) == 1


def test_rounding_leaves_no_combs() -> None:
    evenly = counts_of([float(value) for value in range(100, 1000)])
    found = histogram(evenly, {})
    assert found is not None
    heights = tops(found.all)[1:-1]
    assert min(heights) > 0.6 * max(heights)


def test_whole_numbers_have_bars_of_their_own() -> None:
    found = histogram({"1": 5, "2": 3, "5": 1}, {"1": 5})
    assert found is not None
    assert found.ticks == ["1", "2", "3", "4", "5"]
    assert tops(found.all) == [100.0, 60.0, 0.0, 0.0, 20.0]
    assert histogram({OTHER: 3}, {}) is None


def test_shares_make_runs_of_other_sizes_alike() -> None:
    small, large = {"1": 1, "2": 3}, {"1": 1000, "2": 3000}
    found = pair_histogram(small, large)
    assert found is not None
    assert found.all == found.kept
    assert pair_histogram(small, {}) is None


def test_thresholds_are_marked_where_they_are() -> None:
    found = score_histogram({"0": 10, "19": 10}, {}, 0.05, False, {"threshold": 0.5})
    assert [mark["left"] for mark in found.marks] == [pytest.approx(50)]
    beyond = score_histogram({"0": 1}, {}, 0.05, False, {"threshold": 2.0})
    assert 0 <= beyond.marks[0]["left"] <= 100
    assert score_histogram({"40": 1}, {}, 0.05, True, {"head": 100.0}).marks[0]["label"] == "head 100"


def table(ratios: list[float | None]) -> pa.Table:
    models = pa.array(["en" if place % 2 else "de" for place in range(len(ratios))])
    return pa.table({"harmful_ratio": pa.array(ratios, pa.float32()), "harmful_model": models})


@settings(deadline=None)
@given(st.lists(st.none() | st.floats(-30, 30, width=32), min_size=2, max_size=30))
def test_scores_of_shards_merge_to_those_of_all(ratios: list[float | None]) -> None:
    alive = np.arange(len(ratios)) % 3 > 0
    whole = perplexity_facts(table(ratios), [Perplexity()], alive)
    half = len(ratios) // 2 // 2 * 2
    summed: Scores = {}
    for part in (slice(half, None), slice(None, half)):
        add_scores(summed, perplexity_facts(table(ratios[part]), [Perplexity()], alive[part]))
    assert summed == whole
    counts = [row for rows in whole["harmful_ratio"].values() for row in rows.values()]
    assert sum(entered for entered, _ in counts) == sum(value is not None for value in ratios)
    assert sum(kept for _, kept in counts) == sum(
        value is not None and bool(alive[place]) for place, value in enumerate(ratios)
    )


def test_limits_come_from_the_settings_or_the_card() -> None:
    assert limits_of(Perplexity(threshold=0.25), "en") == {"threshold": 0.25}
    assert limits_of(Perplexity(), "en")["threshold"] > 0
    assert limits_of(Perplexity(), "tlh") == {}


def facts(**others: Any) -> dict[str, Any]:
    return {"ledger": {"read": 1000, "kept": 500, "quarantined": {}}, **others}


def stage(name: str, entered: int, **dropped: int) -> dict[str, Any]:
    return {
        "stage": name,
        "entered": entered,
        "kept": entered - sum(dropped.values()),
        "dropped": dropped,
        "quarantined": {},
    }


@pytest.mark.parametrize(
    ("found", "title"),
    [
        ({"funnel": [stage("language", 100, low_score=95)]}, "language dropped nearly everything"),
        ({"funnel": [stage("language", 100)]}, "language dropped nothing"),
        ({"sources": {"web": {"read": 9, "kept": 0}}}, "Nothing is left of 1 sources"),
        ({"surveys": {"select": {"notes": ["SHORTFALL: 9 tokens"], "columns": [], "rows": []}}}, "select ran out"),
        ({"statuses": {"rating_status": {"ok": 1, "invalid": 9}}}, "rating_status: most documents passed unjudged"),
        ({"rating": {"one_axis": True, "first_component": 0.9, "rows": {}}}, "The criteria collapse onto one axis"),
        ({"rating": {"one_axis": False, "rows": {"accuracy": [{"percent": [0, 99.5]}]}}}, "1 criteria hardly vary"),
        ({"mixture": {"groups": [{"name": "web", "runs_out": 70}]}}, "The group web runs out"),
        ({"mixture": {"groups": [{"name": name, "runs_out": 7} for name in "ab"]}}, "2 groups run out"),
    ],
)  # fmt: skip
def test_what_is_unusual_is_said(found: dict[str, Any], title: str) -> None:
    assert [warned.title for warned in warnings_of(facts(**found))] == [title]


def test_the_first_screen_says_why_documents_went_and_how_good_the_others_are(run: Path) -> None:
    found = read_facts(Store(str(run)))
    scores = {"rating_overall_score": {"1": 1, "5": 3}}
    page = render(found | {"columns_all": scores, "columns_kept": {"rating_overall_score": {"5": 3}}})
    screen = page.split('id="funnel"')[0]
    assert re.findall(r"lengths: (\w+)", screen) == ["short"]
    assert "perplexity: harmful" in screen
    assert re.findall(r'"n strong">([\d.]+)<', screen) == ["4.00", "5.00"]


def test_all_that_was_dropped_is_counted_once_however_many_reasons_there_are() -> None:
    steps = [stage(f"stage-{number}", 100, a=number, b=2) for number in range(9)]
    for most in (1, 5, 100):
        lost = losses(steps, most)
        assert sum(found.documents for found in lost) == sum(sum(step["dropped"].values()) for step in steps)
        assert len(lost) <= most + 1


def test_what_is_usual_is_not() -> None:
    usual = [stage("language", 100, low_score=5), stage("embed", 95)]
    assert warnings_of(facts(funnel=usual, statuses={"rating_status": {"ok": 9, "invalid": 1}})) == []


@pytest.mark.parametrize(("first", "second", "warned"), [(0, 9, 1), (9, 0, 1), (9, 9, 2), (0, 0, 0)])
def test_a_threshold_counts_for_the_stage_at_its_place(first: int, second: int, warned: int) -> None:
    chain = [{"tokens": {"min_tokens": least, "max_tokens": 0}} for least in (first, second)]
    found = facts(funnel=[stage("tokens", 100), stage("tokens", 100)], config={"stages": chain})
    assert len(warnings_of(found)) == warned


def test_the_work_of_stages_of_one_name_is_shown_once(run: Path) -> None:
    found = read_facts(Store(str(run)))
    (again,) = (counts for counts in found["funnel"] if counts["stage"] == "lengths")
    page = render(found | {"funnel": [*found["funnel"], again], "stage_seconds": {"lengths": 7.0, "perplexity": 3.0}})
    work = page.split("Work by stage</h3>")[1].split("</table>")[0]
    assert re.findall(r'<th scope="row">(\w+)<', work) == ["lengths", "perplexity"]


def test_skewed_and_cut_buckets_are_named() -> None:
    columns = ["group", "documents", "without vector", "buckets", "smallest", "largest", "cut by hash"]
    order = {"notes": [], "columns": columns, "rows": [["web", 1000, 0, 20, 5, 900, 0], ["a", 100, 0, 1, 100, 100, 1]]}
    titles = [warned.title for warned in warnings_of(facts(surveys={"order": order}))]
    assert titles == ["A bucket of web is skewed", "Buckets were cut by a hash"]


def many_shards(run: Path, count: int) -> dict[str, Any]:
    """The facts of a run, as if it had that many shards."""
    found = read_facts(Store(str(run)))
    part, more = found["parts"][0], found["part_facts"][0]
    parts = [part | {"name": f"data/part-{place:05d}.parquet", "rows": place} for place in range(count)]
    return found | {"parts": parts, "part_facts": [more] * count}


@pytest.mark.parametrize("count", [10_000, 100_000])
def test_a_report_stays_small_however_many_shards_there_are(run: Path, count: int) -> None:
    assert len(render(many_shards(run, count))) < 4_000_000


def listed(page: str) -> Any:
    """The rows that a page's script shows."""
    (found,) = re.findall(r'<script type="application/json" id="shard-data">(.*?)</script>', page)
    return json.loads(found)


def test_every_shard_is_in_the_page(run: Path) -> None:
    facts = many_shards(run, 1000)
    facts["parts"][500]["name"] = "</script><b>"
    page = render(facts | {"pages": ["part-00007.html"]})
    assert [row[:2] for row in listed(page)["rows"]] == [[part["name"], part["rows"]] for part in facts["parts"]]
    assert listed(page)["rows"][9][2:] == [
        facts["part_facts"][9]["tokens"],
        *(facts["parts"][9][key] for key in ("text_bytes", "size")),
        facts["part_facts"][9]["dropped"],
        facts["part_facts"][9]["seconds"],
        facts["parts"][9]["xxh3"],
    ]
    assert listed(page)["pages"] == ["part-00007.html"]
    assert page.count('<th scope="row">data/part-') == FIRST - 1
    assert page.count("part-00999") == 1


def test_few_shards_need_no_script(run: Path) -> None:
    page = render(many_shards(run, FIRST))
    assert "<script" not in page
    assert "script-src" not in page
    assert page.count("data/part-") == FIRST


def test_of_too_many_shards_some_are_in_the_page(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.report_shards.MOST", 300)
    page = render(many_shards(run, 1000))
    rows = listed(page)["rows"]
    assert (len(rows), rows[0][1], rows[-1][1]) == (300, 0, 999)
    assert "300 of 1,000 shards, at equal distances" in page


def test_pages_of_shards_are_bounded_and_linked(run: Path) -> None:
    store = Store(str(run))
    assert write_pages(store, read_facts(store)) == ["part-00000.html"]
    assert 'href="shards/part-00000.html"' in Path(rewrite_html(store)).read_text()
    page = (run / "shards/part-00000.html").read_text()
    assert len(page) < 200_000
    assert HARMFUL_TEXT not in page
    assert EVIL not in page
    assert chosen_places(100_000, 32)[-1] == 99_999
    assert chosen_places(0, 32) == []


def test_every_warning_leads_to_a_section(run: Path) -> None:
    page = (run / "report.html").read_text()
    links = set(re.findall(r'href="#([^"]+)"', page))
    assert links <= set(re.findall(r'id="([^"]+)"', page))


def test_facts_of_an_older_version_are_shown(run: Path) -> None:
    found = json.loads((run / "report.json").read_text())
    newer = {"scores", "tokens", "bytes_read", "stage_columns", "stage_seconds", "part_facts"}
    assert "Funnel" in render({key: value for key, value in found.items() if key not in newer})


def test_a_time_is_broken_between_its_parts_alone(run: Path) -> None:
    facts = read_facts(Store(str(run))) | {"seconds": {"total": 683.0}}
    assert "<dd>11\u00a0min 23\u00a0s<small>" in render(facts)


def test_a_page_of_a_shard_has_its_tokens_and_time(run: Path) -> None:
    store = Store(str(run))
    facts = read_facts(store) | {"part_facts": [{"tokens": 1_234_567, "seconds": 2.5, "dropped": 1}]}
    page = shard_page(store, facts, 0)
    assert "<dd>1,234,567</dd>" in page and "<dd>2.5 s</dd>" in page
    assert "written in" not in shard_page(store, facts | {"part_facts": []}, 0)


def test_only_a_harm_filter_hides() -> None:
    assert is_hidden("perplexity", "harmful")
    assert not is_hidden("perplexity", "too_short")
    assert not is_hidden(None, None)


@settings(deadline=None)
@given(st.floats(0, 1))
def test_a_share_is_never_said_to_be_nothing_or_all(value: float) -> None:
    assert (percent(value) == "0%") == (value == 0)
    assert (percent(value) == "100%") == (value == 1)
