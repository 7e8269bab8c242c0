"""Training of n-gram models, from records to a model that opens, on invented text."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.training import kenlm_tools
from pipeline.training.kenlm_tools import check_pruning
from pipeline.training.perplexity import train
from pipeline.training.settings import PerplexityTraining
from pipeline.where import parse_conditions
from stages.errors import ConfigError, InputError, NothingRead, TamisError
from stages.ngram_models import card_path, line_scores, open_model, read_card
from tests.kenlm_programs import needs_kenlm_programs
from tests.runs import tamis, write_jsonl

ROOT = Path(__file__).parents[1]
NOUNS = ["miller", "river", "wheel", "winter", "spring", "fox", "baker", "oven", "bread", "garden"]
VERBS = ["sees", "hears", "follows", "forgets", "finds"]


def rows(count: int) -> list[dict[str, object]]:
    """Short tales, every third of them labelled `stormy`."""
    nouns = [(NOUNS[i % 10], NOUNS[i * 7 // 3 % 10], NOUNS[i % 9]) for i in range(count)]
    return [
        {
            "id": f"t{i}",
            "text": f"The {one} {VERBS[i % 5]} the {two}.\nThen the {three} sleeps.",
            "label": "stormy" if i % 3 == 0 else "calm",
            "source": "tales" if i % 2 else "fables",
            "score": i / count,
        }
        for i, (one, two, three) in enumerate(nouns)
    ]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "tales.jsonl", rows(120))


def settings(corpus: Path, **changes: object) -> PerplexityTraining:
    values = {"inputs": (str(corpus),), "output": corpus.parent / "out/en.klm", "language": "en", "kind": "clean"}
    return PerplexityTraining(**{**values, "order": 3, "memory": "64M", **changes})  # type: ignore[arg-type]


@needs_kenlm_programs
@pytest.mark.parametrize("binary", ["trie", "probing", "arpa"])
@pytest.mark.parametrize("estimator", ["lmplz", "numpy"])
def test_a_trained_model_opens_and_knows_its_text(corpus: Path, binary: str, estimator: str) -> None:
    done = train(settings(corpus, binary=binary, estimator=estimator))
    model = open_model(done.path)
    scores, tokens = line_scores(model, ["the miller sees the wheel", "wheel the the sees miller"])
    assert scores[0] > scores[1]
    assert tokens.tolist() == [6, 6]
    card = model.card
    assert card.documents == {"fables": 60, "tales": 60}
    assert (card.sentences, card.tokens, card.order, card.binary) == (240, 120 * 9, 3, binary)
    assert {path.name for path in done.path.parent.iterdir()} == {"en.klm", "en.json"}


def test_without_the_programs_numpy_still_trains(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match=r"build_kenlm\.sh`, or train with --estimator numpy"):
        train(settings(corpus))
    done = train(settings(corpus, estimator="numpy", binary="arpa"))
    assert open_model(done.path).score("the miller sees the wheel") < 0


@needs_kenlm_programs
def test_the_same_input_gives_the_same_bytes(corpus: Path) -> None:
    first = train(settings(corpus, output=corpus.parent / "a/en.klm", memory="64M")).path
    again = train(settings(corpus, output=corpus.parent / "b/en.klm", memory="64M")).path
    assert first.read_bytes() == again.read_bytes()
    assert card_path(first).read_bytes() == card_path(again).read_bytes()


@needs_kenlm_programs
@pytest.mark.parametrize("name", ["as_is", "alphabetic", "characters", "letters"])
def test_special_symbols_and_odd_characters_do_not_stop_it(tmp_path: Path, name: str) -> None:
    text = "<s> the </s> fox <unk> <UNK>\0 sees\u2028 \u3000the\x1foven\r \u2581 " + "x" * 70_000
    path = write_jsonl(tmp_path / "odd.jsonl", [{"text": f"{text} {i}"} for i in range(9)])
    model = open_model(train(settings(path, normaliser=name)).path)
    assert all(score < 0 for score in line_scores(model, model.normaliser(text))[0])


@needs_kenlm_programs
def test_only_chosen_records_are_used(corpus: Path) -> None:
    card = train(settings(corpus, where=("label=stormy", "score>=0.5"))).card
    assert sum(card.documents.values()) == 20


@needs_kenlm_programs
def test_pruning_is_raised_until_the_model_fits(corpus: Path) -> None:
    whole = train(settings(corpus)).card
    small = train(settings(corpus, max_mb=(whole.bytes - 200) / 1e6)).card
    assert small.bytes <= whole.bytes - 200
    assert small.pruning > whole.pruning == (0, 0, 0)


@needs_kenlm_programs
def test_what_cannot_fit_ends_with_an_error(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.training.perplexity._HARDEST", 2)
    with pytest.raises(TamisError, match="raise --max-mb"):
        train(settings(corpus, max_mb=0.0001))


@needs_kenlm_programs
def test_nothing_to_train_on_leaves_no_model(corpus: Path) -> None:
    with pytest.raises(NothingRead, match=r"120 documents read .* 0 of them chosen by label=none"):
        train(settings(corpus, where=("label=none",)))
    assert not (corpus.parent / "out").exists()


def test_a_path_that_matches_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing matches"):
        train(settings(tmp_path / "gone.jsonl", estimator="numpy", binary="arpa"))


def test_a_failing_program_is_explained_without_its_words(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = corpus.parent / "lmplz"
    script.write_text('#!/bin/sh\nread line\necho "secret $line No space left" >&2\nexit 3\n')
    script.chmod(0o755)
    monkeypatch.setattr(kenlm_tools, "find_program", lambda name: script)
    with pytest.raises(TamisError, match=r"lmplz ended with exit code 3: the disk .* is full") as caught:
        train(settings(corpus))
    assert "secret" not in str(caught.value)
    assert "fox" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": 7, "prune": "0"}, "--order: found 7"),
        ({"order": 1}, "--order: found 1"),
        ({"prune": "1 0"}, "--prune: found '1 0'"),
        ({"prune": "0 0 0 0"}, "at most 3"),
        ({"prune": ""}, "--prune"),
        ({"memory": "much"}, "--memory: found 'much'"),
        ({"kind": "rude"}, "--kind: found 'rude'"),
        ({"binary": "array"}, "--binary: found 'array'"),
        ({"normaliser": "letter"}, "did you mean 'letters'"),
        ({"bits": 1}, "--bits: found 1"),
        ({"max_mb": -1.0}, "--max-mb: found -1"),
        ({"language": ""}, "--language"),
        ({"output": Path("en.bin")}, "ends in .klm"),
        ({"estimator": "numpy", "max_mb": 1.0}, "does not prune"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(Path("a.jsonl"), **changes)


def test_pruning_is_spelled_out() -> None:
    assert check_pruning("0 1 2", 5) == (0, 1, 2, 2, 2)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("label=toxic", True),
        ("label!=toxic", False),
        ("label=Toxic", False),
        ("missing!=x", False),
        ("meta.score>=0.5", True),
        ("meta.score > 0.5", False),
        ("meta.score=.5", True),
        ("packed.deep.flag=true", True),
        ("packed.deep.flag=1", False),
        ("nothing=null", True),
        ("label<3", False),
        ("url=a=b", True),
        ("number<2", True),
    ],
)
def test_conditions(text: str, holds: bool) -> None:
    fields = {"label": "toxic", "meta": {"score": 0.5}, "packed": '{"deep": {"flag": true}}', "nothing": None}
    assert parse_conditions([text])({**fields, "url": "a=b", "number": "1.5"}) is holds


@pytest.mark.parametrize("text", ["label", "=toxic", "score>high", ""])
def test_a_condition_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ConfigError, match="--where"):
        parse_conditions([text])


@needs_kenlm_programs
def test_command_and_job_do_the_same(corpus: Path) -> None:
    arguments = ["--input", corpus, "--language", "en", "--kind", "clean", "--memory", "64M", "--where", "label=calm"]
    done = tamis("train", "perplexity", *arguments, "--output", corpus.parent / "a/en.klm")
    assert done.returncode == 0, done.stderr
    assert "120 documents read, 80 used" in done.stdout
    job = [
        sys.executable,
        "jobs/train_perplexity.py",
        *map(str, arguments),
        "--output",
        str(corpus.parent / "b/en.klm"),
    ]
    subprocess.run(
        job, check=True, capture_output=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    )
    assert (corpus.parent / "a/en.klm").read_bytes() == (corpus.parent / "b/en.klm").read_bytes()
    card = json.loads((corpus.parent / "a/en.json").read_bytes())
    assert card["command"].endswith("--output en.klm --language en --kind clean --memory 64M --where label=calm")
    assert str(corpus) in card["command"]
    assert read_card(corpus.parent / "b/en.klm").licence == ""
