"""Workers do not pay for pandas, and can still have it."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
import pyarrow as pa
from pipeline.lean import spare_pandas

spare_pandas()
hidden = len(sys.meta_path)
spare_pandas()
pa.array(["a", None]); pa.array([1.5]); pa.table({"a": [1]}).to_pylist()
assert "pandas" not in sys.modules
assert not any(type(finder).__name__ == "_NoPandas" for finder in sys.meta_path)
import pandas
assert pa.table({"a": [1, 2]}).to_pandas()["a"].tolist() == [1, 2]
assert pa.Table.from_pandas(pandas.DataFrame({"b": ["x"]})).to_pylist() == [{"b": "x"}]
print("done")
"""
WITHOUT = "import sys, pyarrow as pa; pa.array([0]); print('pandas' in sys.modules)"


def answer(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.strip()


def test_pandas_is_not_imported_until_it_is_wanted() -> None:
    pytest.importorskip("pandas")
    assert answer(SCRIPT) == "done"


def test_pyarrow_imports_pandas_if_it_may() -> None:
    """The cost that is spared; if this fails, pyarrow mended it and `spare_pandas` can go."""
    pytest.importorskip("pandas")
    assert answer(WITHOUT) == "True"
