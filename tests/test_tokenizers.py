"""Tokenizers by name: lossless, deterministic, the end of documents, and files that are not what they claim to be."""

import doctest
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import stages.tokenizer_pieces
import stages.tokenizers
from stages.errors import ConfigError, ModelError
from stages.model_files import sha256_of
from stages.tokenizers import BYTES, DEFAULT, DEFAULT_FILE, END, open_tokenizer, tokenizer_id

CARD = json.loads(DEFAULT_FILE.with_name("card.json").read_text())
TOKENIZERS = {name: open_tokenizer(name) for name in (DEFAULT, BYTES)}
TEXTS = (
    "a ferry",
    "",
    f"{END} in a text {END}",
    "def f(x):\n\treturn x ** 2\r\n",
    "  日本 नमस्ते é e\u0301 🙂\x00 ",
    "12345",
)
each = pytest.mark.parametrize("name", TOKENIZERS)


@each
@given(st.text())
def test_text_comes_back_from_its_ids(name: str, text: str) -> None:
    tokenizer = TOKENIZERS[name]
    (ids,) = tokenizer.encode([text])
    assert tokenizer.decode(ids) == text
    assert ids.dtype == np.int32
    assert tokenizer.count([text]).tolist() == [len(ids)]
    assert (ids < tokenizer.size).all()
    assert (ids.tolist().count(tokenizer.end), ids.tolist()[-1:]) == ((1, [tokenizer.end]) if text else (0, []))


@each
@given(st.lists(st.text(), max_size=8))
def test_a_text_is_encoded_as_if_alone(name: str, texts: list[str]) -> None:
    tokenizer = TOKENIZERS[name]
    together = [ids.tolist() for ids in tokenizer.encode(texts)]
    assert together == [tokenizer.encode([text])[0].tolist() for text in texts]
    assert tokenizer.count(texts).tolist() == [len(ids) for ids in together]
    assert tokenizer.count(texts).dtype == np.int32


def test_bytes_are_those_of_utf8() -> None:
    tokenizer = TOKENIZERS[BYTES]
    assert [ids.tolist() for ids in tokenizer.encode(TEXTS)] == [
        [*text.encode(), 256] if text else [] for text in TEXTS
    ]
    assert (tokenizer.id, tokenizer.size, tokenizer.end, tokenizer.pad) == ("bytes", 257, 256, 256)


def test_the_default_is_the_one_of_its_card() -> None:
    tokenizer = TOKENIZERS[DEFAULT]
    assert CARD["sha256"] == sha256_of(DEFAULT_FILE)
    assert CARD["bytes"] == DEFAULT_FILE.stat().st_size < 500_000
    assert tokenizer.id == f"default-{CARD['sha256'][:12]}" == tokenizer_id(DEFAULT)
    assert (CARD["vocabulary"], CARD["end"], CARD["name"]) == (tokenizer.size, END, DEFAULT) == (8192, END, "default")
    assert tokenizer.end == tokenizer.pad == 0


@each
def test_long_batches_are_cut_into_portions_that_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text * copies for text in TEXTS for copies in (1, 5, 0)]
    expected = [ids.tolist() for ids in TOKENIZERS[name].encode(texts)]
    monkeypatch.setattr("stages.tokenizer_pieces.PORTION", 7)
    assert [ids.tolist() for ids in TOKENIZERS[name].encode(texts)] == expected
    assert TOKENIZERS[name].count(texts).tolist() == [len(ids) for ids in expected]


def test_digits_stand_alone() -> None:
    ids = TOKENIZERS[DEFAULT].encode(["1234567890 2024"])[0]
    found = [TOKENIZERS[DEFAULT].decode(ids[place : place + 1]) for place in range(len(ids) - 1)]
    assert found == [*"1234567890 2024"]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_without_an_end_nothing_is_added(name: str) -> None:
    bare = open_tokenizer(name, "none")
    assert (bare.end, bare.pad) == (None, 0)
    for plain, ended in zip(bare.encode(TEXTS), TOKENIZERS[name].encode(TEXTS), strict=True):
        assert plain.tolist() == ended[:-1].tolist()
    assert bare.decode(bare.encode(["café"])[0]) == "café"


