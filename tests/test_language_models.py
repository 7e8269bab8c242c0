"""The language stage's models: the default one, and a user's own, missing, wrong, cut short or right."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stages.errors import ModelError
from stages.language import Language
from stages.model_files import LID_176

ENGLISH = "The old mill by the river grinds wheat for the whole village, and its wheel has turned for two centuries."
FRENCH = "Le vieux moulin près de la rivière moud le blé de tout le village, et sa roue tourne depuis deux siècles."

needs_model = pytest.mark.skipif(not LID_176.path.is_file(), reason="no language model: run jobs/fetch_models.py")


def test_a_missing_default_model_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAMIS_MODELS", str(tmp_path))
    with pytest.raises(ModelError, match=r"lid\.176\.ftz: found no file.*run: python jobs/fetch_models\.py"):
        Language().models()
    assert Language(members=("cld2",)).models() == {}


def test_a_damaged_default_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAMIS_MODELS", str(tmp_path))
    (tmp_path / LID_176.file).write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"found SHA-256 [0-9a-f]{64}, expected 8f3472"):
        Language().open()


def test_a_user_model_must_exist_and_start_like_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="found no file, expected a fastText model"):
        Language(model=str(tmp_path / "none.bin")).models()
    wrong = tmp_path / "wrong.bin"
    wrong.write_bytes(b"PK\x03\x04 an archive")
    with pytest.raises(ModelError, match=r"starts with bytes 504b0304, expected a fastText model \(ba16"):
        Language(model=str(wrong)).open()
    wrong.write_bytes(b"")
    with pytest.raises(ModelError, match=r"bytes \(none\)"):
        Language(model=str(wrong)).open()


@pytest.fixture(scope="module")
def own_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two languages, with labels as GlotLID and OpenLID write them."""
    import fasttext

    folder = tmp_path_factory.mktemp("model")
    lines = [f"__label__eng_Latn {ENGLISH.lower()}", f"__label__fra_Latn {FRENCH.lower()}"] * 40
    (folder / "train.txt").write_text("\n".join(lines) + "\n", "utf-8")
    arguments: dict[str, Any] = {"dim": 8, "minn": 1, "maxn": 3, "bucket": 2000, "thread": 1, "verbose": 0, "lr": 1.0}
    model = fasttext.train_supervised(str(folder / "train.txt"), epoch=30, **arguments)
    model.save_model(str(folder / "own.bin"))
    return folder / "own.bin"


@pytest.mark.parametrize("members", [("fasttext",), ("fasttext", "cld2")])
def test_a_user_model_answers_in_standard_codes(own_model: Path, members: tuple[str, ...]) -> None:
    annotate = Language(model=str(own_model), members=members).open()
    answer = annotate(pa.record_batch({"text": [ENGLISH, FRENCH]}))
    assert answer.column("lang").to_pylist() == ["en", "fr"]


@pytest.mark.parametrize("kept", [0.02, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_user_model_is_refused_before_it_is_loaded(own_model: Path, tmp_path: Path, kept: float) -> None:
    short, whole = tmp_path / "short.bin", own_model.read_bytes()
    short.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ModelError, match=r"bytes, expected .* cut short"):
        Language(model=str(short)).models()


@needs_model
def test_a_quantised_model_is_measured_to_the_byte(tmp_path: Path) -> None:
    whole, short = LID_176.path.read_bytes(), tmp_path / "short.ftz"
    short.write_bytes(whole[:-1])
    with pytest.raises(ModelError, match=f"found {len(whole) - 1} bytes, expected {len(whole)}:"):
        Language(model=str(short)).models()
    assert Language(model=str(LID_176.path)).models() == {"fasttext": LID_176.path}


def test_a_model_of_word_vectors_is_refused(tmp_path: Path) -> None:
    import fasttext

    (tmp_path / "train.txt").write_text(f"{ENGLISH}\n" * 40, "utf-8")
    arguments: dict[str, Any] = {"dim": 4, "bucket": 100, "thread": 1, "verbose": 0, "epoch": 1}
    fasttext.train_unsupervised(str(tmp_path / "train.txt"), **arguments).save_model(str(tmp_path / "vectors.bin"))
    with pytest.raises(ModelError, match="word vectors"):
        Language(model=str(tmp_path / "vectors.bin")).open()
