"""Child of language_speed.py: the bare fastText loop, with the fastText of whichever environment runs this file.

Prints JSON: documents per CPU second for each way. The strings are made before the clock starts, so this is the
limit for any pipeline that asks this model about these texts one by one.
"""

import argparse
import json
import time
from pathlib import Path

import fasttext


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--prefix", type=int, required=True, help="characters of the second way")
    arguments = parser.parse_args()
    with arguments.corpus.open(encoding="utf-8") as file:
        texts = [json.loads(line)["text"].lower().replace("\n", " ") for line in file]
    model = fasttext.load_model(arguments.model)
    cut = [text[: arguments.prefix] for text in texts]
    print(json.dumps({"full": _rate(model, texts), "prefix": _rate(model, cut)}))


def _rate(model: "fasttext.FastText._FastText", texts: list[str]) -> float:
    began = time.process_time()
    for text in texts:
        model.predict(text)
    return len(texts) / (time.process_time() - began)


if __name__ == "__main__":
    main()
