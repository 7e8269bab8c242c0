"""The NumPy estimator against an independent one on dictionaries, written from the formulas, and against lmplz."""

import io
import math
import subprocess
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.training.kneser_ney import estimate, write_arpa
from stages.errors import NothingRead
from tests.kenlm_programs import needs_kenlm_programs, program

Counted = Counter[tuple[str, ...]]
Model = dict[str, tuple[float, float]]

TALE = """the miller ground the corn
the river turned the wheel and the wheel ground the corn
in winter the river froze
the miller waited for spring
in spring the river turned the wheel
a fox came by
the fox asked the miller for corn and the miller gave the fox corn
"""
LINES = st.lists(st.lists(st.sampled_from(list("abcdef")), min_size=1, max_size=7).map(" ".join), min_size=1)


def arpa_of(lines: list[str], order: int) -> Model:
    file = io.BytesIO()
    write_arpa(file, *estimate(lines, order))
    return parsed(file.getvalue().decode())


def parsed(arpa: str) -> Model:
    rows = [line.split("\t") for line in arpa.splitlines() if "\t" in line]
    return {row[1]: (float(row[0]), float(row[2]) if len(row) > 2 else 0.0) for row in rows}


def by_dictionaries(lines: list[str], order: int) -> Model:
    """Interpolated modified Kneser-Ney, one n-gram at a time."""
    raw, adjusted = counts_of(lines, order)
    probability: dict[tuple[str, ...], float] = {}
    gamma: dict[tuple[str, ...], float] = {}
    vocabulary = {word for (word,) in raw[1]} - {"<s>"} | {"<unk>"}
    for n in range(1, order + 1):
        discount = discounts(adjusted[n])
        followers = defaultdict(list)
        for gram, count in adjusted[n].items():
            followers[gram[:-1]].append(count)
        for context, counts in followers.items():
            gamma[context] = sum(discount[min(count, 3)] for count in counts) / sum(counts)
        for gram, count in adjusted[n].items():
            lower = probability[gram[1:]] if n > 1 else 1 / len(vocabulary)
            own = (count - discount[min(count, 3)]) / sum(followers[gram[:-1]])
            probability[gram] = own + gamma[gram[:-1]] * lower
    probability["<s>",], probability["<unk>",] = 1.0, gamma[()] / len(vocabulary)
    return {
        " ".join(gram): (math.log10(p), math.log10(gamma.get(gram, 1.0)) if gamma.get(gram, 1.0) else -99.0)
        for gram, p in probability.items()
    }


def counts_of(lines: list[str], order: int) -> tuple[list[Counted], list[Counted]]:
    """Counts of all n-grams as they are, and adjusted, by order."""
    raw: list[Counted] = [Counter() for _ in range(order + 1)]
    for line in lines:
        words = ("<s>", *line.split(), "</s>")
        for n in range(1, order + 1):
            raw[n].update(words[i : i + n] for i in range(len(words) - n + 1))
    adjusted = [Counter() for _ in range(order)] + [raw[order]]
    for n in range(1, order):
        for gram in raw[n + 1]:
            adjusted[n][gram[1:]] += 1
        for gram in raw[n]:
            if gram[0] == "<s>" and n > 1:
                adjusted[n][gram] = raw[n][gram]
    return raw, adjusted


def discounts(adjusted: Counted) -> list[float]:
    seen = Counter(adjusted.values())
    if not all(seen[j] for j in (1, 2, 3)):
        return [0.0, 0.5, 1.0, 1.5]
    y = seen[1] / (seen[1] + 2 * seen[2])
    found = [0.0, *(j - (j + 1) * y * seen[j + 1] / seen[j] for j in (1, 2, 3))]
    return found if all(0 <= d <= j for j, d in enumerate(found)) else [0.0, 0.5, 1.0, 1.5]


def assert_agree(found: Model, expected: Model) -> None:
    assert found.keys() == expected.keys()
    for gram, values in expected.items():
        assert found[gram] == pytest.approx(values, abs=1e-4), gram


@settings(deadline=None)
@given(lines=LINES, order=st.integers(2, 5))
def test_it_agrees_with_dictionaries(lines: list[str], order: int) -> None:
    assert_agree(arpa_of(lines, order), by_dictionaries(lines, order))


@pytest.mark.parametrize("order", [2, 3, 6])
def test_it_agrees_with_dictionaries_on_a_tale(order: int) -> None:
    assert_agree(arpa_of(TALE.splitlines() * 3, order), by_dictionaries(TALE.splitlines() * 3, order))


@pytest.mark.parametrize("order", [2, 3, 5])
def test_probabilities_sum_to_one(order: int) -> None:
    model = arpa_of(TALE.splitlines(), order)
    words = [gram for gram in model if " " not in gram and gram != "<s>"]
    for context in (["<s>"], ["the"], ["<s>", "the"], ["the", "wheel"], ["ground"]):
        assert sum(10 ** backed_off(model, context, word, order) for word in words) == pytest.approx(1, abs=1e-5)


def backed_off(model: Model, context: list[str], word: str, order: int) -> float:
    context = context[max(0, len(context) - order + 1) :]
    gram = " ".join([*context, word])
    if gram in model:
        return model[gram][0]
    return model.get(" ".join(context), (0.0, 0.0))[1] + backed_off(model, context[1:], word, order)


@needs_kenlm_programs
@pytest.mark.parametrize("order", [2, 3, 5, 6])
@pytest.mark.parametrize(
    "text", [TALE, "a\n", "a a a a a a\na b\n" * 9, "\n".join(map(" ".join, TALE.splitlines())) + "\n"]
)
def test_it_agrees_with_lmplz(text: str, order: int, tmp_path: Path) -> None:
    """Plain text, one word, what needs fallback discounts, and characters."""
    command = [program("lmplz"), "-o", str(order), "-S", "64M", "-T", f"{tmp_path}/", "--discount_fallback"]
    done = subprocess.run(command, input=text.encode(), check=True, capture_output=True)
    assert_agree(arpa_of(text.splitlines(), order), parsed(done.stdout.decode()))


def test_nothing_to_train_on() -> None:
    with pytest.raises(NothingRead, match="no token"):
        estimate([], 3)
