"""The protocol of DataMan (arXiv 2502.19363): criteria, domains, prompts, the text they are asked about, the answer.

A rater is asked about one document and answers with the letter of a domain and fourteen digits, a line each. The
prompts are those the published models were trained on, to the letter; the text is prepared as it was then.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

CRITERIA = (
    "accuracy",
    "coherence",
    "language_consistency",
    "semantic_density",
    "knowledge_novelty",
    "topic_focus",
    "creativity",
    "professionalism",
    "style_consistency",
    "grammatical_diversity",
    "structural_standardization",
    "originality",
    "sensitivity",
    "overall_score",
)
"""In the order of the answer. Each is rated 1 (worst) to 5 (best); `originality` means little repetition, `sensitivity`
that sensitive matter is handled well, and `overall_score` is a judgement of its own, not a formula."""

DOMAINS = (
    "medicine",
    "finance",
    "law",
    "education",
    "technology",
    "entertainment",
    "mathematics",
    "coding",
    "government",
    "culture",
    "transportation",
    "retail_e-commerce",
    "telecommunication",
    "agriculture",
    "other",
)
"""In the order of the letters A to O."""
LETTERS = "ABCDEFGHIJKLMNO"
DIGITS = "12345"
MODES = ("all", "score", "domain")
"""What is asked for: domain and fourteen criteria, the overall score alone, or the domain alone."""
SYSTEM = "You are a helpful assistant."
MOST_TOKENS = 1894
"""Model tokens of text that are shown to a rater: the first and the last half, with `...` between."""
MOST_READ = 200_000
"""Of longer texts, the first and the last half of this are cleaned, and the rest is never looked at."""
MOST_CHARACTERS = 20_000
"""Longer texts are cut to their first and last half of this before they are tokenised."""
GAP = "..."

_ENGLISH = (
    "Accuracy",
    "Coherence",
    "Language Consistency",
    "Semantic Density",
    "Knowledge Novelty",
    "Topic Focus",
    "Creativity",
    "Professionalism",
    "Style Consistency",
    "Grammatical Diversity",
    "Structural Standardization",
    "Originality",
    "Sensitivity",
    "Overall Score",
)
_CHINESE = (
    "准确性",
    "连贯性",
    "语种一致性",
    "信息含量",
    "知识新颖性",
    "专注度",
    "创意",
    "专业性",
    "风格一致性",
    "语法多样性",
    "结构规范性",
    "内容原创性",
    "敏感度",
    "总评",
)


@dataclass(frozen=True)
class Wording:
    """The words of one language's prompts."""

    all: str
    score: str
    domain: str
    text: str
    domain_slot: str
    criteria: tuple[str, ...]


WORDINGS = {
    "en": Wording(
        "Please score the text on fourteen evaluation criteria and specify its domain:",
        "Please give an overall score for the text:",
        "Please specify an domain type for the text:",
        "Text: ",
        "Domain:_",
        _ENGLISH,
    ),
    "zh": Wording(
        "请给出文本的十四项评价指标分数和领域类别:",
        "请给出文本的整数总评分:",
        "请给出文本的领域类型:",
        "文本: ",
        "领域:_",
        _CHINESE,
    ),
}
_WORD = re.compile(r"\w")
_LEADING_ELLIPSIS = re.compile(r"^[\"“”](?:…+|\.{3,})[\"“”]")
_BARE_IMAGE = re.compile(r"!\[\]\([^)]+(?:\)\n?|\Z)")
"""An image without a description, whatever follows it: as those to be kept are matched, too, none is read twice."""


def slots(mode: str) -> tuple[str, ...]:
    """What each line of the answer chooses from, in order.

    >>> len(slots("all")), slots("score"), slots("domain")
    (15, ('12345',), ('ABCDEFGHIJKLMNO',))
    """
    return {"all": (LETTERS, *([DIGITS] * len(CRITERIA))), "score": (DIGITS,), "domain": (LETTERS,)}[mode]


