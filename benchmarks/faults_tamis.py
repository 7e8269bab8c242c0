"""Child of faults_peers.py: the `tamis` command with a stage that raises at some texts.

    python faults_tamis.py MARK run CONFIG --workers 1

The stage `language` fails on every batch that holds the mark, as a mistake in a user's stage does.
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.cli import main
from stages.contract import Annotate
from stages.language import Language

MARK = sys.argv[1]
_open = Language.open


def _failing(self: Language) -> Annotate:
    annotate = _open(self)

    def failing(batch: pa.RecordBatch) -> pa.RecordBatch:
        if pc.any(pc.match_substring(batch.column("text"), MARK)).as_py():
            raise RuntimeError("a fault in a stage")
        return annotate(batch)

    return failing


if __name__ == "__main__":
    Language.open = _failing  # type: ignore[method-assign]
    sys.argv[0:2] = ["tamis"]
    main()
