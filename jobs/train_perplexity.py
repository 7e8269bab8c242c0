"""Train an n-gram model: the same as `tamis train perplexity`, for schedulers that start Python files.

python jobs/train_perplexity.py --input 'data/*.jsonl.zst' --output models/en.harmful.klm --language en --kind harmful
"""

import sys

from pipeline.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["train", "perplexity"]
    main()
