"""Pinning the probability of unknown words in an ARPA file."""

from pathlib import Path

import pytest

from pipeline.training.unknown_words import pin_unknown
from stages.errors import TamisError

HEAD = "\\data\\\nngram 1=3\nngram 2=1\n\n"
ARPA = HEAD + "\\1-grams:\n-1.5\t<unk>\t0\n-0.3\ta\t-0.1\n-0.2\t</s>\n\n\\2-grams:\n-0.4\ta </s>\n"


@pytest.mark.parametrize("line", ["-1.5\t<unk>\t0\n", "-1.5\t<unk>\n"])
def test_only_the_line_of_unk_changes(tmp_path: Path, line: str) -> None:
    path = tmp_path / "m.arpa"
    path.write_text(ARPA.replace("-1.5\t<unk>\t0\n", line))
    pin_unknown(path, -6.0)
    assert path.read_text() == ARPA.replace("-1.5\t<unk>\t0\n", line.replace("-1.5", "-6"))
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_without_unk_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.arpa"
    path.write_text(ARPA.replace("<unk>", "b"))
    with pytest.raises(TamisError, match="no line for <unk>"):
        pin_unknown(path, -6.0)
