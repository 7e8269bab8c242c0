"""Directories of models: what is refused, with which remedy, and what is read from their files."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.embed import Embed
from stages.embed_directory import read_directory
from stages.errors import ModelError
from stages.transformers_files import model_files
from tests.embed_models import write_encoder, write_json, write_modules, write_static


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_modules(write_encoder(tmp_path_factory.mktemp("made") / "bert"))


@pytest.fixture
def model(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(made, tmp_path / "bert"))


def _pickled(path: Path) -> None:
    (path / "model.safetensors").rename(path / "pytorch_model.bin")


def _change(name: str, **values: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        found = json.loads((path / name).read_text(encoding="utf-8"))
        write_json(path / name, {**found, **values})

    return change


def _dense(path: Path) -> None:
    modules = json.loads((path / "modules.json").read_text(encoding="utf-8"))
    write_json(path / "modules.json", [*modules[:2], {"type": "x.Dense", "path": "2_Dense"}])


DAMAGES: list[tuple[Callable[[Path], object], str]] = [
    (shutil.rmtree, "found no directory, expected one with config.json.*set embed.model"),
    (lambda path: (path / "config.json").unlink(), "config.json: found no file"),
    (lambda path: (path / "config.json").write_text("{"), "config.json: cannot be read as JSON"),
    (lambda path: (path / "config.json").write_text("[]"), "found list, expected a JSON object"),
    (lambda path: (path / "tokenizer.json").unlink(), "expected a tokenizer of the tokenizers.*save_pretrained"),
    (lambda path: (path / "tokenizer.json").write_text("{}"), "tokenizer.json: is no tokenizer"),
    (lambda path: (path / "model.safetensors").unlink(), "found no weights, expected model.safetensors"),
    (_pickled, r"found pickled weights \(pytorch_model.bin\), which run code.*save_pretrained"),
    (lambda path: (path / "model.safetensors").write_bytes(b"\0" * 100), "bert: cannot be loaded"),
    (_change("config.json", auto_map={"AutoModel": "evil.Model"}), "found auto_map, a model with code of its own"),
    (_change("tokenizer_config.json", auto_map={"A": "b"}), "tokenizer_config.json: found auto_map"),
    (_change("config.json", is_encoder_decoder=True), "found a model with encoder and decoder"),
    (_change("config.json", num_hidden_layers=3), "the weights lack 16 tensors of the config's model"),
    (_change("config.json", model_type="nosuch"), "bert: cannot be loaded"),
    (_change("1_Pooling/config.json", pooling_mode_max_tokens=True), "found pooling mean, pooling_mode_max_tokens"),
    (_change("1_Pooling/config.json", include_prompt=False), "with include_prompt False"),
    (_dense, "found Transformer, Pooling, Dense, expected Transformer, Pooling and perhaps Normalize"),
    (lambda path: (path / "modules.json").write_text("[{}]"), "modules.json: is no list of modules"),
    (lambda path: (path / "modules.json").write_text("[]"), "found no module"),
    (lambda path: write_json(path / "modules.json", [{"type": "a.Transformer", "path": "../x"}]), "found .'../x'."),
    (lambda path: write_json(path / "model.safetensors.index.json", {}) or (path / "model.safetensors").unlink(),
     "found no weight_map"),
    (lambda path: write_json(path / "model.safetensors.index.json", {"weight_map": {"a": "../b.safetensors"}})
     or (path / "model.safetensors").unlink(), "names '../b.safetensors', expected a safetensors file"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), DAMAGES, ids=[message[:40] for _, message in DAMAGES])
def test_what_cannot_be_used_is_refused_with_a_remedy(
    model: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(model)
    with pytest.raises(ModelError, match=f"(?s){message}"):
        Embed(model=str(model)).open()


def test_a_static_model_whose_parts_do_not_fit_is_refused(tmp_path: Path) -> None:
    path = write_static(tmp_path / "static") / "0_StaticEmbedding"
    (path / "model.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match="cannot be read"):
        Embed(model=str(path.parent)).open()
    shutil.rmtree(path)
    with pytest.raises(ModelError, match="found no weights"):
        Embed(model=str(path.parent)).models()


def test_weights_in_several_files_are_all_named(model: Path) -> None:
    for name in ("a.safetensors", "b.safetensors"):
        (model / name).touch()
    (model / "model.safetensors").unlink()
    weights = {"weight_map": {"x": "b.safetensors", "y": "a.safetensors", "z": "a.safetensors"}}
    write_json(model / "model.safetensors.index.json", weights)
    found = set(model_files(model, "embed.model"))
    assert found == {
        "config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors.index.json", "a.safetensors",
        "b.safetensors",
    }  # fmt: skip


def test_what_a_directory_says(model: Path) -> None:
    found = read_directory(model)
    assert (found.name, found.pooling, found.unit, found.prefix) == ("bert", "mean", True, "")
    assert (found.limit, found.preferred, found.lower_case, found.static) == (64, 40, False, False)
    assert {"modules.json", "pooling", "sentence_bert_config.json", "tokenizer.json"} <= set(found.files)
    assert all(path.is_file() for path in found.files.values())
    write_json(model / "1_Pooling" / "config.json", {"pooling_mode": "cls"})
    assert read_directory(model).pooling == "cls"
    _change("config.json", _name_or_path="intfloat/multilingual-e5-small")(model)
    assert read_directory(model).prefix == "passage: "
    (model / "modules.json").unlink()
    assert (read_directory(model).unit, read_directory(model).pooling) == (False, "mean")


def test_roberta_numbers_positions_from_behind_the_padding(model: Path) -> None:
    _change("config.json", model_type="xlm-roberta", pad_token_id=1, max_position_embeddings=34)(model)
    assert read_directory(model).limit == 32
