"""The stage contract, held by every stage there is."""

import dataclasses
import itertools
import pickle
from random import Random
from typing import ClassVar, cast

import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

import stages
from pipeline.documents import PROVENANCE, RESERVED
from pipeline.parts import placed, solved
from pipeline.sidecars import opened
from stages.contract import (
    Annotate,
    BatchStage,
    GroupStage,
    Stage,
    State,
    SurveyStage,
    gathers,
    has_survey,
    is_context_stage,
    is_group,
    setting,
    settings_of,
    values_of,
)
from stages.contract_checks import checked
from stages.embed_shingles import Sketcher
from stages.errors import ConfigError, ContractError
from tests.rated import batch as rated
from tests.rated import row
from tests.tiny import Length, Ranks

INTERNAL = {"row", "keep", "dropped_by", "drop_reason", *RESERVED.names, *PROVENANCE.names}
PIECES = [
    "",
    " ",
    "The ferry left its pier at nine.\n",
    "Die Fähre legte um neun ab.\n",
    "船は九時に出た。",
    "\0",
    "1 2 3 ",
]
TEXTS = st.lists(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), max_size=12)


@pytest.fixture(scope="module", params=stages.NAMES)
def stage(request: pytest.FixtureRequest) -> Stage:
    """Every stage with its defaults."""
    return stages.stage_class(request.param)()


@pytest.fixture(
    scope="module", params=[name for name in stages.NAMES if not is_context_stage(stages.stage_class(name))]
)
def annotating(request: pytest.FixtureRequest) -> Stage:
    """Every stage that works on documents, with its defaults."""
    return stages.stage_class(request.param)()


@pytest.fixture(scope="module", params=[*(name for name in stages.NAMES if is_group(stages.stage_class(name))), ""])
def group(request: pytest.FixtureRequest) -> GroupStage:
    """Every group stage with its defaults, and a tiny one."""
    return cast(GroupStage, stages.stage_class(request.param)() if request.param else Ranks())


