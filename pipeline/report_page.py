"""Facts as pages: the template engine, its filters, and what the pages have in common."""

import base64
import hashlib
import math
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.report_charts import bars, histogram, moved, pair_histogram, score_histogram
from pipeline.report_shards import FIRST, shard_data, shard_rows
from pipeline.report_summary import losses, qualities
from pipeline.report_warnings import warnings_of

if TYPE_CHECKING:
    import jinja2
    import markupsafe

MISSING: dict[str, Any] = {
    "funnel": [], "statuses": {}, "surveys": {}, "sources": {}, "columns": {}, "columns_all": {}, "columns_kept": {},
    "stage_columns": [], "rating": None, "rating_columns": [], "scores": [], "tokens": None, "bytes_read": None,
    "part_facts": [], "pages": [], "quarantine_places": [], "parts": [], "versions": {}, "steps": [], "seconds": {},
    "stage_seconds": {}, "mixture": None, "contexts": None, "context_examples": [], "inputs": [],
    "documents_kept_bytes": 0,
}  # fmt: skip
"""What facts of an older version may lack."""


def render(facts: dict[str, Any]) -> str:
    """The report. Every value is escaped by the template engine."""
    facts = in_order(MISSING | facts)
    facts["columns_kept"] = {name: {} for name in facts["columns_all"]} | facts["columns_kept"]
    facts["times"] = [(name, spent) for name, spent in facts["seconds"].items() if name != "total"]
    return page("report.html", facts=facts, warnings=warnings_of(facts), settings=_pretty(facts["config"]))


def in_order(facts: dict[str, Any]) -> dict[str, Any]:
    """What is told step by step, in the order of the steps; JSON keeps it by name."""
    steps = [step["name"] for step in facts["steps"]]

    def place(item: tuple[str, Any]) -> tuple[bool, int, str]:
        name = item[0].rpartition("+")[2].partition(" ")[0]
        return name == "total", steps.index(name) if name in steps else len(steps), item[0]

    told = ("surveys", "seconds", "stage_seconds")
    return facts | {key: dict(sorted(facts[key].items(), key=place)) for key in told if key in facts}


def page(name: str, **values: Any) -> str:
    """One page from a template."""
    return environment().get_template(name).render(**values)


@cache
def environment() -> "jinja2.Environment":
    """The template engine: values are escaped, and a name that is not there is an error."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(_FILTERS)
    made.globals.update(_PICTURES, source_of=source_of)
    made.globals.update(FIRST_SHARDS=FIRST, shard_data=shard_data, shard_rows=shard_rows)
    return made


def source_of(template: str) -> str:
    """The text of a template as it is: of a script, whose hash the page's policy names."""
    loader = environment().loader
    assert loader is not None
    return loader.get_source(environment(), template)[0]


def script_digest(script: str) -> str:
    """The source expression by which a content security policy allows one inline script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def readable_bytes(size: float) -> str:
    """Bytes with a decimal unit.

    >>> readable_bytes(12_345_678)
    '12.3 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> [duration(value) for value in (0.1234, 12.34, 75, 7300)]
    ['0.12 s', '12.3 s', '1 min 15 s', '2 h 1 min']
    """
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def percent(value: float) -> str:
    """A share for people; what is not nothing is never shown as nothing, nor what is not all as all.

    >>> [percent(value) for value in (0.0, 0.00001, 0.123, 0.99999, 1.0)]
    ['0%', '<0.1%', '12.3%', '>99.9%', '100%']
    """
    if value in (0, 1):
        return f"{value:.0%}"
    return "<0.1%" if value < 0.001 else ">99.9%" if value > 0.999 else f"{value:.1%}"


def cell(value: object) -> str:
    """One cell of a table: numbers for people, nothing for what is not there."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def breakable(name: object) -> "markupsafe.Markup":
    """A name that may be broken after its underscores and slashes, escaped.

    >>> print(breakable("a_b<c"))
    a_<wbr>b&lt;c
    """
    import markupsafe

    escaped = str(markupsafe.escape(name))
    return markupsafe.Markup(escaped.replace("_", "_<wbr>").replace("/", "/<wbr>"))


_FILTERS: dict[str, Any] = {
    "breakable": breakable,
    "thousands": lambda value: f"{value:,}",
    "bytes": readable_bytes,
    "duration": duration,
    "percent": percent,
    "cell": cell,
    "digest": script_digest,
}


_PICTURES: dict[str, Any] = {
    "bars": bars,
    "histogram": histogram,
    "losses": losses,
    "moved": moved,
    "pair_histogram": pair_histogram,
    "qualities": qualities,
    "score_histogram": score_histogram,
}


def _pretty(config: dict[str, Any]) -> str:
    return orjson.dumps(config, option=orjson.OPT_INDENT_2).decode()
