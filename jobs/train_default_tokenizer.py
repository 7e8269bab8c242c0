"""The recipe of the tokenizer that comes with Tamis: stages/models/tokenizer/tokenizer.json and its card.

    tamis sample
    python jobs/train_default_tokenizer.py

A byte-level BPE: text is cut into words by PATTERN, and the most frequent pairs within words become tokens, until there
are VOCABULARY of them. Digits stand alone, nothing is normalised, and any text comes back from its ids. The texts are
of tier A of the development data (`$TAMIS_DATA`) and of the quickstart corpus, nothing harmful, and are drawn by a
seed; the same texts give the same file, byte by byte, whatever the number of threads.
Source: "Neural Machine Translation of Rare Words with Subword Units" (ACL 2016), on bytes.
"""

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
from perplexity_sources import Source, read
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from stages.model_files import sha256_of
from stages.tokenizer_pieces import PATTERNS
from stages.tokenizers import DEFAULT_FILE, END

SEED = 20250801
VOCABULARY = 8192
LONGEST = 16
"""Bytes of a token: longer ones are the stock phrases and rulers of a few sources."""
PATTERN = PATTERNS[0]
"""Words: an English contraction; letters, with one sign or space before them; a digit; signs; line ends; spaces."""
COMMAND = "python jobs/train_default_tokenizer.py"


@dataclass(frozen=True)
class Part:
    """A source, and how many of its characters are used."""

    source: Source
    characters: int


def _part(name: str, path: str, licence: str, characters: int, *where: str) -> Part:
    return Part(Source(name, path, licence, where), characters)


_WIKI = "CC BY-SA 4.0 (Wikipedia)"
_LEIPZIG = "CC BY 4.0 (Leipzig Corpora)"

PARTS = (
    _part("sample encyclopedia en", "sample/encyclopedia", _WIKI, 3_000_000, "language=en"),
    _part("sample encyclopedia es", "sample/encyclopedia", _WIKI, 800_000, "language=es"),
    _part("sample encyclopedia fr", "sample/encyclopedia", _WIKI, 800_000, "language=fr"),
    _part("sample speeches", "sample/speeches", "public domain", 400_000),
    _part("sample scripture", "sample/scripture", "public domain", 200_000),
    _part("sample dialogues", "sample/dialogues", "BSD-3-Clause", 400_000),
    _part("sample account_messages", "sample/account_messages", "MIT", 200_000),
    _part("sample ui_catalogues", "sample/ui_catalogues", "BSD-3-Clause", 300_000),
    _part("sample licence_texts", "sample/licence_texts", "published licences, verbatim", 100_000),
    _part("sample python_docs", "sample/python_docs", "PSF-2.0", 300_000),
    _part("sample python_code", "sample/python_code", "PSF-2.0", 1_000_000),
    _part("sample web_code", "sample/web_code", "BSD-3-Clause", 800_000),
    _part("books", "groups/books", "public domain", 1_500_000),
    _part("code_java", "groups/code_java", "MIT", 600_000),
    _part("code_python", "groups/code_python", "MIT", 800_000),
    _part("finance_gov", "groups/finance_gov", "public domain", 500_000),
    _part("law_de", "groups/law_de", "public domain", 600_000),
    _part("law_en", "groups/law_en", "MIT", 300_000),
    _part("math_latex", "groups/math_latex", "GFDL 1.2", 800_000),
    _part("medical_web", "groups/medical_web", "CC BY 4.0", 600_000),
    _part("stackexchange", "groups/stackexchange", "CC BY-SA 3.0", 800_000),
    _part("wiki", "groups/wiki", "CC BY-SA 3.0", 1_000_000),
    _part("lingua79", "language/lingua79", _LEIPZIG, 4_000_000, "kind=sentences"),
    _part("xquad", "language/xquad_paragraphs_12lang", "CC BY-SA 4.0", 1_000_000),
    _part("udhr", "language/udhr2_blocks", "UN, free reproduction", 400_000),
)


def main() -> None:
    """Draw the texts, train, write the tokenizer and its card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=DEFAULT_FILE, help="the tokenizer.json; its card goes beside it")
    arguments = parser.parse_args()
    texts = {part.source.name: drawn(read(part.source), part) for part in PARTS}
    tokenizer = trained([text for found in texts.values() for text in found])
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(tokenizer.to_str(pretty=False), encoding="utf-8")
    card = card_of(arguments.output, tokenizer, texts)
    arguments.output.with_name("card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    print(f"{arguments.output}: {card['bytes']:,} bytes, {card['sha256']}")


def drawn(texts: Sequence[str], part: Part) -> list[str]:
    """Texts in an order that the seed gives, up to the characters that the part may use."""
    found = sorted(set(texts))
    random.Random(f"{SEED} {part.source.name}").shuffle(found)
    taken, total = [], 0
    for text in found:
        if total >= part.characters:
            break
        taken.append(text[: part.characters - total])
        total += len(taken[-1])
    return taken


def trained(texts: Sequence[str]) -> Tokenizer:
    """The tokenizer of these texts."""
    tokenizer = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(PATTERN), behavior="isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, as_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        max_token_length=LONGEST,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def card_of(path: Path, tokenizer: Tokenizer, texts: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What the tokenizer was made of, and how."""
    return {
        "name": "default",
        "kind": "byte-level BPE",
        "vocabulary": tokenizer.get_vocab_size(),
        "end": END,
        "documents": {name: len(found) for name, found in texts.items()},
        "characters": {name: sum(map(len, found)) for name, found in texts.items()},
        "sha256": sha256_of(path),
        "bytes": path.stat().st_size,
        "licence": "; ".join(f"{part.source.name}: {part.source.licence}" for part in PARTS),
        "command": COMMAND,
        "tool": f"tokenizers {tokenizers.__version__}",
    }


if __name__ == "__main__":
    main()
