"""The token budget of each stratum: its share of the whole, what it holds, and who takes what others lack."""

from collections.abc import Mapping
from fractions import Fraction

Shares = dict[str, Fraction]


def shares_of(setting: str | Mapping[str, float], supply: Mapping[str, int]) -> Shares:
    """The share of each stratum that holds tokens or is named by the setting; they sum to 1.

    `supply` is stratum -> tokens. Shares are those of the supply (`proportional`), `equal`, or given by name.

    >>> [str(share) for share in shares_of("proportional", {"a": 30, "b": 10, "c": 0}).values()]
    ['3/4', '1/4', '0']
    """
    if isinstance(setting, str):
        equal = setting == "equal"
        weights = {name: Fraction(bool(tokens) if equal else tokens) for name, tokens in supply.items()}
    else:
        names = sorted({*supply, *setting})
        weights = {name: Fraction(setting.get(name, 0)) for name in names}
    whole = sum(weights.values(), Fraction(0)) or Fraction(1)
    return {name: weight / whole for name, weight in weights.items()}


def apportioned(tokens: int, shares: Shares) -> dict[str, int]:
    """Whole tokens that sum to `tokens`: rounded down, and one more for the largest remainders (ties by name).

    >>> apportioned(10, {"a": Fraction(1, 3), "b": Fraction(1, 3), "c": Fraction(1, 3)})
    {'a': 4, 'b': 3, 'c': 3}
    """
    exact = {name: tokens * share for name, share in shares.items()}
    return _rounded(exact, tokens if any(shares.values()) else 0)


def redistributed(tokens: int, shares: Shares, capacity: Mapping[str, int]) -> dict[str, int]:
    """Budgets within the capacities: what one stratum cannot take goes to the others, in proportion to their shares.

    >>> redistributed(100, {"a": Fraction(1, 2), "b": Fraction(1, 4), "c": Fraction(1, 4)}, {"a": 20, "b": 99, "c": 30})
    {'a': 20, 'b': 50, 'c': 30}
    """
    full: dict[str, Fraction] = {}
    left = {name: share for name, share in shares.items() if share}
    while left:
        rest, whole = tokens - sum(full.values(), Fraction(0)), sum(left.values(), Fraction(0))
        over = [name for name, share in left.items() if rest * share / whole > capacity.get(name, 0)]
        if not over:
            full |= {name: rest * share / whole for name, share in left.items()}
            break
        full |= {name: Fraction(capacity.get(name, 0)) for name in over}
        left = {name: share for name, share in left.items() if name not in full}
    exact = {name: full.get(name, Fraction(0)) for name in shares}
    return _rounded(exact, int(sum(exact.values(), Fraction(0))))


def _rounded(exact: Mapping[str, Fraction], total: int) -> dict[str, int]:
    down = {name: int(value) for name, value in exact.items()}
    order = sorted(exact, key=lambda name: (down[name] - exact[name], name))
    for name in order[: total - sum(down.values())]:
        down[name] += 1
    return down
