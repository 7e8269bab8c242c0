"""The pictures of the mixture: ticks at round places, inside the box."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.mixture_charts import HEIGHT, WIDTH, chart, ticks

values = st.floats(-1e6, 1e6, allow_nan=False)


@given(low=values, wide=st.floats(1e-3, 1e6))
def test_ticks_are_few_evenly_apart_and_lie_between_the_ends(low: float, wide: float) -> None:
    found = ticks(low, low + wide)
    assert 2 <= len(found) <= 6
    assert all(low - 1e-6 * wide <= place <= low + wide + 1e-6 * wide for place in found)
    steps = [after - before for before, after in pairwise(found)]
    assert max(steps) - min(steps) <= 1e-6 * wide
    assert f"{max(steps):.1e}"[0] in "125"


@given(st.lists(st.tuples(st.integers(0, 10_000), values), min_size=1, max_size=20), st.booleans())
def test_every_tick_of_a_chart_lies_in_its_box(points: list[tuple[int, float]], zero: bool) -> None:
    positive = [(x, abs(y)) for x, y in points]
    found = chart({"a": positive}, "loss", "step", zero=zero)
    assert all(-1e-3 <= tick["at"] <= HEIGHT + 1e-3 for tick in found["y"])
    assert all(-1e-3 <= tick["at"] <= WIDTH + 1e-3 for tick in found["x"])


def test_ticks_are_written_out_and_differ() -> None:
    found = chart({"a": [(0, 2.3456781), (1_300_000, 2.3456789)]}, "loss", "context", zero=False)
    assert [tick["label"] for tick in found["x"]] == ["0", "500,000", "1,000,000"]
    assert [tick["label"] for tick in found["y"]][:2] == ["2.3456782", "2.3456784"]
