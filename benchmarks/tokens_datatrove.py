"""datatrove's TokensCounter on the texts of a JSON Lines file; run by tokens_speed.py with datatrove's Python.

    python tokens_datatrove.py TOKENIZER_JSON FILE.jsonl

Prints CPU seconds of the counting alone, and the number of tokens.
"""

import json
import sys
import time
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.tokens import TokensCounter


def main() -> None:
    lines = Path(sys.argv[2]).read_bytes().splitlines()
    documents = [Document(text=json.loads(line)["text"], id=str(place)) for place, line in enumerate(lines)]
    counter = TokensCounter(tokenizer_name_or_path=sys.argv[1])
    assert counter.tokenizer is not None
    began = time.process_time()
    tokens = sum(document.metadata["token_count"] for document in counter.run(documents))
    print(json.dumps({"seconds": time.process_time() - began, "tokens": tokens}))


if __name__ == "__main__":
    main()