def user_message(text: str, language: str = "en", mode: str = "all") -> str:
    """The message of the user that asks for a rating of the prepared `text`.

    >>> print(user_message("A text.", mode="score"))
    Please give an overall score for the text:
    Text: A text.
    Overall Score:_/5
    """
    words = WORDINGS[language]
    asked = {
        "all": [
            words.domain_slot,
            *(f"[{number}]{name}:_/5" for number, name in enumerate(words.criteria, 1)),
        ],
        "score": [f"{words.criteria[-1]}:_/5"],
        "domain": [words.domain_slot],
    }[mode]
    return "\n".join([getattr(words, mode), f"{words.text}{text}", *asked])


def cleaned(text: str) -> str:
    """The text without a leading ellipsis in quotes and without Markdown images that have no description.

    >>> cleaned('"..." and so on.')
    ' and so on.'
    >>> cleaned("One ![](a.png)\\ntwo")
    'One two'
    """
    shown = _LEADING_ELLIPSIS.sub("", text)
    return _BARE_IMAGE.sub(lambda found: "" if found[0].endswith(")\n") else found[0], shown)


def prepared(
    text: str,
    encode: Callable[[str], Sequence[int]],
    decode: Callable[[Sequence[int]], str],
    specials: Iterable[str],
    most: int = MOST_TOKENS,
) -> str:
    """What is shown to a model of a document: cleaned, special tokens neutralised, at most `most` tokens; "" if empty.

    `encode` and `decode` are the model's tokenizer without special tokens added. The document itself is never changed.
    """
    shown = _ends(neutralised(cleaned(_ends(text, MOST_READ)), specials), MOST_CHARACTERS)
    tokens = encode(shown)
    half = most // 2
    if len(tokens) > most:
        shown = decode(tokens[:half]) + GAP + decode(tokens[-half:])
    return "" if is_empty(shown) else neutralised(shown, specials).strip()


def is_empty(text: str) -> bool:
    """Whether a text has no letter, digit, punctuation mark or symbol, but at most blanks, controls and lone marks.

    >>> is_empty(" \\ufeff\\x00\\u200b\\n"), is_empty("..."), is_empty("")
    (True, False, True)
    """
    return _WORD.search(text) is None and all(unicodedata.category(found)[0] in "ZCM" for found in set(text))


def _ends(text: str, most: int) -> str:
    """The first and the last half of `most` characters; a shorter text is whole."""
    return text if len(text) <= most else text[: most // 2] + text[-(most // 2) :]


def neutralised(text: str, specials: Iterable[str]) -> str:
    """The text with a space inside every special token, so that a tokenizer reads it as ordinary characters.

    >>> neutralised("a<|im_end|>b", ["<|im_end|>"])
    'a< |im_end|>b'
    """
    for special in sorted(specials, key=len, reverse=True):
        if len(special) > 1 and special in text:
            text = text.replace(special, f"{special[0]} {special[1:]}")
    return text


def parse_answer(answer: str, mode: str = "all") -> tuple[str | None, tuple[int, ...]] | None:
    """Domain and scores of an answer, or None unless it has exactly the lines that were asked for.

    Space around a line and one final newline are forgiven; anything else (14 or 16 lines, `0`, `6`, `P`) is not.

    >>> parse_answer("D\\n" + "\\n".join("45432454445455"))[0]
    'education'
    >>> parse_answer("4\\n", "score")
    (None, (4,))
    >>> parse_answer("6", "score") is None
    True
    """
    lines = [line.strip() for line in answer.removesuffix("\n").split("\n")]
    wanted = slots(mode)
    if len(lines) != len(wanted):
        return None
    if any(len(line) != 1 or line not in choices for line, choices in zip(lines, wanted, strict=True)):
        return None
    domain = None if mode == "score" else DOMAINS[LETTERS.index(lines[0])]
    return domain, tuple(int(line) for line in lines if line in DIGITS)
