import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.rating_agreement import agreement
from stages.errors import InputError
from stages.rating_protocol import CRITERIA
from stages.ratings import Ratings
from tests.runs import tamis, write_jsonl

SCORES = [1, 2, 3, 4, 5, 5, 0]
DOMAINS = ["law", "law", "other", "coding", None, "other", None]


def rated(path: Path) -> Path:
    ratings = Ratings.none(len(SCORES), "ok")
    ratings.scores[:, CRITERIA.index("overall_score")] = SCORES
    ratings.domains = list(DOMAINS)
    table = pa.Table.from_batches([ratings.as_batch("test-1")])
    table = table.append_column("id", pa.array([f"d{row}" for row in range(len(SCORES))]))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def labelled(path: Path, **changes: object) -> Path:
    rows = [
        {"id": f"d{row}", "rating_overall_score": score, "domain": "law"} for row, score in enumerate([1, 2, 4, 4, 1])
    ]
    return write_jsonl(path, [{**row, **changes} for row in rows])


def test_agreement_is_counted_where_both_sides_rate(tmp_path: Path) -> None:
    found = agreement(str(rated(tmp_path / "r.parquet")), str(labelled(tmp_path / "l.jsonl")))
    overall = found["criteria"]["overall_score"]
    assert (overall["documents"], overall["exact"], overall["within_one"]) == (5, 0.6, 0.8)
    assert overall["mean_error"] == pytest.approx((0 + 0 + 1 + 0 + 4) / 5)
    assert (found["domain"]["documents"], found["domain"]["exact"]) == (4, 0.5)
    assert set(found["criteria"]) == {"overall_score"}


def test_a_run_is_read_with_what_it_dropped(tmp_path: Path) -> None:
    for kind in ("data", "dropped"):
        rated(tmp_path / "run[1]" / kind / "part-00000.parquet")
    found = agreement(str(tmp_path / "run[1]"), str(labelled(tmp_path / "l.jsonl")))
    assert found["criteria"]["overall_score"]["documents"] == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rating_overall_score": 7}, "other values than the whole numbers 1 to 5"),
        ({"id": "nobody"}, "share no document"),
    ],
)
def test_labels_that_cannot_be_used_are_explained(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        agreement(str(rated(tmp_path / "r.parquet")), str(labelled(tmp_path / "l.jsonl", **changes)))


def test_files_that_are_not_what_they_should_be(tmp_path: Path) -> None:
    good, labels = rated(tmp_path / "r.parquet"), labelled(tmp_path / "l.jsonl")
    with pytest.raises(InputError, match="no columns id and rating_status"):
        agreement(str(labels), str(labels))
    with pytest.raises(InputError, match="expected the columns id and one of"):
        agreement(str(good), str(write_jsonl(tmp_path / "x.jsonl", [{"id": "d1", "quality": 3}])))
    with pytest.raises(InputError, match=r"expected a file that ends in"):
        agreement(str(good), str(tmp_path / "labels.txt"))
    with pytest.raises(InputError, match="found no data/"):
        agreement(str(tmp_path), str(labels))


def test_the_command_prints_a_table_and_json(tmp_path: Path) -> None:
    good, labels = rated(tmp_path / "r.parquet"), labelled(tmp_path / "it's.jsonl")
    done = tamis("agreement", good, "--labels", labels)
    assert "overall_score" in done.stdout, done.stderr
    facts = json.loads(tamis("agreement", good, "--labels", labels, "--json").stdout)
    assert facts["criteria"]["overall_score"]["confusion"][0][0] == 1
