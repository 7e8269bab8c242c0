"""Drafted answers: the same as slot by slot, however many passes they take."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from stages import rating_attention, rating_llm  # noqa: E402
from stages.rating import Rating  # noqa: E402
from stages.rating_llm import LlmRater  # noqa: E402
from stages.rating_reading import Reading  # noqa: E402
from stages.rating_slots import SlotScores, packed, score_all  # noqa: E402
from tests.tiny_lm import make_model, texts_of  # noqa: E402

TEXTS = texts_of(9, 5, 60)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("qwen2"), "qwen2")


@pytest.fixture
def rater(directory: Path) -> LlmRater:
    return rating_llm.open_rater(Rating(rater="llm", model=str(directory)))


def scored(rater: LlmRater, texts: list[str], *, batch_tokens: int = 100_000, drafted: bool = True) -> SlotScores:
    prompts = [rater._chat.tokens(rater._chat.shown(text)) for text in texts]
    return score_all(rater._model, prompts, rater._chat.answer, batch_tokens, drafted=drafted)


def assert_same(one: SlotScores, other: SlotScores) -> None:
    np.testing.assert_array_equal(one.chosen, other.chosen)
    np.testing.assert_allclose(one.expected, other.expected, atol=1e-4)
    np.testing.assert_allclose(one.probability, other.probability, atol=1e-4)
    np.testing.assert_allclose(one.mass, other.mass, atol=1e-4)


def watch(rater: LlmRater, change: Callable[[Any, Any, Any], None]) -> None:
    """Call `change` with the tokens, the places whose logits are wanted, and these logits, of every pass."""
    plain = rater._model.forward

    def forward(input_ids: Any = None, position_ids: Any = None, logits_to_keep: Any = 0, **others: Any) -> Any:
        answer = plain(input_ids=input_ids, position_ids=position_ids, logits_to_keep=logits_to_keep, **others)
        wanted = logits_to_keep if torch.is_tensor(logits_to_keep) else torch.tensor([input_ids.shape[1] - 1])
        change(input_ids, wanted, answer.logits)
        return answer

    rater._model.forward = forward


def chain(rater: LlmRater) -> None:
    """Let each digit decide the next: 1, 2, 4, 3, 1, and 5 for ever; the first digit and the letter are the model's."""
    answer = rater._chat.answer
    following = dict(zip(answer.slots[1], [answer.slots[1][index] for index in (1, 3, 0, 2, 4)], strict=True))

    def change(ids: Any, wanted: Any, logits: Any) -> None:
        for place, position in enumerate(wanted.tolist()):
            for row in range(len(ids)):
                if ids[row, position] == answer.newline and int(ids[row, position - 1]) in following:
                    logits[row, place, following[int(ids[row, position - 1])]] += 200

    watch(rater, change)


def test_drafts_are_exact_and_take_fewer_passes(rater: LlmRater) -> None:
    slow = scored(rater, TEXTS, drafted=False)
    shapes: list[tuple[int, ...]] = []
    watch(rater, lambda ids, wanted, logits: shapes.append(tuple(logits.shape[:2])))
    fast = scored(rater, TEXTS)
    assert_same(fast, slow)
    assert slow.passes.tolist() == [list(range(1, 16))] * len(TEXTS)
    assert len(shapes) == 1 + fast.passes.max()
    assert (np.diff(fast.passes) >= 0).all()
    assert fast.passes[:, -1].max() < 15
    assert [rows for rows, _ in shapes[1:]] == [
        int((fast.passes[:, -1] >= number).sum()) for number in range(1, fast.passes.max() + 1)
    ]
    assert all(places <= 15 for _, places in shapes)


def test_digits_that_follow_from_each_other_take_up_to_fifteen_passes(rater: LlmRater) -> None:
    chain(rater)
    slow, fast = scored(rater, TEXTS, drafted=False), scored(rater, TEXTS)
    assert_same(fast, slow)
    following = np.array([1, 3, 0, 2, 4])
    np.testing.assert_array_equal(following[fast.chosen[:, 1:-1]], fast.chosen[:, 2:])
    took = fast.passes[:, -1]
    assert took.max() >= 14
    assert len(set(took)) > 1


@pytest.mark.parametrize("batch_tokens", [1, 1200])
@pytest.mark.parametrize("chained", [False, True])
def test_passes_depend_on_the_row_alone(rater: LlmRater, batch_tokens: int, chained: bool) -> None:
    if chained:
        chain(rater)
    together, apart = scored(rater, TEXTS), scored(rater, TEXTS, batch_tokens=batch_tokens)
    assert_same(apart, together)
    np.testing.assert_array_equal(apart.passes, together.passes)


def test_a_cache_that_cannot_be_taken_back_is_read_slot_by_slot(
    rater: LlmRater, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = scored(rater, TEXTS)
    monkeypatch.setattr(Reading, "can_forget", False)
    slow = scored(rater, TEXTS)
    assert_same(fast, slow)
    assert (slow.passes[:, -1] == 15).all()


def test_models_that_give_all_logits_are_read_too(rater: LlmRater) -> None:
    whole, plain = scored(rater, TEXTS), rater._model.forward

    def forward(input_ids: Any, attention_mask: Any, position_ids: Any, past_key_values: Any, use_cache: Any) -> Any:
        return plain(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids,
            past_key_values=past_key_values, use_cache=use_cache,
        )  # fmt: skip

    rater._model.forward = forward
    assert_same(scored(rater, TEXTS), whole)


def test_shared_keys_change_nothing(directory: Path) -> None:
    from transformers import AutoModelForCausalLM

    load: Any = AutoModelForCausalLM.from_pretrained
    plain, grouped = load(directory).eval(), load(directory).eval()
    rating_attention.share_keys(grouped)
    assert (plain.config._attn_implementation, grouped.config._attn_implementation) == ("sdpa", rating_attention.NAME)
    ids, mask = torch.arange(2, 42).reshape(2, 20), torch.ones((2, 20), dtype=torch.long)
    mask[0, :7] = 0
    with torch.inference_mode():
        one, other = (model(input_ids=ids, attention_mask=mask).logits for model in (plain, grouped))
    torch.testing.assert_close(one[mask > 0], other[mask > 0], atol=1e-4, rtol=1e-4)


def test_a_worker_on_a_cpu_has_one_thread_unless_told_otherwise(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    try:
        for variable, threads in (("2", 2), (None, 1)):
            monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
            if variable:
                monkeypatch.setenv("OMP_NUM_THREADS", variable)
            torch.set_num_threads(2)
            rating_llm.open_rater(Rating(rater="llm", model=str(directory)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_batches_have_no_more_rows_than_their_logits_allow() -> None:
    assert list(packed([1] * 5, 100, 2)) == [[0, 1], [2, 3], [4]]
