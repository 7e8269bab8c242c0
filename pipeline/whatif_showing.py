"""What other thresholds would keep, on the terminal."""

from typing import Any

from rich.console import Console

from pipeline.showing import table


def show_what_if(console: Console, found: dict[str, Any]) -> None:
    """The funnel as it was and as it would be, with what cannot be told."""
    for setting in found["settings"]:
        told = f"{setting['name']}: {_value(setting['was'])} -> {_value(setting['is'])}"
        console.print(told, markup=False, highlight=False)
    rows = [
        (
            stage["stage"],
            stage["was_kept"],
            stage["kept"],
            _reasons(stage["was_dropped"], stage["dropped"]),
            stage["unknown"],
        )
        for stage in found["stages"]
    ]
    console.print(table("funnel", ("stage", "kept", "would keep", "dropped: was -> would be", "unknown"), rows))
    for stage in found["stages"]:
        if stage["note"]:
            console.print(f"{stage['stage']}: {stage['note']}", markup=False, highlight=False, soft_wrap=True)
    if not found["settings"]:
        console.print("no threshold differs from the run's: this is its own funnel", highlight=False)
    unknown = f"; of {found['unknown']:,} more only a run can tell" if found["unknown"] else ""
    same = f"; as long as {', '.join(found['as_before'])} answer as in the run" if found["as_before"] else ""
    moved = f"{found['gained']:,} gained, {found['lost']:,} lost"
    told = f"kept {found['was_kept']:,} -> {found['kept']:,}: {moved}{unknown}{same}"
    console.print(told, markup=False, highlight=False, soft_wrap=True)


def _value(value: Any) -> str:
    """A setting as `--set` takes it.

    >>> [_value(value) for value in (("en", "de"), True, 0.5, None)]
    ['[en, de]', 'true', '0.5', 'null']
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def _reasons(was: dict[str, int], now: dict[str, int]) -> str:
    told = [f"{reason} {was.get(reason, 0):,} -> {now.get(reason, 0):,}" for reason in sorted({*was, *now})]
    return ", ".join(told) or "none"
