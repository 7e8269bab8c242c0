"""The language stage: columns, decisions, settings, model errors, and accuracy where the data for it is present."""

import dataclasses
import itertools
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.contract import Annotate
from stages.contract_checks import checked
from stages.errors import ConfigError
from stages.language import Language, second_shares
from stages.model_files import LID_176

DATA = Path(os.environ.get("TAMIS_DATA", str(Path(__file__).parents[2] / "shared" / "data"))) / "language"

needs_model = pytest.mark.skipif(not LID_176.path.is_file(), reason="no language model: run jobs/fetch_models.py")

ENGLISH = "The old mill by the river grinds wheat for the whole village, and its wheel has turned for two centuries."
FRENCH = "Le vieux moulin près de la rivière moud le blé de tout le village, et sa roue tourne depuis deux siècles."
GERMAN = "Die alte Mühle am Fluss mahlt den Weizen für das ganze Dorf, und ihr Rad dreht sich seit zwei Jahrhunderten."
MIXED = "\n".join([ENGLISH, ENGLISH, FRENCH, FRENCH])


def batch_of(texts: Sequence[str | None]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, pa.string())})


def rows_of(texts: Sequence[str | None], **values: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = Language(**values).open()(batch_of(texts)).to_pylist()
    return rows


def reasons_of(texts: Sequence[str], **values: Any) -> list[str | None]:
    stage = Language(**values)
    reasons: list[str | None] = stage.decide(stage.open()(batch_of(texts))).to_pylist()
    return reasons


@needs_model
@pytest.mark.parametrize("members", [("fasttext",), ("cld2",), ("fasttext", "cld2")])
def test_each_choice_of_members_names_the_language(members: tuple[str, ...]) -> None:
    rows = rows_of([ENGLISH, FRENCH.upper(), GERMAN], members=members)
    assert [row["lang"] for row in rows] == ["en", "fr", "de"]
    assert all(row["lang_score"] > 0.7 for row in rows)


@needs_model
def test_text_without_language_is_undetermined_and_not_asked_about() -> None:
    rows = rows_of(["", None, "12 345.67 (89)", "\n\t \r\n", "😀🎉🎉", "+" * 50 + "a"])
    assert [(row["lang"], row["lang_score"], row["lang_mix"]) for row in rows] == [("und", 0.0, None)] * 6


@needs_model
def test_shares_of_a_document_of_several_lines_are_sorted_and_sum_to_one() -> None:
    (row,) = rows_of(["\n".join([ENGLISH] * 3 + [FRENCH])])
    assert [part["lang"] for part in row["lang_mix"]] == ["en", "fr"]
    assert [part["share"] for part in row["lang_mix"]] == pytest.approx([0.75, 0.25], abs=0.2)
    assert sum(part["share"] for part in row["lang_mix"]) == pytest.approx(1)


@needs_model
@pytest.mark.parametrize("members", [("fasttext",), ("cld2",)])
def test_a_single_member_finds_the_shares_too(members: tuple[str, ...]) -> None:
    (row,) = rows_of([MIXED], members=members)
    assert {part["lang"] for part in row["lang_mix"]} == {"en", "fr"}


@needs_model
def test_a_document_of_one_line_has_no_shares() -> None:
    assert [row["lang_mix"] for row in rows_of([ENGLISH, f"\n{FRENCH}\n\n"])] == [None, None]


@needs_model
def test_the_column_of_shares_is_optional() -> None:
    stage = Language(mix=False)
    assert "lang_mix" not in stage.adds.names
    assert stage.open()(batch_of([MIXED])).schema.equals(stage.adds)


@needs_model
def test_the_prefix_bounds_what_is_asked_about() -> None:
    text = ENGLISH + " " + " ".join([FRENCH] * 5)
    assert [rows_of([text], prefix=n)[0]["lang"] for n in (len(ENGLISH), 0)] == ["en", "fr"]


@needs_model
def test_blank_space_before_the_text_does_not_use_up_the_prefix() -> None:
    assert rows_of(["\n" * 5000 + ENGLISH])[0]["lang"] == "en"


CHINESE_TRADITIONAL = "這座古老的磨坊位於河邊，為整個村莊磨麥，它的水輪已經轉動了兩個世紀，孩子們很喜歡到這裡來玩。"

REASONS = [
    ("no_language", "12 345 678", {}),
    ("too_short", "Hello there", {"short": "drop"}),
    ("not_kept", FRENCH, {"keep": ("en", "de")}),
    ("low_score", ENGLISH, {"min_score": 1.0}),
    ("mixed", MIXED, {"mixed": "drop"}),
]


@needs_model
@pytest.mark.parametrize(("reason", "text", "values"), REASONS)
def test_each_reason_has_a_text_that_triggers_it_alone(reason: str, text: str, values: dict[str, Any]) -> None:
    assert reasons_of([text], **values) == [reason]
    off: dict[str, Any] = {"no_language": "keep"}
    assert reasons_of([text], **off) == [None]


@needs_model
def test_reasons_have_a_fixed_order() -> None:
    strict: dict[str, Any] = {
        "short": "drop", "keep": ("de",), "min_score": 1.0, "mixed": "drop", "min_letters": 20
    }  # fmt: skip
    assert reasons_of(["1", "Bonjour", MIXED], **strict) == ["no_language", "too_short", "not_kept"]
    assert reasons_of([MIXED], **strict | {"keep": ()}) == ["low_score"]


@needs_model
def test_text_without_language_can_be_kept_whatever_the_other_thresholds_say() -> None:
    assert reasons_of(["1234"], no_language="keep", keep=("en",), min_score=0.9) == [None]


@needs_model
def test_a_language_keeps_its_scripts_and_a_script_only_itself() -> None:
    assert rows_of([CHINESE_TRADITIONAL])[0]["lang"] == "zh-Hant"
    kept = [reasons_of([CHINESE_TRADITIONAL], keep=(code,))[0] for code in ("zh", "zho", "zh-Hant", "zh-Hans")]
    assert kept == [None, None, None, "not_kept"]


def test_decisions_work_on_slices_and_on_no_rows() -> None:
    stage = Language(mixed="drop")
    parts = [[("en", 0.6), ("fr", 0.4)], None, [("de", 1.0)], [("en", 0.7), ("fr", 0.3)]]
    columns = [["en", "fr", "de", "en"], [0.9] * 4, [60] * 4, parts]
    batch = pa.RecordBatch.from_arrays(
        [pa.array(c, f.type) for c, f in zip(columns, stage.adds, strict=True)], schema=stage.adds
    )
    assert stage.decide(batch).to_pylist() == ["mixed", None, None, "mixed"]
    assert stage.decide(batch.slice(2)).to_pylist() == [None, "mixed"]
    assert stage.decide(batch.slice(0, 0)).to_pylist() == []
    assert stage.decide(batch).type == pa.string()
    assert second_shares(batch.column("lang_mix")).to_pylist() == pytest.approx([0.4, 0, 0, 0.3])


def test_thresholds_are_marked_as_filters_and_the_rest_is_not() -> None:
    filters = {f.name for f in dataclasses.fields(Language) if f.metadata["filter"]}
    assert filters == {"keep", "min_score", "no_language", "short", "min_letters", "mixed", "mixed_share"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"members": ()}, r"language\.members: found \[\]"),
        ({"members": ("cld3",)}, r"language\.members: found \['cld3'\], expected fasttext, cld2 or both"),
        ({"members": ("cld2", "cld2")}, r"language\.members"),
        ({"members": ("cld2",), "model": "own.bin"}, r"language\.model: found a fastText model"),
        ({"prefix": -1}, r"language\.prefix: found -1"),
        ({"min_score": 1.5}, r"language\.min_score: found 1\.5, expected 0 to 1"),
        ({"min_letters": 1000}, r"language\.min_letters: found 1000"),
        ({"mixed_share": 0.9}, r"language\.mixed_share: found 0\.9"),
        ({"mixed": "no"}, r"language\.mixed: found 'no', expected keep or drop"),
        ({"short": "yes"}, r"language\.short"),
        ({"no_language": ""}, r"language\.no_language"),
        ({"mixed": "drop", "mix": False}, r"language\.mixed: found drop with mix: false"),
        ({"keep": ("english",)}, r"language\.keep: found 'english' \(did you mean 'en'\?\)"),
        ({"keep": ("en", "qx9")}, r"language\.keep: found 'qx9', expected ISO 639 codes"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_found_and_expected(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Language(**values)


@pytest.fixture(scope="module")
def opened() -> tuple[Language, Annotate]:
    stage = Language()
    return stage, stage.open()


ANY_TEXT = st.one_of(
    st.text(max_size=300),
    st.text(st.characters(categories=["Cc", "Zs", "Zl", "Zp", "Cf", "Cn", "Co"]), max_size=100),
    st.text(" \n\t\x00\ufffe\U0001ffff", max_size=3000),
    st.lists(st.sampled_from([ENGLISH, FRENCH, "好的", "1", "\x00", "", "a"]), max_size=30).map("\n".join),
)


@needs_model
@settings(deadline=None, max_examples=60)
@given(texts=st.lists(st.one_of(st.none(), ANY_TEXT), max_size=6), cut=st.integers(0, 6))
def test_any_text_gives_one_row_whatever_the_batches(
    opened: tuple[Language, Annotate], texts: list[str | None], cut: int
) -> None:
    stage, annotate = opened
    batch = batch_of(texts)
    whole = checked(stage, batch, annotate(batch))
    parts = [annotate(batch.slice(0, cut)), annotate(batch.slice(cut))]
    assert list(itertools.chain(*(part.to_pylist() for part in parts))) == whole.to_pylist()
    assert len(stage.decide(whole)) == len(texts)
    assert all(
        0 <= row["lang_score"] <= 1 and (row["lang"] != "und") >= (row["lang_score"] > 0) for row in whole.to_pylist()
    )


@needs_model
def test_a_spawned_process_opens_the_stage_itself() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(rows_of, [FRENCH]).result()[0]["lang"] == "fr"


def test_the_stage_imports_no_model_library_before_it_is_opened() -> None:
    import subprocess
    import sys

    code = "import sys, stages.language; print({'fasttext', 'pycld2', 'langcodes'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@needs_model
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no language data: {DATA} (set TAMIS_DATA)")
@pytest.mark.parametrize(
    ("name", "kind", "floor"),
    [("lingua79", "sentences", 0.95), ("lingua79", "word-pairs", 0.81), ("xquad_paragraphs_12lang", None, 0.99)],
)
def test_accuracy_on_labelled_text(name: str, kind: str | None, floor: float) -> None:
    import orjson
    import zstandard

    with zstandard.open(DATA / f"{name}.jsonl.zst", "rb") as lines:
        records = [orjson.loads(line) for line in lines.read().splitlines()]
    chosen = [record for record in records if kind is None or record["kind"] == kind][::4]
    rows = rows_of([record["text"] for record in chosen], mix=False)
    right = [row["lang"].partition("-")[0] == r["label"] for row, r in zip(rows, chosen, strict=True)]
    assert sum(right) / len(right) >= floor
