"""What a reader sees: contrast in both schemes, paper, the keyboard, and a phone."""

from pathlib import Path

import pytest

from pipeline.report import read_facts, render, rewrite_html
from pipeline.report_pages import write_pages
from pipeline.storage import Store
from tests.browser import CHROMIUM, Browser
from tests.looks import HARMFUL_TEXT, looked_at

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
_LUMINANCE = """(name) => {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = `var(${name})`;
  const [r, g, b] = getComputedStyle(probe).color.match(/[\\d.]+/g).map(value => value / 255)
    .map(value => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b;
}"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = looked_at(tmp_path_factory.mktemp("looks"))
    write_pages(Store(str(made)), read_facts(Store(str(made))))
    rewrite_html(Store(str(made)))
    return made


@pytest.mark.parametrize("dark", [False, True])
def test_words_stand_out_from_their_ground(browser: Browser, run: Path, dark: bool) -> None:
    with browser.tab((run / "report.html").as_uri(), dark=dark) as tab:
        ground = tab.run(f"({_LUMINANCE})('--ground')")
        for name in ("--ink", "--soft", "--kept", "--drop-ink"):
            word = tab.run(f"({_LUMINANCE})('{name}')")
            ratio = (max(ground, word) + 0.05) / (min(ground, word) + 0.05)
            assert ratio >= 4.5, (name, dark, ratio)


def test_paper_shows_texts_whole_and_hides_what_was_hidden(browser: Browser, run: Path) -> None:
    with browser.tab((run / "shards/part-00000.html").as_uri(), dark=True) as tab:
        tab.call("Emulation.setEmulatedMedia", media="print")
        cut = "[...document.querySelectorAll('.text')].filter(e => e.scrollHeight > e.clientHeight + 1).length"
        assert tab.run(cut) == 0
        assert HARMFUL_TEXT not in tab.run("document.documentElement.innerText")
        assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert "hidden" in tab.run("getComputedStyle(document.querySelector('[data-covered]'), '::after').content")
        tab.go((run / "report.html").as_uri())
        assert tab.run("getComputedStyle(document.querySelector('nav')).display") == "none"


def test_a_table_of_many_columns_fits_on_paper(browser: Browser, run: Path, tmp_path: Path) -> None:
    names = ["stratum", "documents", "tokens", "share", "asked", "documents selected", "tokens selected", "short",
             "times", "key at the border"]  # fmt: skip
    row = ["en", 13_659, 12_253_682, 0.770478, 3_081_914, 2_632, 3_077_198, 0, 1, 3.220355]
    survey = {"notes": [], "columns": names, "rows": [row]}
    facts = read_facts(Store(str(run))) | {"surveys": {"select": survey}}
    (tmp_path / "report.html").write_text(render(facts), encoding="utf-8")
    with browser.tab((tmp_path / "report.html").as_uri(), width=688) as tab:  # A4 within the page's margins
        tab.call("Emulation.setEmulatedMedia", media="print")
        assert "key at the border" in tab.run("document.body.innerText")
        assert tab.run("document.documentElement.scrollWidth") <= 688


def test_the_keyboard_shows_where_it_is(browser: Browser, run: Path) -> None:
    with browser.tab((run / "report.html").as_uri()) as tab:
        for number in range(4):
            tab.key("Tab", 9)
            assert tab.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            if number == 0:
                assert tab.run("document.activeElement.className") == "skip"
                assert tab.run("document.activeElement.getBoundingClientRect().left >= 0")


def test_a_phone_shows_why_documents_went_without_scrolling_sideways(browser: Browser, run: Path) -> None:
    with browser.tab((run / "report.html").as_uri(), width=390) as tab:
        edges = "[...document.querySelectorAll('table.funnel td, .fates td')].map(e => e.getBoundingClientRect())"
        assert tab.run(f"Math.max(...{edges}.map(e => e.right))") <= 390
        assert tab.run("document.querySelector('table.funnel .reasons').innerText").startswith("short")
        rows = "[...document.querySelectorAll('table.funnel [role=row]')].length"
        assert tab.run(rows) == 3
