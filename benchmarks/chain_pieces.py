"""Child of chain_models.py, run where sentencepiece is installed: a SentencePiece model, and a text in its pieces.

    python chain_pieces.py TEXT.txt DIRECTORY VOCABULARY

Writes DIRECTORY/en.sp.model and DIRECTORY/pieces.txt.
"""

import sys
from pathlib import Path

import sentencepiece


def main() -> None:
    text, directory, vocabulary = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(directory / "en.sp"),
        vocab_size=vocabulary,
        normalization_rule_name="nmt_nfkc_cf",
        num_threads=1,
        minloglevel=2,
    )
    processor = sentencepiece.SentencePieceProcessor(model_file=str(directory / "en.sp.model"))
    with text.open(encoding="utf-8") as lines, (directory / "pieces.txt").open("w", encoding="utf-8") as pieces:
        for line in lines:
            pieces.write(" ".join(processor.encode_as_pieces(line)) + "\n")


if __name__ == "__main__":
    main()
