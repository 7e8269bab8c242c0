"""Tiny embedding models, made on the fly with random weights: what the tests of `embed` load instead of real ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np

TEXT = (
    "the a ferry left its pier at nine and wind rose over harbour lights river heron waits quiet morning die fähre "
    "query passage : . , ! ##s ##n ##er ##ing 船 は 九 時 に 出 た"
)
WORDS = TEXT.split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
LETTERS = [prefix + letter for prefix in ("", "##") for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]


def write_tokenizer(folder: Path, **config: Any) -> None:
    """A WordPiece tokenizer with BERT's special tokens, as tokenizer.json."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokens = list(dict.fromkeys([*SPECIAL, *WORDS, *LETTERS]))
    tokenizer = Tokenizer(models.WordPiece({token: n for n, token in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "BertTokenizer", "model_max_length": 64, **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def write_encoder(folder: Path, kind: str = "bert") -> Path:
    """A plain transformers encoder of two layers; kind is bert or mpnet."""
    import torch
    from transformers import BertConfig, BertModel, MPNetConfig, MPNetModel

    write_tokenizer(folder)
    torch.manual_seed(3)
    shape: dict[str, Any] = {
        "vocab_size": 160, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 48, "pad_token_id": 0, "initializer_range": 0.3,
    }  # fmt: skip
    network = (
        MPNetModel(MPNetConfig(max_position_embeddings=65, **shape))
        if kind == "mpnet"
        else BertModel(BertConfig(max_position_embeddings=64, **shape))
    )
    network.save_pretrained(folder)
    return folder


def write_modules(folder: Path, pooling: str = "mean", normalise: bool = True, **own: Any) -> Path:
    """The files of sentence-transformers beside an encoder; `own` goes into sentence_bert_config.json."""
    modules = [("Transformer", ""), ("Pooling", "1_Pooling"), *([("Normalize", "2_Normalize")] if normalise else [])]
    write_json(folder / "modules.json", [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (kind, path) in enumerate(modules)
    ])  # fmt: skip
    config = {"word_embedding_dimension": 32, f"pooling_mode_{pooling}_token{'s' * (pooling != 'cls')}": True}
    write_json(folder / "1_Pooling" / "config.json", config)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 40, "do_lower_case": False, **own})
    return folder


def write_static(folder: Path, normalise: bool = False) -> Path:
    """A static model of sentence-transformers: a row of 8 numbers for each token."""
    from safetensors.numpy import save_file

    place = folder / "0_StaticEmbedding"
    write_tokenizer(place)
    table = np.random.default_rng(5).normal(size=(160, 8)).astype(np.float32)
    save_file({"embedding.weight": table}, place / "model.safetensors")
    kinds = [("StaticEmbedding", place.name), *([("Normalize", "1_Normalize")] if normalise else [])]
    types = [{"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in kinds]
    write_json(folder / "modules.json", types)
    return folder


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
