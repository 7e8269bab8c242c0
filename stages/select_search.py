"""Where the best documents of each stratum end: an exact threshold, found in rounds of bounded answers.

The best documents are taken, one after the other, as long as they fit the budget; the first that does not fit ends it.
So the answer is a place in the order, and finding it is selection by sampling: a round draws SAMPLE documents by a hash
of their id, the next counts documents and tokens between the drawn places, which leaves one gap per stratum to look
into, and so on. Where a sample holds all documents of a gap, the end is read from it. Three rounds suffice up to about
SAMPLE**2 / 2 documents in one stratum; each pair of rounds divides what is left by thousands.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from stages.errors import ConfigError
from stages.select_rows import FIRST, LAST, PLACE, Rows

SAMPLE = 1 << 15
"""Documents in a sample."""
MOST_STRATA = 10_000
DRAWN = np.dtype([("lot", "u8"), ("stratum", "i8"), ("place", PLACE), ("tokens", "i8")])
_CELL = np.dtype("S28")
"""A stratum's number and a place."""


@dataclass(frozen=True)
class Stratum:
    """What is known of one stratum. Places are hexadecimal."""

    reached: int
    """Documents that reach the stage."""
    documents: int
    """Candidates: those that pass the minimums."""
    tokens: int
    """Of the candidates."""
    share: float = 0.0
    asked: int = 0
    """Tokens, by its share of the budget."""
    budget: int = 0
    """Tokens that it may take."""
    copies: int = 0
    """Times that all its candidates are taken."""
    rest: int = 0
    """Tokens that its best documents may take beyond that."""
    low: str = FIRST.hex()
    high: str = LAST.hex()
    """The threshold is in this gap: `low` <= place < `high`, or it is `high`."""
    above: tuple[int, int] = (0, 0)
    """Documents and tokens at `high` and better."""
    inside: int = 0
    """Documents in the gap."""
    threshold: str = ""
    """The last place that is taken; empty while it is not known."""
    splitters: str = ""
    """Places between which the next round counts."""

    @property
    def is_open(self) -> bool:
        """Whether the threshold is not known."""
        return not self.threshold


Strata = dict[str, Stratum]
Grid = tuple[list[str], np.ndarray]


@dataclass(frozen=True)
class Partial:
    """What one round found in some rows: of sampling rounds supply and sample, of counting rounds cells."""

    names: tuple[str, ...] = ()
    supply: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    """int64, (names, 3): documents, candidates, tokens of candidates."""
    sample: np.ndarray = field(default_factory=lambda: np.zeros(0, DRAWN))
    """DRAWN; `stratum` is an index into `names`."""
    cells: np.ndarray | None = None
    """int64, (cells, 2): documents and tokens between neighbouring splitters."""


def strata_in(state: Mapping[str, Any]) -> Strata:
    """The strata in a state."""
    return {name: Stratum(**{**found, "above": tuple(found["above"])}) for name, found in state["strata"].items()}


def as_state(strata: Strata) -> dict[str, Any]:
    """The strata as values for JSON."""
    return {name: {**asdict(found), "above": list(found.above)} for name, found in sorted(strata.items())}


def sampled(rows: Rows, strata: Strata | None) -> Partial:
    """The supply and a sample of some rows: of all candidates, or of those in the gaps of `strata`."""
    candidates = rows.candidates
    size = len(rows.names)
    supply = np.stack([np.bincount(rows.stratum, minlength=size), np.bincount(rows.stratum[candidates], minlength=size),
                       _sums(rows.stratum[candidates], rows.tokens[candidates], size)], axis=1)  # fmt: skip
    chosen, place = candidates, rows.place
    if strata is not None:
        low, high = (np.array([_bound(strata, name, end) for name in rows.names], PLACE) for end in ("low", "high"))
        chosen = candidates & (place >= low[rows.stratum]) & (place < high[rows.stratum])
    drawn = np.empty(int(chosen.sum()), DRAWN)
    drawn["lot"], drawn["stratum"] = rows.hashes[chosen, 1], rows.stratum[chosen]
    drawn["place"], drawn["tokens"] = place[chosen], rows.tokens[chosen]
    return Partial(_few(tuple(rows.names)), supply, _smallest(drawn))


def counted(rows: Rows, cells: Grid) -> Partial:
    """Documents and tokens of some rows between the splitters of the open strata."""
    names, grid = cells
    number = {name: index for index, name in enumerate(names)}
    code = np.array([number.get(name, -1) for name in rows.names], np.int64)[rows.stratum]
    chosen = rows.candidates & (code >= 0)
    cell = np.searchsorted(grid, _cells(code[chosen], rows.place[chosen]), side="right") - 1
    documents = np.bincount(cell, minlength=len(grid))
    return Partial(cells=np.stack([documents, _sums(cell, rows.tokens[chosen], len(grid))], axis=1))


def merged(partials: Sequence[Partial]) -> Partial:
    """One partial for the rows of several. Raises ConfigError for too many strata."""
    if partials[0].cells is not None:
        return Partial(cells=np.sum([np.asarray(partial.cells) for partial in partials], axis=0))
    names = _few(tuple(sorted({name for partial in partials for name in partial.names})))
    number = {name: index for index, name in enumerate(names)}
    supply, samples = np.zeros((len(names), 3), np.int64), []
    for partial in partials:
        place = np.array([number[name] for name in partial.names], np.int64)
        supply[place] += partial.supply
        sample = partial.sample.copy()
        sample["stratum"] = place[sample["stratum"]]
        samples.append(sample)
    return Partial(names, supply, _smallest(np.concatenate(samples)))


