"""The pages in a real browser: nothing fails, nothing is fetched, nothing that a document says is obeyed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import pipeline.report_pages
import pipeline.view_search
from pipeline.compare import compare_page, compare_runs
from pipeline.report import read_facts, rewrite_html
from pipeline.report_pages import write_pages
from pipeline.storage import Store
from pipeline.view import Viewer
from pipeline.view_question import Question
from pipeline.view_search import Found
from tests.browser import CHROMIUM, Browser, Tab
from tests.looks import EMOJI, EVIL, HARMFUL_TEXT, RIGHT_TO_LEFT, looked_at, served

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
SIZES = [(1200, False), (390, True)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("looks")
    made = looked_at(folder)
    store = Store(str(made))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("KEPT", "DROPPED"):
            patch.setattr(pipeline.report_pages, name, 100)
        write_pages(store, read_facts(store))
    rewrite_html(store)
    other = looked_at(folder, 100, "other")
    (made / "compare.html").write_text(compare_page(compare_runs(str(made), str(other))))
    return made


@pytest.fixture(scope="module")
def viewer(run: Path) -> Iterator[Viewer]:
    with served(run) as server:
        yield server


def harmless(tab: Tab, *urls: str) -> None:
    """Nothing failed, nothing was asked for but these, and no document took over."""
    assert tab.complaints() == []
    assert all(url.startswith(urls) for url in tab.requests())
    assert tab.run("document.title") != "taken"


@pytest.mark.parametrize(("width", "dark"), SIZES)
@pytest.mark.parametrize("name", ["report.html", "shards/part-00000.html", "compare.html"])
def test_pages_load_by_themselves_and_fit(browser: Browser, run: Path, name: str, width: int, dark: bool) -> None:
    url = (run / name).as_uri()
    with browser.tab(url, width=width, dark=dark) as tab:
        assert tab.requests() == [url]
        harmless(tab, url)
        assert tab.run("document.documentElement.scrollWidth") <= width
        assert tab.run("document.querySelectorAll('img, iframe, object, link[rel=stylesheet]').length") == 0
        ground = tab.run("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(19, 24, 29)") is dark


def test_links_of_the_report_lead_somewhere(browser: Browser, run: Path) -> None:
    with browser.tab((run / "report.html").as_uri()) as tab:
        inner = "[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.getAttribute('href').slice(1))"
        assert tab.run(f"{inner}.filter(id => !document.getElementById(id))") == []
        assert tab.run(f"{inner}.length") > 8
        others = tab.run("[...document.querySelectorAll('a:not([href^=\"#\"])')].map(a => a.getAttribute('href'))")
        assert others == ["shards/part-00000.html"]
        tab.go((run / others[0]).as_uri())
        assert tab.run("document.querySelector('h1').textContent") == "data/part-00000.parquet"
        back = tab.run("document.querySelector('.word a').href")
        assert back == (run / "report.html").as_uri()
        harmless(tab, run.as_uri())


def test_pictures_have_words_and_regions_have_names(browser: Browser, run: Path) -> None:
    for name in ("report.html", "shards/part-00000.html", "compare.html"):
        with browser.tab((run / name).as_uri()) as tab:
            nameless = (
                "[...document.querySelectorAll('[role=img], [role=region], nav')].filter(e => !e.ariaLabel).length"
            )
            assert tab.run(nameless) == 0
            unseen = "[...document.querySelectorAll('svg')].filter(e => !e.closest('[role=img], [aria-hidden]')).length"
            assert tab.run(unseen) == 0
            assert tab.run("document.documentElement.lang") == "en"


def test_harmful_text_is_in_the_page_only_after_a_click(browser: Browser, run: Path) -> None:
    page = run / "shards/part-00000.html"
    assert HARMFUL_TEXT not in page.read_text()
    with browser.tab(page.as_uri()) as tab:
        assert HARMFUL_TEXT not in tab.run("document.documentElement.outerHTML")
        tab.run("document.querySelector('[data-covered]').focus()")
        tab.key("Enter", 13)
        tab.until(f"document.body.innerText.includes({HARMFUL_TEXT!r})")
        harmless(tab, page.as_uri())


def test_texts_are_shown_as_texts(browser: Browser, run: Path) -> None:
    with browser.tab((run / "shards/part-00000.html").as_uri()) as tab:
        texts = tab.run("[...document.querySelectorAll('.text')].map(e => e.textContent)")
        assert {EVIL, EMOJI, RIGHT_TO_LEFT} <= set(texts)
        assert max(map(len, texts)) <= 2000
        assert tab.run("document.querySelectorAll('article script, article img').length") == 0


def test_the_viewer_filters_sorts_and_turns_pages(browser: Browser, viewer: Viewer) -> None:
    with browser.tab(viewer.url) as tab:
        tab.until("document.querySelectorAll('#list tbody tr').length === 50")
        tab.run("document.querySelector('#after').click()")
        tab.until("document.querySelectorAll('#list tbody tr').length === 15")
        tab.run("document.querySelector('[data-sort=id]').click()")
        tab.until("document.querySelector('th[aria-sort=ascending]')")
        assert tab.run("document.querySelector('#place').textContent") == "page 1 of 2"
        tab.run("document.querySelector('#add').click()")
        tab.run("document.querySelectorAll('.filter select')[0].value = 'length'")
        tab.run("document.querySelectorAll('.filter select')[1].value = 'at least'")
        tab.run("document.querySelector('.filter input').value = '300'")
        tab.run("document.querySelector('#ask').click()")
        tab.until("document.querySelectorAll('#list tbody tr').length === 2")
        assert tab.run("[...document.querySelectorAll('.open')].map(e => e.textContent)") == ["huge", "plain-59"]
        assert tab.run("document.querySelector('#count').textContent").startswith("2 documents")
        tab.run("document.querySelector('.filter input').value = 'many'")
        tab.run("document.querySelector('#ask').click()")
        tab.until("document.querySelector('#problem').textContent.includes('holds numbers')")
        assert all("400 (Bad Request)" in told for told in tab.complaints())


def test_the_viewer_searches_on_until_it_is_stopped_or_asked_something_else(
    browser: Browser, viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.view_search, "SECONDS", 0.0)
    whole = viewer.searches.page

    def endless(question: Question, asker: str = "") -> Found:
        found = whole(question, asker)
        return found._replace(finished=False, searched=60) if question.text == "endless" else found

    monkeypatch.setattr(viewer.searches, "page", endless)
    with browser.tab(viewer.url) as tab:
        tab.until("document.querySelectorAll('#list tbody tr').length === 50")
        assert tab.run("document.querySelector('#stop').hidden")
        tab.run("document.querySelector('#text').value = 'MANY words'; document.querySelector('#ask').click()")
        tab.until("document.querySelector('#count').textContent.startsWith('1 document, ')")
        tab.run("document.querySelector('#text').value = 'endless'; document.querySelector('#ask').click()")
        tab.until("document.querySelector('#count').textContent.startsWith('0 documents found in 60 of 65')")
        assert not tab.run("document.querySelector('#stop').hidden")
        tab.run("document.querySelector('#stop').click()")
        tab.until("document.querySelector('#list').getAttribute('aria-busy') === 'false'")
        tab.run("document.querySelector('#ask').click(); document.querySelector('#text').value = ''")
        tab.run("document.querySelector('#ask').click()")
        tab.until("document.querySelector('#count').textContent.startsWith('65 documents, ')")
        assert tab.run("document.querySelector('#problem').textContent") == ""


def test_the_viewer_shows_what_documents_say_and_obeys_none(browser: Browser, viewer: Viewer) -> None:
    with browser.tab(f"{viewer.url}") as tab:
        tab.until("document.querySelector('.open')")
        for id_, text in ((f"<b>{EVIL}</b>", EVIL), ("right-to-left", RIGHT_TO_LEFT), ("emoji", EMOJI)):
            _open(tab, id_)
            assert tab.run("document.querySelector('dialog .text').textContent") == text
            assert tab.run("document.querySelector('#one-id').textContent") == id_
        _open(tab, "huge")
        assert tab.run("document.querySelector('dialog .text').textContent.length") == 100_000
        assert "more characters" in tab.run("document.querySelector('#one-body').textContent")
        tab.key("Escape", 27)
        tab.until("!document.querySelector('dialog').open")
        assert tab.run("document.querySelectorAll('td script, td b, td img, dialog img').length") == 0
        harmless(tab, viewer.url)


def test_the_viewer_hides_harmful_text_until_asked(browser: Browser, viewer: Viewer) -> None:
    with browser.tab(viewer.url) as tab:
        tab.until("document.querySelector('.open')")
        _open(tab, "harmful")
        assert HARMFUL_TEXT not in tab.run("document.documentElement.outerHTML")
        tab.run("document.querySelector('#uncover').click()")
        tab.until(f"document.querySelector('dialog').innerText.includes({HARMFUL_TEXT!r})")
        harmless(tab, viewer.url)


def _open(tab: Tab, id_: str) -> None:
    """Find one document by a filter on its id, and open it."""
    told = json.dumps(id_)
    tab.run("document.querySelector('dialog').close(); document.querySelector('#filters').replaceChildren()")
    tab.run("document.querySelector('#add').click()")
    tab.run(
        f"document.querySelector('.filter select').value = 'id'; document.querySelector('.filter input').value = {told}"
    )
    tab.run("document.querySelector('#ask').click()")
    tab.until(f"[...document.querySelectorAll('.open')].map(e => e.textContent).join() === {told}")
    tab.run("document.querySelector('#one-id').textContent = ''; document.querySelector('.open').click()")
    tab.until("document.querySelector('dialog').open && document.querySelector('#one-id').textContent")
