"""A picture of shares in plain SVG: one bar cut into parts as wide as their shares, and a bar for each below."""

from collections.abc import Mapping
from html import escape

WIDTH, LEFT, ROW, BAR = 960, 250, 26, 44
COLOURS = ("#3b6ea5", "#c2703d", "#4f8f5b", "#8a5fa3", "#b0a03a", "#3f9a9a", "#a84a5a", "#6b7a8f", "#7d9b3f", "#9a6f4b")
COLOURS += ("#2d4a7a", "#d09a8a", "#8fb8a0", "#c9c9c9", "#5a4a3a", "#b98ac0")


def picture(parts: Mapping[str, float], total: float) -> str:
    """SVG of the parts of a total, which are not negative and not all 0; the largest first below.

    >>> picture({"read": 1.0, "language": 3.0}, 4.0).count("<rect")
    5
    """
    colours = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(parts)}
    ordered = sorted(parts.items(), key=lambda item: -item[1])
    height = BAR + ROW * (len(parts) + 3)
    label = "; ".join(f"{name} {value / total:.1%}" for name, value in ordered)
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" font-family="sans-serif" '
        f'font-size="14" aria-label="{escape(label)}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        *_strip(parts, total, colours),
        *(_bar(place, *item, total, colours) for place, item in enumerate(ordered)),
        "</svg>",
    ]
    return "\n".join(body) + "\n"


def _strip(parts: Mapping[str, float], total: float, colours: Mapping[str, str]) -> list[str]:
    """All parts in their order, side by side."""
    at, found = 10.0, []
    for name, value in parts.items():
        width = (WIDTH - 20) * value / total
        title = f"<title>{escape(name)}: {value:.2f} CPU s, {value / total:.1%}</title>"
        place = f'x="{at:.1f}" y="10" width="{width:.1f}" height="{BAR}"'
        found.append(f'<rect {place} fill="{colours[name]}">{title}</rect>')
        at += width
    return found


def _bar(place: int, name: str, value: float, total: float, colours: Mapping[str, str]) -> str:
    """One part with its name, seconds and share."""
    y, width = BAR + ROW * (place + 1.5), (WIDTH - LEFT - 150) * value / total
    return (
        f'<text x="{LEFT - 10}" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
        f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="18" fill="{colours[name]}"/>'
        f'<text x="{LEFT + width + 8:.1f}" y="{y + 14}">{value:.1f} CPU s, {value / total:.1%}</text>'
    )