def after_sample(strata: Strata, partial: Partial) -> Strata:
    """The strata after a round that sampled: solved where the sample is whole, with splitters elsewhere."""
    sample = np.sort(partial.sample, order=["stratum", "place"])
    known = dict(strata)
    ends = np.searchsorted(sample["stratum"], np.arange(len(partial.names) + 1))
    drawn = {name: sample[ends[index] : ends[index + 1]] for index, name in enumerate(partial.names)}
    for name, stratum in strata.items():
        if stratum.is_open:
            rows = drawn.get(name, sample[:0])
            known[name] = _solved(stratum, rows) if len(rows) == stratum.inside else _split(stratum, rows)
    return known


def after_count(strata: Strata, partial: Partial) -> Strata:
    """The strata after a round that counted: each gap is now the one in which the budget runs out."""
    cells, begin, known = np.asarray(partial.cells), 0, dict(strata)
    for name, splitters in _splitters(strata):
        size = len(splitters)
        documents, tokens = cells[begin : begin + size].T
        better = tokens[::-1].cumsum()[::-1]  # tokens in a cell and in those above it
        border = int(np.flatnonzero(better > strata[name].rest)[-1])
        high = bytes(splitters[border + 1]).ljust(24, b"\0") if border + 1 < size else LAST
        found = replace(
            strata[name],
            low=bytes(splitters[border]).ljust(24, b"\0").hex(),
            high=high.hex(),
            above=(int(documents[border + 1 :].sum()), int(tokens[border + 1 :].sum())),
            inside=int(documents[border]),
            splitters="",
        )
        alone = found.high == _after(bytes.fromhex(found.low)).hex()  # one place, whose documents do not fit
        known[name] = replace(found, threshold=found.high, inside=0) if alone else found
        begin += size
    return known


def _solved(stratum: Stratum, rows: np.ndarray) -> Stratum:
    """The threshold from all documents of the gap, in order of their places. Equal places stand or fall together."""
    places, group, documents = np.unique(rows["place"], return_inverse=True, return_counts=True)
    tokens = _sums(group, rows["tokens"], len(places))[::-1].cumsum()
    fitting = int((stratum.above[1] + tokens <= stratum.rest).sum())
    if not fitting:
        return replace(stratum, threshold=stratum.high, inside=0, splitters="")
    more = int(documents[::-1][:fitting].sum()), int(tokens[fitting - 1])
    above = stratum.above[0] + more[0], stratum.above[1] + more[1]
    return replace(stratum, threshold=_hex(places[-fitting : len(places) - fitting + 1]), above=above, splitters="")


def _split(stratum: Stratum, rows: np.ndarray) -> Stratum:
    """One place for a whole sample is that of many documents of one id: a cell of its own parts it from the others."""
    places = np.unique(rows["place"])
    after = _after(bytes(places[0])).hex() if len(places) == 1 else ""
    return replace(stratum, splitters=_hex(places) + after)


def _after(place: bytes) -> bytes:
    """The next place that could be."""
    return (int.from_bytes(place.ljust(24, b"\0"), "big") + 1).to_bytes(24, "big") if place != LAST else LAST


def _splitters(strata: Strata) -> Iterator[tuple[str, np.ndarray]]:
    """Of each open stratum the places where cells begin, the first before all documents."""
    for name, stratum in sorted(strata.items()):
        if stratum.is_open:
            ends = FIRST + bytes.fromhex(stratum.low + stratum.splitters + stratum.high)
            yield name, np.unique(np.frombuffer(ends, PLACE))


def grid_in(state: Mapping[str, Any]) -> Grid:
    """The open strata of a state, and the first cell of each and all after it as one sorted array."""
    found = list(_splitters(strata_in(state)))
    grid = [_cells(np.full(len(places), index), places) for index, (_, places) in enumerate(found)]
    return [name for name, _ in found], np.concatenate(grid)


def _cells(code: np.ndarray, place: np.ndarray) -> np.ndarray:
    cells = np.empty((len(code), 28), np.uint8)
    cells[:, :4] = code.astype(">u4").view(np.uint8).reshape(-1, 4)
    cells[:, 4:] = np.ascontiguousarray(place).view(np.uint8).reshape(-1, 24)
    return cells.view(_CELL).ravel()


def _smallest(drawn: np.ndarray) -> np.ndarray:
    if len(drawn) <= SAMPLE:
        return drawn
    return np.asarray(drawn[np.argpartition(drawn["lot"], SAMPLE)[:SAMPLE]])


def _sums(group: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    """Exact sums by group; `np.bincount` would add floats."""
    sums = np.zeros(size, np.int64)
    np.add.at(sums, group, values)
    return sums


def _bound(strata: Strata, name: str, end: str) -> bytes:
    """An end of a stratum's gap; an empty gap if its threshold is known."""
    return bytes.fromhex(getattr(strata[name], end)) if strata[name].is_open else FIRST


def _hex(places: np.ndarray) -> str:
    return np.ascontiguousarray(places).tobytes().hex()


def _few(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(names) > MOST_STRATA:
        raise ConfigError(
            f"select.strata: found more than {MOST_STRATA:,} strata, such as '{names[0][:40]}': choose columns with "
            "fewer values, or none"
        )
    return names
