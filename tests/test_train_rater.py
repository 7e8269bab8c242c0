"""Training of a student from labels and from graded damage, on invented text; measures against counts by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.training.agreement import confusion, criterion_figures, domain_figures, macro_f1, reliability, spearman
from pipeline.training.rater_job import train
from pipeline.training.rater_settings import RaterTraining
from pipeline.training.rater_tables import odds_table, pair_table
from stages.errors import ConfigError, InputError, NothingRead
from stages.rating import Rating
from stages.rating_protocol import CRITERIA
from stages.rating_student import open_rater
from stages.rating_tokens import VOCABULARY
from tests.runs import tamis, write_jsonl
from tests.test_damage import NOUNS, TEXT

OVERALL = CRITERIA.index("overall_score")


def rows(count: int) -> list[dict[str, object]]:
    """Tales rated 5 and price lists rated 1, some not rated at all."""
    made: list[dict[str, object]] = []
    for i in range(count):
        noun, other = NOUNS[i % 14], NOUNS[i * 5 % 13]
        good = f"In the year {1700 + i} the {noun} went to the {other}. It was cold, and nobody had slept. They sang."
        bad = f"{noun} ${i}.99 BUY NOW\n{other} ${i}.50 ADD TO CART\n{noun} SALE SALE SALE"
        labels = {
            "rating_overall_score": 5 if i % 2 else 1,
            "rating_accuracy": 4,
            "domain": "culture" if i % 2 else None,
        }
        more = labels if i % 10 else {"rating_overall_score": 9}
        made.append({"text": good if i % 2 else bad, "source": f"s{i % 3}", "rater": "teacher-1", **more})
    return made


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "labelled.jsonl", rows(80))


def test_labels_of_a_teacher_become_a_student(labelled: Path, tmp_path: Path) -> None:
    done = train(RaterTraining((str(labelled),), tmp_path / "mine", name="mine-1"))
    assert done.card.teacher == "teacher-1"
    assert {name for name, kind in done.card.criteria.items() if kind == "trained"} == {"accuracy", "overall_score"}
    assert done.card.domains == ("culture",)
    assert sum(done.card.documents.values()) == 72
    figures = done.figures["criteria"]["overall_score"]
    assert figures["exact"] > 0.9
    assert done.figures["split"]["held_out"] == sum(map(sum, figures["confusion"]))
    ratings = open_rater(Rating(model=str(tmp_path / "mine"))).rate([str(row["text"]) for row in rows(4)])
    assert ratings.scores[:, OVERALL].tolist() == [1, 5, 1, 5]
    assert not ratings.scores[:, CRITERIA.index("creativity")].any()
    report = json.loads((tmp_path / "mine/report.json").read_text())
    assert report == done.figures
    page = (tmp_path / "mine/report.html").read_text()
    assert "mine-1" in page
    assert "went to the" not in page
    assert "://" not in page


def test_the_same_input_gives_the_same_bytes(labelled: Path, tmp_path: Path) -> None:
    for name in ("a/x", "b/x"):
        train(RaterTraining((str(labelled),), tmp_path / name))
    files = ["student.safetensors", "student.json", "report.json", "report.html"]
    assert [(tmp_path / "a/x" / f).read_bytes() for f in files] == [(tmp_path / "b/x" / f).read_bytes() for f in files]


def test_clean_text_becomes_a_student_by_damage(tmp_path: Path) -> None:
    clean = [{"text": TEXT.replace("miller", noun), "source": "tales", "n": i} for i, noun in enumerate(NOUNS)]
    path = write_jsonl(tmp_path / "clean.jsonl", clean)
    options = ["--input", str(path), "--output", str(tmp_path / "own"), "--damage", "--group", "n"]
    done = tamis("train", "rater", *options)
    assert done.returncode == 0, done.stderr
    assert "11 criteria trained, 2 proxies, 1 not rated" in done.stdout
    card = json.loads((tmp_path / "own/student.json").read_text())
    assert card["criteria"]["sensitivity"] == "null"
    assert card["teacher"] == "graded damage"
    assert card["command"].startswith("tamis train rater --input")


def test_mistakes_are_explained(labelled: Path, tmp_path: Path) -> None:
    one = (str(labelled),)
    with pytest.raises(ConfigError, match=r"--held-out: found 0\.9, expected"):
        RaterTraining(one, tmp_path / "x", held_out=0.9)
    with pytest.raises(ConfigError, match=r"--output: .* found a file"):
        RaterTraining(one, labelled)
    with pytest.raises(InputError, match="found 0 examples in 8 documents, expected 20 or more"):
        train(RaterTraining(one, tmp_path / "x", where=("rating_overall_score=9",)))
    with pytest.raises(InputError, match="found 1 rater to split by, expected 2 or more"):
        train(RaterTraining(one, tmp_path / "x", group="rater"))
    with pytest.raises(NothingRead, match="found no document"):
        train(RaterTraining(one, tmp_path / "x", where=("source=nowhere",)))


def test_groups_are_never_split(labelled: Path, tmp_path: Path) -> None:
    done = train(RaterTraining((str(labelled),), tmp_path / "x", by_source=True))
    assert done.figures["split"]["by"] == "source"
    assert done.figures["split"]["held_out"] in (24, 23, 25)


def test_measures_are_those_counted_by_hand() -> None:
    labels, scores = np.array([1.0, 1, 2, 5]), np.array([1, 2, 2, 4])
    found = criterion_figures(labels, scores, np.array([1.2, 1.6, 2.0, 4.4]))
    assert found["exact"] == 0.5
    assert found["within_one"] == 1.0
    assert found["always_the_commonest"] == 0.5
    assert found["mean_error"] == pytest.approx((0.2 + 0.6 + 0 + 0.6) / 4)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 0 + 0) / 4, abs=1e-4)
    assert found["confusion"][0] == [1, 1, 0, 0, 0]
    assert macro_f1(confusion(np.array([1, 2]), np.array([1, 2]))) == 1.0
    assert spearman([1, 1], [1, 2]) is None
    assert spearman([1, 2, 2], [3, 4, 4]) == pytest.approx(1)
    assert reliability(np.array([1.0, 3.0]), np.array([1.9, 2.1])) == [{"expected": 2.0, "label": 2.0, "documents": 2}]
    assert domain_figures(np.array([0, 1]), np.array([0, 0]), ("a", "b"))["exact"] == 0.5


def test_tables_count_pairs_and_odds() -> None:
    row = np.array([5, 7, 5, 7, 5], np.int32)
    keys, strength = pair_table([row], np.bincount(row, minlength=VOCABULARY))
    assert keys.tolist() == [5 * VOCABULARY + 7, 7 * VOCABULARY + 5]
    expected = np.log(2 / (3 * 2 / 5)) / 0.1
    assert strength.tolist() == [round(expected)] * 2
    odds = odds_table(np.array([10, 0, 0]), np.array([0, 10, 0]))
    assert odds.tolist() == [round(float(np.log(13 / 3)) * 10), -round(float(np.log(13 / 3)) * 10), 0]