def batch(texts: list[str]) -> pa.RecordBatch:
    """Documents with the columns that stages read."""
    rows = rated([row(n, n % 6 or None, source="ab"[n % 2]) for n in range(len(texts))])
    languages = pa.array(["en" if n % 2 else "xx" for n in range(len(texts))], pa.string())
    rows = rows.append_column("text", pa.array(texts, pa.string())).append_column("lang", languages)
    vectors = [[float(text.count(letter)) for letter in "ae9"] for text in texts]
    rows = rows.append_column("embedding", pa.array(vectors, pa.list_(pa.float32())))
    rows = rows.append_column("embedding_shingles", Sketcher().column(texts))
    hashes = [xxhash.xxh3_128_digest(text.encode()) for text in texts]
    count = len(texts)
    for name, column in {
        "text_hash": pa.array(hashes, pa.binary(16)),
        "tokens": pa.array([len(text) for text in texts], pa.int32()),
        "bucket": pa.array([n % 2 for n in range(count)], pa.int32()),
        "position": pa.array([n // 2 + n % 2 * count for n in range(count)], pa.int64()),
        "order_neighbours": pa.array([[1, -1][n % 3 : 1] for n in range(count)], pa.list_(pa.int32())),
    }.items():
        rows = rows.append_column(name, column)
    return rows


def function_of(stage: Stage, rows: pa.RecordBatch) -> Annotate:
    """The annotating function; a survey's after its rounds over the rows; of a group stage, for all rows at once."""
    if not has_survey(stage):
        return opened(cast(BatchStage, stage))
    state = stage.begin(0)
    while not stage.finished(state):
        state = stage.reduce(state, stage.merge([stage.survey(state, rows)]))
    return by_parts(stage, state) if is_group(stage) else cast(SurveyStage, stage).open_with(state)


def by_parts(stage: GroupStage, state: State) -> Annotate:
    """A group stage's answers for rows that are all there are."""
    parts = stage.open_parts(state)

    def annotate(rows: pa.RecordBatch) -> pa.RecordBatch:
        seen = rows.select(list(gathers(stage)))
        return solved(stage, parts, placed(stage, parts, seen), seen)

    return annotate


def test_it_is_named_as_its_module_and_found_by_its_name(stage: Stage) -> None:
    kind = type(stage)
    assert kind.__module__ == f"stages.{stage.name}"
    assert kind is stages.stage_class(stage.name)
    assert kind.__doc__


def test_how_the_work_is_done_enters_no_hash() -> None:
    from stages.rating import Rating

    slow = Rating(rater="served", timeout_s=600, retries=9, concurrency=1, url="http://localhost/v1")
    for filter_ in (True, False):
        assert values_of(slow, filter=filter_) == values_of(Rating(rater="served"), filter=filter_)


def test_a_stage_that_does_not_exist_gets_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"there is no stage 'langage'; did you mean 'language'\?"):
        stages.stage_class("langage")
    with pytest.raises(ConfigError, match="The stages are: dedup, language"):
        stages.stage_class("zzz")


def test_its_settings_are_documented_and_have_defaults(stage: Stage) -> None:
    for found in settings_of(stage):
        assert len(found.help) > 5, found.name
        assert found.default is not dataclasses.MISSING, found.name
        assert found.name == found.name.lower()
    assert values_of(stage, filter=True).keys().isdisjoint(values_of(stage, filter=False))


def test_it_is_a_frozen_value(stage: Stage) -> None:
    copy = pickle.loads(pickle.dumps(stage))
    assert copy == stage == type(stage)()
    assert hash(copy) == hash(stage)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(stage, settings_of(stage)[0].name, None)


def _portable(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return _portable(kind.value_type)
    if pa.types.is_struct(kind):
        return all(_portable(kind.field(i).type) for i in range(kind.num_fields))
    return bool(
        pa.types.is_string(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
    )


def test_its_columns_are_portable_nullable_and_of_no_other_meaning(stage: Stage) -> None:
    assert (len(stage.adds) > 0) is not is_context_stage(stage)
    for field in stage.adds:
        assert _portable(field.type), field
        assert not pa.types.is_float16(field.type), field
        assert field.nullable, f"{field.name}: rows that an earlier stage dropped hold null"
        assert field.name not in INTERNAL
    assert len(set(stage.adds.names)) == len(stage.adds)


def test_its_models_are_files(stage: Stage) -> None:
    assert all(path.is_file() for path in stage.models().values())


@settings(max_examples=15, deadline=None)
@given(texts=TEXTS, cuts=st.lists(st.integers(0, 12), max_size=3))
def test_rows_are_independent_of_how_they_come(annotating: Stage, texts: list[str], cuts: list[int]) -> None:
    stage, whole = annotating, batch(texts)
    annotate = function_of(stage, whole)
    answer = checked(stage, whole, annotate(whole))
    if is_group(stage):
        return
    places = [0, *sorted(min(cut, len(texts)) for cut in cuts), len(texts)]
    pieces = [whole.slice(one, two - one) for one, two in itertools.pairwise(places)]
    answers = [checked(stage, piece, annotate(piece)) for piece in pieces]
    assert pa.Table.from_batches(answers, stage.adds).to_pylist() == answer.to_pylist()
    backwards = annotate(whole.take(pa.array(range(len(texts))[::-1], pa.int64())))
    assert backwards.to_pylist() == answer.to_pylist()[::-1]
    reasons = stage.decide(answer)
    assert (len(reasons), reasons.type) == (len(texts), pa.string())
    assert reasons.to_pylist() == [stage.decide(answer.slice(n, 1)).to_pylist()[0] for n in range(len(texts))]


@settings(max_examples=15, deadline=None)
@given(texts=TEXTS, chance=st.randoms(use_true_random=False), cut=st.integers(0, 12))
def test_the_order_of_rows_means_nothing_to_a_group_stage(
    group: GroupStage, texts: list[str], chance: Random, cut: int
) -> None:
    whole = batch(texts).append_column("length", pa.array([len(text) for text in texts], pa.int64()))
    annotate = function_of(group, whole)
    order = chance.sample(range(len(texts)), len(texts))
    shuffled = whole.take(pa.array(order, pa.int64()))
    assert annotate(shuffled).to_pylist() == annotate(whole).take(pa.array(order, pa.int64())).to_pylist()
    state = group.begin(0)
    pieces = [whole.slice(0, cut), whole.slice(cut)]
    while not group.finished(state):
        state = group.reduce(state, group.merge([group.survey(state, piece) for piece in pieces]))
    assert by_parts(group, state)(whole).to_pylist() == annotate(whole).to_pylist()
    seen = whole.select(list(gathers(group)))
    numbers = [placed(group, group.open_parts(state), rows).tolist() for rows in (seen, seen.slice(0, cut))]
    assert numbers[1] == numbers[0][:cut]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (pa.record_batch({"size": pa.array([1, 2])}), "answered with columns size: int64, but declares length: int64"),
        (pa.record_batch({"length": pa.array([1, 2], pa.int32())}), "columns length: int32"),
        (pa.record_batch({"length": pa.array([1])}), "answered 1 rows for 2"),
        (pa.record_batch({"length": pa.array([1, 2, 3])}), "answered 3 rows for 2"),
        (batch([]).select([]), r"columns \(none\)"),
    ],
)
def test_the_checker_names_what_is_broken(answer: pa.RecordBatch, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        checked(Length(), batch(["a", "b"]), answer)


def test_a_right_answer_passes_the_checker_as_it_is() -> None:
    answer = pa.record_batch({"length": pa.array([1, None])})
    assert checked(Length(), batch(["a", "b"]), answer) is answer


@dataclasses.dataclass(frozen=True)
class _Typed:
    name: ClassVar[str] = "typed"
    keep: tuple[str, ...] = setting((), "languages")
    least: float = setting(0.5, "threshold", filter=True)


def test_settings_are_shown_with_their_types() -> None:
    found = [(s.name, s.type, s.default, s.help, s.filter) for s in settings_of(_Typed)]
    assert found == [
        ("keep", "tuple[str, ...]", (), "languages", False),
        ("least", "float", 0.5, "threshold", True),
    ]
    assert settings_of(_Typed()) == settings_of(_Typed)
