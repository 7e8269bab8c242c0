"""The quickstart text: a corpus of real documents, put together from packages that are installed already.

The project ships no third-party text. `assemble` reads the text files that the packages of the `quickstart` extra and
the standard library bring along, and writes them as one compressed JSON Lines file per source. It uses no network,
imports none of those packages, and gives the same bytes whenever the same package versions are installed.

Reading order: `documents` (what a reader gives), `prose`, `catalogues` and `code` (the readers), `sources` (the table
of sources), `locate` (where a package keeps its files), `writing`.
"""

from pipeline.sample.sources import SOURCES
from pipeline.sample.writing import LISTING_NAME, SampleSource, assemble

__all__ = ["LISTING_NAME", "SOURCES", "SampleSource", "assemble"]
