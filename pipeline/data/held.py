"""A range of a group's contexts, as a source of its own: what is held out, or what one task reads."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.data.contexts import ContextSource, ParquetContexts
from stages.errors import ConfigError


class Held:
    """Contexts of a source from `begin` to before `end`. Of Parquet, only the row groups that hold them are pickled."""

    def __init__(self, source: ContextSource, begin: int, end: int) -> None:
        """Raises ConfigError if the source has no such range."""
        if not 0 <= begin <= end <= len(source):
            raise ConfigError(f"found contexts {begin:,} to {end:,}, expected a range of the {len(source):,} there are")
        whole = getattr(source, "checksum", "")
        self.checksum = f"{whole}[{begin}:{end}]" if whole else ""
        """The source's and the range, if the source has one."""
        offset = 0
        if isinstance(source, ParquetContexts):
            source, offset = source.around(begin, end)
        self._source, self._begin, self._end = source, begin - offset, end - offset

    def __len__(self) -> int:
        """Number of contexts."""
        return self._end - self._begin

    def rows(self, begin: int, end: int) -> Sequence[Mapping[str, Any]]:
        """Contexts from `begin` to before `end` of the range."""
        return self._source.rows(self._begin + begin, self._begin + min(end, len(self)))

    def table(self) -> pa.Table:
        """All of them as columns of Arrow, from Parquet."""
        assert isinstance(self._source, ParquetContexts)
        return self._source.table(self._begin, self._end)
