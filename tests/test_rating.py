"""The stage `rating`: its settings, its columns, its decisions; the raters have files of their own."""

import numpy as np
import pyarrow as pa
import pytest

from stages.errors import ConfigError
from stages.rating import Rating
from stages.rating_protocol import CRITERIA
from stages.ratings import SCHEMA, Ratings


def annotations(overall: list[int], status: list[str], domains: list[str | None]) -> pa.RecordBatch:
    ratings = Ratings.none(len(overall))
    ratings.scores[:, CRITERIA.index("overall_score")] = overall
    ratings.status = status
    ratings.domains = domains
    return ratings.as_batch("test-1")


ROWS = annotations([5, 2, 0, 0, 1], ["ok", "ok", "invalid", "empty", "ok"], ["law", "coding", None, None, "other"])


@pytest.mark.parametrize(
    ("settings", "reasons"),
    [
        ({}, [None] * 5),
        ({"min_overall_score": 2}, [None, None, None, None, "low_overall_score"]),
        ({"unrated": "drop"}, [None, None, "unrated", "unrated", None]),
        ({"domains": ("law", "other")}, [None, "domain", None, None, None]),
        (
            {"domains": ("law",), "min_overall_score": 3, "unrated": "drop"},
            [None, "low_overall_score", "unrated", "unrated", "low_overall_score"],
        ),
    ],
)
def test_each_reason_has_its_documents(settings: dict[str, object], reasons: list[str | None]) -> None:
    assert Rating(**settings).decide(ROWS).to_pylist() == reasons  # type: ignore[arg-type]


def test_no_rating_is_ever_imputed() -> None:
    row = Ratings.none(1).as_batch("test-1").to_pylist()[0]
    assert row.pop("rating_status") == "empty"
    assert row.pop("rater") == "test-1"
    assert set(row.values()) == {None}


def test_the_columns_are_typed_as_promised() -> None:
    for name in CRITERIA:
        assert SCHEMA.field(f"rating_{name}").type == pa.int8()
        assert SCHEMA.field(f"rating_{name}_mean").type == pa.float32()
    assert ROWS.schema.equals(SCHEMA)


def test_zero_nan_and_minus_one_are_null() -> None:
    ratings = Ratings.none(2, "ok")
    ratings.scores[0], ratings.means[0], ratings.tokens[0] = 3, 3.25, (7, 29)
    ratings.confidence = np.array([0.5, np.nan], np.float32)
    rows = ratings.as_batch("t").to_pylist()
    assert (rows[0]["rating_accuracy"], rows[0]["rating_accuracy_mean"]) == (3, 3.25)
    assert (rows[0]["rating_prompt_tokens"], rows[0]["rating_answer_tokens"]) == (7, 29)
    assert (rows[0]["rating_confidence"], rows[1]["rating_confidence"]) == (0.5, None)
    assert rows[1]["rating_accuracy"] is rows[1]["rating_prompt_tokens"] is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rater": "studnet"}, "rating.rater: found 'studnet', expected one of student, llm, served"),
        ({"mode": "scores"}, "rating.mode"),
        ({"language": "de"}, "rating.language: found 'de', expected one of en, zh"),
        ({"device": "gpu"}, "rating.device"),
        ({"dtype": "float16"}, "rating.dtype"),
        ({"api": "responses"}, "rating.api"),
        ({"min_overall_score": 6}, "rating.min_overall_score: found 6, expected 0 to 5"),
        ({"domains": ("laws",)}, "rating.domains: found 'laws'"),
        ({"concurrency": 0}, "rating.concurrency: found 0, expected more than 0"),
        ({"retries": -1}, "rating.retries"),
        ({"retries": 101}, "rating.retries: found 101, expected 0 to 100"),
        ({"timeout_s": float("nan")}, "rating.timeout_s: found nan"),
        ({"timeout_s": float("inf")}, "rating.timeout_s: found inf"),
        ({"prompt_price": float("inf")}, "rating.prompt_price: found inf"),
        ({"unrated": "maybe"}, "rating.unrated"),
        ({"mode": "score"}, "rating.mode: found 'score', but the rater student always gives all: leave mode out"),
        ({"rater": "llm", "mode": "domain", "min_overall_score": 3}, "gives no score: set rating.mode to all or score"),
        ({"rater": "llm", "mode": "score", "domains": ("law",)}, "gives no domain: set rating.mode to all or domain"),
    ],
)
def test_a_setting_that_cannot_be_used_is_explained(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Rating(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("rater", ["student", "llm", "served"])
@pytest.mark.parametrize("url", ["http://user:hidden@host/v1", "http://host/v1?key=hidden"])
def test_no_rater_takes_a_password_that_would_be_written_down(rater: str, url: str) -> None:
    with pytest.raises(ConfigError, match="found a user, a password or a query") as error:
        Rating(rater=rater, url=url)
    assert "hidden" not in str(error.value)


def test_thresholds_are_marked_as_such() -> None:
    from stages.contract import values_of

    assert set(values_of(Rating(), filter=True)) == {"min_overall_score", "domains", "unrated"}


PROSE = "The keeper of the lighthouse counted the boats again before the storm closed the harbour for the night. " * 5


def test_the_student_leaves_other_languages_unrated() -> None:
    columns = {"text": [PROSE, PROSE, "", PROSE], "lang": ["en", "de", "en", None]}
    batch = pa.RecordBatch.from_pydict(columns)
    found = Rating().open()(batch).to_pylist()
    assert [row["rating_status"] for row in found] == ["ok", "other_language", "empty", "other_language"]
    assert found[1]["rating_overall_score"] is found[1]["domain"] is None
    alone = Rating(languages="all")
    assert (Rating().reads, alone.reads) == (("text", "lang"), ("text",))
    everything = alone.open()(batch.select(["text"])).to_pylist()
    assert [row["rating_status"] for row in everything] == ["ok", "ok", "empty", "ok"]
    assert everything[0] == found[0]


def test_the_report_says_what_the_student_is() -> None:
    assert "Proxies, which nothing trained: knowledge_novelty" in Rating().notes
    assert Rating(rater="served").notes == ""
