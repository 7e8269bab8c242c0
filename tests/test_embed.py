"""The stage embed: its vectors, against plain transformers and against wordllama, and those that are never stored."""

import itertools
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.contract_checks import checked
from stages.embed import Embed
from stages.errors import ConfigError
from tests.embed_models import WORDS, write_encoder, write_json, write_modules, write_static

TEXTS = [
    "The ferry left its pier at nine.",
    "A heron waits.",
    "The wind rose over the harbour lights, and the ferry left " * 9,
    "Die Fähre",
    "船は九時に出た",
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain BERT, as Contriever is one."""
    return write_encoder(tmp_path_factory.mktemp("plain") / "bert")


@pytest.fixture(scope="module")
def sentence(plain: Path) -> Path:
    """The same with the files of sentence-transformers: mean pooling, unit length, windows of 40."""
    return write_modules(Path(shutil.copytree(plain, plain.parent / "sentence")))


def batch(texts: list[str | None]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.string())})


def run(stage: Embed, texts: list[Any]) -> pa.RecordBatch:
    whole = batch(texts)
    return checked(stage, whole, stage.open()(whole))


def vectors(stage: Embed, texts: list[Any]) -> npt.NDArray[np.float32]:
    answer = run(stage, texts)
    assert set(answer.column("embedding_status").to_pylist()) == {"ok"}
    return np.array(answer.column("embedding").to_pylist(), np.float32)


def oracle(
    path: Path, text: str, window: int, windows: int = 1, pooling: str = "mean", prefix: str = "", unit: bool = False
) -> npt.NDArray[np.float32]:
    """One document by transformers alone: each window by itself, without padding."""
    import torch
    from transformers import AutoModel, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(path / "tokenizer.json"))
    network = AutoModel.from_pretrained(path, local_files_only=True).eval()
    head = tokenizer(prefix, add_special_tokens=False)["input_ids"] if prefix else []
    body = tokenizer(text, add_special_tokens=False)["input_ids"]
    size, found, weights = window - 2 - len(head), [], []
    for begin in range(0, min(len(body), size * windows), size):
        part = body[begin : begin + size]
        with torch.no_grad():
            hidden = network(torch.tensor([[2, *head, *part, 3]])).last_hidden_state[0]
        vector = hidden[0] if pooling == "cls" else hidden.mean(0)
        found.append((vector / vector.norm() if unit else vector).numpy())
        weights.append(len(part))
    return np.average(found, axis=0, weights=weights).astype(np.float32)


def unit(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_plain_encoder_is_what_transformers_computes(plain: Path, pooling: str) -> None:
    stage = Embed(model=str(plain), pooling=pooling, normalise=False, window=24, windows=3)
    expected = [oracle(plain, text, 24, 3, pooling) for text in TEXTS]
    np.testing.assert_allclose(vectors(stage, TEXTS), expected, rtol=2e-3, atol=2e-3)


def test_a_directory_of_sentence_transformers_says_how_it_wants_to_be_read(sentence: Path) -> None:
    expected = np.array([oracle(sentence, text, 40, 4, unit=True) for text in TEXTS])
    raw = vectors(Embed(model=str(sentence), normalise=False), TEXTS)
    np.testing.assert_allclose(raw, expected, atol=2e-3)
    np.testing.assert_allclose(vectors(Embed(model=str(sentence)), TEXTS), unit(expected), atol=2e-3)
    assert run(Embed(model=str(sentence)), TEXTS).column("embedding_model").to_pylist() == ["sentence"] * 5


def test_an_mpnet_with_cls_pooling_in_lower_case(tmp_path: Path) -> None:
    path = write_modules(write_encoder(tmp_path / "m", "mpnet"), "cls", normalise=False, do_lower_case=True)
    expected = [oracle(path, text.lower(), 40, 4, "cls") for text in TEXTS]
    np.testing.assert_allclose(vectors(Embed(model=str(path), normalise=False), TEXTS), expected, rtol=2e-3, atol=2e-3)


def test_the_prefix_of_the_model_stands_before_every_window(plain: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(plain, tmp_path / "model"))
    expected = np.array([oracle(path, text, 24, 3, prefix="passage: ") for text in TEXTS])
    settings: dict[str, Any] = {"model": str(path), "window": 24, "windows": 3, "normalise": False}
    given = vectors(Embed(prefix="passage: ", **settings), TEXTS)
    np.testing.assert_allclose(given, expected, rtol=2e-3, atol=2e-3)
    assert not np.allclose(vectors(Embed(**settings), TEXTS), expected, atol=2e-2)
    (path / "README.md").write_text('Each text should start with "query: " or "passage: ".', encoding="utf-8")
    np.testing.assert_array_equal(vectors(Embed(**settings), TEXTS), given)
    assert "README.md" in Embed(**settings).models()
    prompts = {"prompts": {"query": "a ", "document": "the river "}, "default_prompt_name": None}
    write_json(path / "config_sentence_transformers.json", prompts)
    np.testing.assert_array_equal(
        vectors(Embed(**settings), TEXTS), vectors(Embed(**{**settings, "prefix": "the river "}), TEXTS)
    )


def test_a_static_directory_is_the_mean_of_its_rows(tmp_path: Path) -> None:
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    path = write_static(tmp_path / "static")
    table = load_file(path / "0_StaticEmbedding" / "model.safetensors")["embedding.weight"]
    tokenizer = Tokenizer.from_file(str(path / "0_StaticEmbedding" / "tokenizer.json"))
    expected = np.array([table[tokenizer.encode(text, add_special_tokens=False).ids].mean(0) for text in TEXTS])
    np.testing.assert_allclose(vectors(Embed(model=str(path), normalise=False), TEXTS), expected, rtol=2e-3, atol=1e-3)
    scaled = write_static(tmp_path / "scaled", normalise=True)
    found = vectors(Embed(model=str(scaled), normalise=False), TEXTS)
    np.testing.assert_allclose(found, unit(expected), rtol=2e-3, atol=1e-3)


STRANGE = [
    "Hello",
    " two  blanks,   three\n\n\nlines \n of it\tand tabs",
    "1 2 34 5678 3.14 x² «quoted…» don't; snake_case camelCase (see [1]).",
    "Привет, мир! 你好，世界。नमस्ते दुनिया 😀😀 é vs é ½",
    "▁ literal ▁▁ block ▁",
    "<unk> and <s> tags </s> in <0x0A> text",
    "\r\nnull \0 and \x1b escapes",
    "a" * 500 + " " + "漢字" * 200,
    "tail of blanks" + " " * 40 + "end",
]


def wordllama(dimensions: int = 256) -> Any:
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer
    from wordllama.inference import WordLlamaInference

    files = Embed().models()
    table = load_file(files["embedding"])["embedding.weight"][:, :dimensions]
    return WordLlamaInference(table, Tokenizer.from_file(str(files["tokenizer"])))


@pytest.mark.parametrize("dimensions", [0, 64])
def test_the_default_is_what_wordllama_computes(dimensions: int) -> None:
    texts = [text.strip() for text in [*TEXTS, *STRANGE]]
    stage = Embed(dimensions=dimensions, windows=64)
    np.testing.assert_allclose(vectors(stage, texts), wordllama(dimensions or 256).embed(texts, norm=True), atol=4e-4)


def test_the_tokens_of_remembered_pieces_are_those_of_the_whole_text(monkeypatch: pytest.MonkeyPatch) -> None:
    from tokenizers import Tokenizer

    from stages import embed_static

    tokenizer = Tokenizer.from_file(str(Embed().models()["tokenizer"]))
    chosen = random.Random(1)
    pieces = [*STRANGE, *WORDS, " ", "  ", "\n", "\t", "é", "ﬁ", "²", ".", "'s", "12", "▁", "日", "x_y", "\u200b"]
    texts = [*STRANGE, "", *("".join(chosen.choices(pieces, k=chosen.randint(1, 12))) for _ in range(400))]
    expected = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
    words = embed_static.tokeniser(tokenizer)
    assert isinstance(words, embed_static.Words)
    assert words(texts) == expected
    monkeypatch.setattr(embed_static, "REMEMBERED", 50)
    assert list(itertools.chain(*(words([text]) for text in texts))) == expected
    state = json.loads(tokenizer.to_str())
    state["model"]["vocab"]["t▁h"] = len(state["model"]["vocab"])
    assert not embed_static.parts_are_independent(Tokenizer.from_str(json.dumps(state)))


def documents(count: int) -> list[str]:
    """Texts of every length, one of them empty."""
    chosen = random.Random(7)
    return ["", *(" ".join(chosen.choices(WORDS[:20], k=chosen.randint(1, 90))) for _ in range(count - 1))]


@pytest.mark.parametrize("batch_tokens", [0, 100])
@pytest.mark.parametrize("model", ["default", "sentence"])
def test_a_vector_is_the_same_however_documents_come(sentence: Path, model: str, batch_tokens: int) -> None:
    stage = Embed(model=str(sentence) if model == "sentence" else model, batch_tokens=batch_tokens)
    texts, annotate = documents(60), stage.open()
    whole = annotate(batch(texts)).to_pylist()  # type: ignore[arg-type]
    for size in (1, 7, 59):
        parts = [annotate(batch(texts[at : at + size])) for at in range(0, len(texts), size)]  # type: ignore[arg-type]
        assert pa.Table.from_batches(parts).to_pylist() == whole
    order = random.Random(2).sample(range(60), 60)
    assert annotate(batch([texts[n] for n in order])).to_pylist() == [whole[n] for n in order]
    assert stage.open()(batch(texts)).to_pylist() == whole  # type: ignore[arg-type]


def test_a_bad_weight_poisons_no_vector_but_its_own(sentence: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    path = Path(shutil.copytree(sentence, tmp_path / "bad"))
    weights = load_file(path / "model.safetensors")
    table = weights["embeddings.word_embeddings.weight"].copy()
    heron = 4 + WORDS.index("heron")
    table[heron] = np.nan
    save_file({**weights, "embeddings.word_embeddings.weight": table}, path / "model.safetensors", {"format": "pt"})
    found = run(Embed(model=str(path)), TEXTS).to_pylist()
    assert [row["embedding_status"] for row in found] == ["ok", "invalid", "ok", "ok", "ok"]
    assert found[1]["embedding"] is None
    assert found[1]["embedding_tokens"] > 0
    healthy = run(Embed(model=str(sentence)), TEXTS).to_pylist()
    assert [row["embedding"] for row in found[2:]] == [row["embedding"] for row in healthy[2:]]


@pytest.mark.parametrize("value", [0.0, np.inf, 1e9, 1e-9])
def test_vectors_of_zeros_or_beyond_half_precision_are_invalid(tmp_path: Path, value: float) -> None:
    from safetensors.numpy import save_file

    path = write_static(tmp_path / "static")
    save_file(
        {"embedding.weight": np.full((160, 8), value, np.float32)}, path / "0_StaticEmbedding" / "model.safetensors"
    )
    (row,) = run(Embed(model=str(path), normalise=False), ["the ferry"]).to_pylist()
    assert (row["embedding"], row["embedding_status"]) == (None, "invalid")
    (row,) = run(Embed(model=str(path)), ["the ferry"]).to_pylist()
    assert row["embedding_status"] == ("ok" if value in (1e9, 1e-9) else "invalid")


@pytest.mark.parametrize("model", ["default", "sentence"])
def test_text_without_anything_visible_is_empty(sentence: Path, model: str) -> None:
    stage = Embed(model=str(sentence) if model == "sentence" else model)
    rows = run(stage, [None, "", " \n\t", "\0\x01\x7f", " " * 100_000, "the ferry"]).to_pylist()
    assert [row["embedding_status"] for row in rows] == ["empty"] * 5 + ["ok"]
    assert all(row["embedding"] is None and row["embedding_tokens"] == 0 for row in rows[:5])
    assert run(stage, []).num_rows == 0
    assert run(stage, [""]).column("embedding").to_pylist() == [None]


@pytest.mark.parametrize("model", ["default", "sentence"])
def test_of_a_huge_line_a_bounded_part_is_read(sentence: Path, model: str) -> None:
    stage = Embed(model=str(sentence) if model == "sentence" else model, windows=2)
    rows = run(stage, ["the ferry " * 5_000_000, "x" * 50_000_000]).to_pylist()
    most = 1024 if model == "default" else 2 * (40 - 2)
    assert rows[0]["embedding_tokens"] == most
    assert 0 < rows[1]["embedding_tokens"] <= most
    assert {row["embedding_status"] for row in rows} == {"ok"}


def test_values_are_of_half_precision_and_length_1_and_survive_parquet(tmp_path: Path) -> None:
    answer = run(Embed(dimensions=128), [*TEXTS, ""])
    found = np.array(answer.column("embedding").to_pylist()[:5], np.float32)
    assert found.shape == (5, 128)
    np.testing.assert_array_equal(found, found.astype(np.float16).astype(np.float32))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-3)
    pq.write_table(pa.Table.from_batches([answer]), tmp_path / "a.parquet")
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == answer.to_pylist()
    assert Embed().decide(answer).to_pylist() == [None] * 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": "max"}, "embed.pooling: found 'max', expected one of auto, mean, cls"),
        ({"device": "tpu"}, "embed.device"),
        ({"dtype": "int8"}, "embed.dtype"),
        ({"windows": 0}, "embed.windows: found 0, expected 1 or more"),
        ({"dimensions": -1}, "embed.dimensions"),
    ],
)
def test_settings_that_cannot_be_used_are_explained(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Embed(**settings)


def test_settings_that_the_model_cannot_serve_are_explained(plain: Path) -> None:
    for settings, message in (
        ({"dimensions": 33}, "found 33, expected at most the 32 of bert"),
        ({"window": 65}, "embed.window: found 65, expected at most the 64 tokens"),
        ({"window": 2}, "expected more than the 2 of special tokens and prefix"),
        ({"device": "cuda"}, "torch sees no GPU here"),
    ):
        if settings.get("device") == "cuda" and _has_gpu():
            continue
        with pytest.raises(ConfigError, match=message):
            Embed(model=str(plain), **settings).open()


def test_an_encoder_without_torch_is_explained(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.embed_encoder.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs torch, and it is not installed; run: pip install 'tamis\[llm\]'"):
        Embed(model=str(plain)).open()


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def test_a_sketch_of_each_text_stands_beside_its_vector() -> None:
    found = run(Embed(), ["The ferry left its pier at nine.", "the ferry left its pier at nine", "", None])
    first, second, *others = found.column("embedding_shingles").to_pylist()
    assert len(first) == 3
    assert (second, others) == (first, [[], []])