_PIECES = (("SpecialToken", END), ("Sequence", "A"), ("Sequence", "B"))


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> str:
    """A file with a changed copy of the default."""
    known = json.loads(DEFAULT_FILE.read_text())
    change(known)
    path.write_text(json.dumps(known))
    return str(path)


def test_the_files_own_habits_are_switched_off(tmp_path: Path) -> None:
    def habits(known: dict[str, Any]) -> None:
        known["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
        known["padding"] = {"strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
                            "pad_type_id": 0, "pad_token": END}  # fmt: skip
        special, first, second = ({kind: {"id": of, "type_id": 0}} for kind, of in _PIECES)
        known["post_processor"] = {"type": "TemplateProcessing", "single": [special, first], "pair": [first, second],
                                   "special_tokens": {END: {"id": END, "ids": [0], "tokens": [END]}}}  # fmt: skip
        known["model"]["dropout"] = 0.5

    tokenizer = open_tokenizer(changed(tmp_path / "own.json", habits))
    for _ in range(5):
        found = [ids.tolist() for ids in tokenizer.encode(TEXTS)]
        assert found == [ids.tolist() for ids in TOKENIZERS[DEFAULT].encode(TEXTS)]


def test_a_file_is_named_after_itself_and_a_directory_after_the_directory(tmp_path: Path) -> None:
    directory = tmp_path / "small-lm"
    directory.mkdir()
    path = changed(directory / "tokenizer.json", lambda known: None)
    digits = sha256_of(Path(path))[:12]
    assert open_tokenizer(str(directory)).id == open_tokenizer(path).id == f"small-lm-{digits}"
    other = changed(tmp_path / "other.json", lambda known: None)
    assert open_tokenizer(other).id == f"other-{digits}"


def test_auto_takes_the_first_usual_name_that_is_there(tmp_path: Path) -> None:
    def renamed(token: str) -> Callable[[dict[str, Any]], None]:
        def change(known: dict[str, Any]) -> None:
            known["added_tokens"][0]["content"] = token
            known["model"]["vocab"][token] = known["model"]["vocab"].pop(END)

        return change

    assert open_tokenizer(changed(tmp_path / "a.json", renamed("</s>"))).end == 0
    assert open_tokenizer(changed(tmp_path / "b.json", renamed("<stop>"))).end is None
    assert open_tokenizer(changed(tmp_path / "b.json", renamed("<stop>")), "<stop>").end == 0


@each
def test_an_end_that_the_vocabulary_lacks(name: str) -> None:
    with pytest.raises(
        ConfigError, match=r"tokens\.end: found '</s>', which .* lacks; expected auto, none, .* <\|end\|>"
    ):
        open_tokenizer(name, "</s>")


@pytest.mark.parametrize("name", ["", "nowhere.json", "directory"])
def test_no_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    for use in (open_tokenizer, tokenizer_id):
        with pytest.raises(ModelError, match=r"found no file, expected 'default', 'bytes', or the path"):
            use(str(tmp_path / name) if name else "")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"3", b"{}", b'{"model": 3}', b'{"model": {}}', b"\xff\xfe", b'{"model": {"type": "BPE"}}',
     b'{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}',
     b'{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}',
     b'{"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": []}}',
     b"[" * 100_000],
)  # fmt: skip
def test_a_file_that_is_no_tokenizer(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=rf"{re.escape(str(path))}: .*expected a .*choose 'default', 'bytes'"):
        open_tokenizer(str(path))


def test_a_regular_expression_that_is_none(tmp_path: Path) -> None:
    def broken(known: dict[str, Any]) -> None:
        known["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": "("}

    with pytest.raises(ModelError, match="cannot be read as a tokenizer"):
        open_tokenizer(changed(tmp_path / "tokenizer.json", broken))


@pytest.mark.parametrize("module", [stages.tokenizers, stages.tokenizer_pieces])
def test_the_examples_in_the_documentation(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0
