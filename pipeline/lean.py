"""Keeping worker processes small."""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec

import pyarrow as pa


class _NoPandas(MetaPathFinder):
    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ImportError("hidden while pyarrow looks for it")
        return None


def spare_pandas() -> None:
    """Keep pyarrow from importing pandas in this process just to look whether a value is a pandas one.

    `pa.array` imports pandas at its first call wherever pandas is installed, which costs about 1 CPU second and 45 MB
    in every worker, and Tamis has no pandas values. pyarrow looks once, so pandas is hidden for that one look;
    afterwards it can be imported as ever, by users and by pyarrow's own `to_pandas`.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)
