"""The pictures of the README, from two finished runs, by the browser of the tests.

    python -m tests.screenshots runs/quickstart runs/strict

Makes the reports of the first run again with a page for each shard, compares it with the second, and writes
tests/pictures/*.png. What is shown ends above the texts of documents.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.compare import compare_page, compare_runs
from pipeline.report import read_facts, rewrite_html
from pipeline.report_pages import write_pages
from pipeline.storage import Store
from tests.browser import Browser, Tab
from tests.looks import served

PICTURES = Path(__file__).parent / "pictures"
_MARGIN = 8
_WIDE = 800
"""Pixels of a picture from left to right, whatever its page has, so that pictures stay small."""


@dataclass(frozen=True)
class Shot:
    """One picture: a page, and the part of it that is shown."""

    name: str
    page: str
    begin: str = "body"
    """Selector of what stands at the top."""
    end: str = ""
    """Selector of the first thing that is left out; empty: the window, as far as it goes."""
    dark: bool = False
    width: int = 1000
    height: int = 800


SHOTS = (
    Shot("report", "report", end="ul.statuses, #sources"),
    Shot("report-dark", "report", end="ul.statuses, #sources", dark=True),
    Shot("perplexity", "report", begin="#perplexity", end="#ratings"),
    Shot("mixture", "report", begin="#mixture ~ figure", end="#mixture ~ h3"),
    Shot("shard", "shard", end="#kept"),
    Shot("compare", "compare", end="#documents"),
    Shot("view", "view", width=1240, height=700),
)


def take(run: Path, other: Path, output: Path = PICTURES) -> list[Path]:
    """Every picture whose part is on its page. Raises InputError if one of the runs is not finished."""
    output.mkdir(parents=True, exist_ok=True)
    with _pages(run, other) as pages, _browser() as browser:
        return [path for shot in SHOTS for path in _taken(browser, shot, pages[shot.page], output)]


@contextmanager
def _pages(run: Path, other: Path) -> Iterator[dict[str, str]]:
    """The address of each page."""
    store = Store(str(run))
    shards = write_pages(store, read_facts(store), 1)
    with tempfile.TemporaryDirectory() as folder, served(run) as viewer:
        compared = Path(folder) / "compare.html"
        compared.write_text(compare_page(compare_runs(str(run), str(other))), encoding="utf-8")
        report = Path(rewrite_html(store)).resolve()
        shard = report.parent / "shards" / shards[0]
        yield {
            "report": report.as_uri(), "shard": shard.as_uri(), "compare": compared.as_uri(), "view": viewer.url
        }  # fmt: skip


@contextmanager
def _browser() -> Iterator[Browser]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(Path(profile))
        try:
            yield browser
        finally:
            browser.close()


def _taken(browser: Browser, shot: Shot, url: str, output: Path) -> Iterator[Path]:
    with browser.tab(url, width=shot.width, height=shot.height, dark=shot.dark) as tab:
        if shot.page == "view":
            _ask(tab)
        top, bottom = _edge(tab, shot.begin), _edge(tab, shot.end) if shot.end else shot.height
        if top is not None and bottom is not None and bottom > top:
            path = output / f"{shot.name}.png"
            part = {"x": 0, "y": max(0, top - _MARGIN), "width": shot.width, "height": bottom - top}
            tab.picture(path, clip=part | {"scale": _WIDE / shot.width})
            yield path


def _edge(tab: Tab, selector: str) -> int | None:
    """Where something begins, in pixels from the top of the page, with the space above it left out."""
    found = tab.run(f"document.querySelector({selector!r})?.getBoundingClientRect().top + window.scrollY")
    return None if found is None else int(found)


def _ask(tab: Tab) -> None:
    """What is shown of the viewer: a filter on the overall score (or else the first number), and an order by it."""
    tab.until("document.querySelector('#list tbody tr')")
    tab.run("document.querySelector('#add').click()")
    tab.run(
        "{ const [column, comparison] = document.querySelectorAll('.filter select'),"
        " numbers = [...column.options].filter(one => one.dataset.number);"
        " column.value = (numbers.find(one => one.text === 'rating_overall_score') ?? numbers[0]).text;"
        " comparison.value = 'at least'; document.querySelector('.filter input').value = '4';"
        " (document.querySelector('[data-sort^=rating_]') ?? document.querySelector('th.n button')).click();"
        " document.activeElement.blur() }"
    )
    tab.until("document.querySelector('th[aria-sort]')")


def main() -> None:
    """Take them, and print where they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("other", type=Path, help="the same documents with other settings")
    parser.add_argument("--output", type=Path, default=PICTURES)
    arguments = parser.parse_args()
    for path in take(arguments.run, arguments.other, arguments.output):
        print(f"{path}  {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
