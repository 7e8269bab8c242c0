"""Lines of a stream, against bytes.split."""

import itertools
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.formats.lines import Line, LineCounter, lines

CONTENT = st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r\n", b"\xff", b"\n\n"]), max_size=60).map(b"".join)


def expected(data: bytes, limit: int, begin: int = 0) -> list[Line]:
    pieces = data.split(b"\n")
    if not pieces[-1]:
        pieces.pop()
    found = []
    for piece in pieces:
        found.append(Line(begin, piece if len(piece) <= limit else None, len(piece)))
        begin += len(piece) + 1
    return found


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data cut at the given places (taken modulo its length); equal cuts give empty chunks."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(places)]


@settings(max_examples=300, deadline=None)
@given(data=CONTENT, cuts=st.lists(st.integers(0, 200), max_size=8), limit=st.integers(0, 12), begin=st.integers(0, 9))
def test_lines_are_those_of_split_whatever_the_chunks(data: bytes, cuts: list[int], limit: int, begin: int) -> None:
    assert list(lines(chunked(data, cuts), limit, begin)) == expected(data, limit, begin)


def test_an_oversize_line_is_not_kept_in_memory() -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(200):
            yield b"x" * 100_000
        yield b"\nshort"

    tracemalloc.start()
    found = list(lines(chunks(), 1000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == [Line(0, None, 20_000_000), Line(20_000_001, b"short", 5)]
    assert peak < 1_000_000


@settings(max_examples=60, deadline=None)
@given(data=CONTENT, picks=st.sets(st.integers(0, 200), max_size=6))
def test_the_counter_numbers_the_lines_at_ascending_offsets(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, picks: set[int]
) -> None:
    path = tmp_path_factory.mktemp("counter") / "a"
    path.write_bytes(data)
    starts = [line.offset for line in lines([data], 100)]
    counter = LineCounter(str(path))
    for index in sorted(pick for pick in picks if pick < len(starts)):
        assert counter.line_at(starts[index]) == index + 1
        assert counter.line_at(starts[index]) == index + 1
