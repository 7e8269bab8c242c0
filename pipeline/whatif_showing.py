"""What other thresholds would keep, on the terminal."""

from typing import Any

from rich.console import Console

from pipeline.showing import table


def show_what_if(console: Console, found: dict[str, Any]) -> None:
    """The funnel as it was and as it would be, with what cannot be told."""
    for setting in found["settings"]:
        console.print(f"{setting['name']}: {setting['was']} -> {setting['is']}", markup=False, highlight=False)
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
    unknown = f"; of {found['unknown']:,} more only a run can tell" if found["unknown"] else ""
    console.print(
        f"kept {found['was_kept']:,} -> {found['kept']:,}: {found['gained']:,} gained, {found['lost']:,} lost{unknown}",
        highlight=False,
    )


def _reasons(was: dict[str, int], now: dict[str, int]) -> str:
    told = [f"{reason} {was.get(reason, 0):,} -> {now.get(reason, 0):,}" for reason in sorted({*was, *now})]
    return ", ".join(told) or "none"
