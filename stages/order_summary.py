"""What ordering knows before it orders, for people: groups, buckets and their sizes."""

from collections.abc import Iterator

from stages.contract import Summary
from stages.order_groups import Group, Groups

COLUMNS = ("group", "documents", "without vector", "buckets", "smallest", "largest", "cut by hash")
_NAME = 60


def summary_of(groups: Groups) -> Summary:
    """Notes and a table of finished groups, the largest first."""
    shown = sorted(groups.items(), key=lambda item: (-item[1].usable, item[0]))
    return Summary(tuple(_notes(groups)), COLUMNS, tuple(_row(*item) for item in shown))


def _row(name: str, group: Group) -> tuple[str | int, ...]:
    sizes = _bucket_sizes(group)
    cut = sum(number > 1 for number in group.slices[:-1])
    label = name if len(name) <= _NAME else name[: _NAME - 1] + "…"
    return (label, group.usable + group.without, group.without, len(sizes), min(sizes), max(sizes), cut)


def _notes(groups: Groups) -> Iterator[str]:
    usable, without = (sum(getattr(group, what) for group in groups.values()) for what in ("usable", "without"))
    buckets = sum(len(_bucket_sizes(group)) for group in groups.values() if group.usable)
    yield f"{usable:,} documents in {len(groups):,} groups and {buckets:,} buckets"
    if without:
        yield f"{without:,} documents have no vector and come last in their groups"
    if cut := sum(number > 1 for group in groups.values() for number in group.slices[:-1]):
        yield f"{cut:,} buckets are larger than order.largest and are cut by a hash of the id, across neighbours"


def _bucket_sizes(group: Group) -> list[int]:
    """Rows of each part that holds vectors."""
    return list(group.sizes[: group.parts - group.slices[-1]])
