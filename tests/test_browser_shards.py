"""The table of many shards in a real browser: turned over, filtered and sorted, with the keyboard, without network."""

from pathlib import Path

import pytest

from pipeline.report import read_facts
from pipeline.report_page import render
from pipeline.storage import Store
from tests.browser import CHROMIUM, Browser, Tab
from tests.looks import looked_at
from tests.test_report import many_shards

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
FILES = "[...document.querySelectorAll('#shard-table tbody th')].map(e => e.textContent)"
SAID = "document.querySelector('#shard-tools [role=status]').textContent"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    run = looked_at(folder)
    facts = many_shards(run, 450)
    facts["parts"][321]["xxh3"] = "0123456789abcdef" * 2
    facts["part_facts"] = [{"tokens": None, "dropped": 1, "seconds": 75.0}] * 450
    made = folder / "report.html"
    made.write_text(render(facts | {"pages": ["part-00449.html"]}))
    assert read_facts(Store(str(run)))["tokens"] is None
    return made


def press(tab: Tab, button: str) -> None:
    """A button by its text, with the keyboard."""
    tab.run(f"[...document.querySelectorAll('button')].find(e => e.textContent === {button!r}).focus()")
    tab.key("Enter", 13)


def test_all_shards_are_reached(browser: Browser, page: Path) -> None:
    with browser.tab(page.as_uri(), width=390) as tab:
        assert tab.run(f"{FILES}.length") == 200
        assert tab.run(SAID) == "1 to 200 of 450"
        assert tab.run("document.getElementById('shard-note').hidden")
        first = tab.run("document.querySelector('#shard-table tbody tr').innerText")
        press(tab, "Next")
        press(tab, "Next")
        tab.until(f"{SAID} === '401 to 450 of 450'")
        assert tab.run(f"{FILES}[49]") == "data/part-00449.parquet"
        link = "document.querySelector('#shard-table tbody a').getAttribute('href')"
        assert tab.run(link) == "shards/part-00449.html"
        assert "1 min 15 s" in tab.run("document.querySelector('#shard-table tbody tr').innerText")
        press(tab, "Previous")
        press(tab, "Previous")
        tab.until(f"{SAID} === '1 to 200 of 450'")
        assert tab.run("document.querySelector('#shard-table tbody tr').innerText") == first
        assert tab.run("document.documentElement.scrollWidth") <= 390
        assert tab.complaints() == []
        assert tab.requests() == [page.as_uri()]


def test_shards_are_found_and_sorted(browser: Browser, page: Path) -> None:
    with browser.tab(page.as_uri()) as tab:
        press(tab, "documents")
        tab.until(f"{FILES}[0] === 'data/part-00449.parquet'")
        assert tab.run("document.querySelector('th[aria-sort]').ariaSort") == "descending"
        press(tab, "documents")
        tab.until(f"{FILES}[0] === 'data/part-00000.parquet'")
        search = "const box = document.querySelector('#shard-tools input'); box.value = {!r};"
        for wanted, expected in (("0123456789ABC", ["data/part-00321.parquet"]), ("<b>", [])):
            tab.run("{" + search.format(wanted) + "box.dispatchEvent(new Event('input'))}")
            assert tab.run(FILES) == expected
        assert tab.run(SAID) == "No shard has this in its name or hash."
        assert tab.complaints() == []


def test_rows_are_written_as_the_report_writes_them(browser: Browser, page: Path) -> None:
    """What the script shows first is what stood there before it."""
    plain = page.with_name("plain.html")
    plain.write_text(page.read_text().replace("script-src", "connect-src"))
    rows = "document.querySelector('#shard-table tbody').innerText"
    with browser.tab(page.as_uri()) as tab, browser.tab(plain.as_uri()) as still:
        assert still.run("document.getElementById('shard-tools').hidden")
        assert still.run(rows) == tab.run(rows)
