"""WARC and WET as input: records in order, damage seen and stepped over, bodies decoded."""

import gzip
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.formats import BadRecord, FieldNames, InputFile, Record, warc
from stages.errors import ConfigError
from tests.warc_files import PAGE, PROSE, record, response, wet, zipped


def read(url: str | Path, max_bytes: int = 1 << 20) -> list[Record | BadRecord]:
    (split,) = warc.splits(InputFile(str(url), "warc", 0), 10)
    return list(warc.records(split, FieldNames(), max_bytes))


def write_and_read(
    tmp_path: Path, content: bytes, name: str = "a.warc", max_bytes: int = 1 << 20
) -> list[Record | BadRecord]:
    (tmp_path / name).write_bytes(content)
    return read(tmp_path / name, max_bytes)


def ids(found: list[Record | BadRecord]) -> list[object]:
    return [item.fields["id"] for item in found if isinstance(item, Record)]


def bad(found: list[Record | BadRecord]) -> list[tuple[int | None, str]]:
    return [(item.place.line, item.reason) for item in found if isinstance(item, BadRecord)]


def test_a_page_is_cut_to_its_main_content(tmp_path: Path) -> None:
    (found,) = write_and_read(tmp_path, response(1, PAGE.encode()))
    assert isinstance(found, Record)
    assert found.fields == {
        "text": PROSE.strip(),
        "id": "n1",
        "url": "http://localhost/1",
        "date": "2024-05-06T07:08:09Z",
        "status": 200,
        "content_type": "text/html",
    }


def test_records_about_the_crawl_are_no_documents_and_other_media_is_visible(tmp_path: Path) -> None:
    crawl = [record(kind, i, b"x") for i, kind in enumerate(("warcinfo", "request", "metadata", "revisit"))]
    others = [
        response(5, b"\x89PNG", "Content-Type: image/png"),
        response(6, b"User-agent: *", "Content-Type: text/plain", WARC_Target_URI="http://localhost/robots.txt"),
        record("response", 7, b"127.0.0.1", Content_Type="text/dns"),
        record("continuation", 8, b"x"),
        response(9, PROSE.encode(), "Content-Type: text/plain"),
        record("resource", 10, b"log", Content_Type="text/plain", WARC_Target_URI="metadata://tool/log"),
        record("resource", 11, PAGE.encode(), Content_Type="text/html"),
    ]
    found = write_and_read(tmp_path, b"".join(crawl + others))
    assert [item.detail for item in found if isinstance(item, BadRecord)] == [
        "image/png",
        "robots.txt",
        "text/dns",
        "record of type continuation",
    ]
    assert {reason for _, reason in bad(found)} == {"not_text"}
    assert ids(found) == ["n9", "n11"]


def test_a_page_without_content_is_an_empty_text(tmp_path: Path) -> None:
    (found,) = write_and_read(tmp_path, response(1, b""))
    assert isinstance(found, Record)
    assert found.fields["text"] == ""


@settings(max_examples=30, deadline=None)
@given(texts=st.lists(st.text(max_size=300), min_size=1, max_size=8), split_bytes=st.integers(1, 1000))
@pytest.mark.parametrize("name", ["a.wet", "a.wet.gz", "whole.wet.gz"])
def test_every_record_comes_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, name: str, texts: list[str], split_bytes: int
) -> None:
    items = [wet(i, text) for i, text in enumerate(texts)]
    path = tmp_path_factory.mktemp("warc") / name
    whole = b"".join(items)
    path.write_bytes({"a.wet": whole, "a.wet.gz": zipped(items)}.get(name, gzip.compress(whole)))
    splits = warc.splits(InputFile(str(path), "warc", 0), split_bytes)
    found = [item for split in splits for item in warc.records(split, FieldNames(), 1 << 20)]
    assert [item.fields["text"] for item in found if isinstance(item, Record)] == texts
    assert bad(found) == []


def test_the_offset_leads_to_the_record_in_the_stored_file(tmp_path: Path) -> None:
    items = [wet(i, PROSE * (i + 1)) for i in range(5)]
    for name, content in (("a.warc", b"".join(items)), ("a.warc.gz", zipped(items))):
        for item in write_and_read(tmp_path, content, name):
            assert item.place.offset is not None
            (tmp_path / "rest").with_suffix(Path(name).suffix).write_bytes(content[item.place.offset :])
            assert isinstance(item, Record)
            rest = read((tmp_path / "rest").with_suffix(Path(name).suffix))
            assert ids(rest)[0] == item.fields["id"]


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_a_file_cut_anywhere_inside_a_record_is_truncated(tmp_path: Path, name: str) -> None:
    items = [wet(i, "Short text.") for i in range(3)]
    parts = items if name == "a.warc" else [zipped([item]) for item in items]
    content = b"".join(parts)
    ends = [len(b"".join(parts[:i])) for i in range(4)]
    for cut in range(1, len(content)):
        found = write_and_read(tmp_path, content[:cut], name)
        whole = sum(cut >= end for end in ends[1:])
        assert ids(found)[:whole] == [f"n{i}" for i in range(whole)]
        assert len(ids(found)) <= whole + 1
        if cut in ends:
            assert bad(found) == []
        elif cut > 2:
            assert [reason for _, reason in bad(found)] == ["truncated"], cut


def test_a_damaged_member_costs_its_record(tmp_path: Path) -> None:
    parts = [zipped([wet(i, PROSE * 30)]) for i in range(5)]
    hurt = bytearray(parts[2])
    hurt[len(hurt) // 2 : len(hurt) // 2 + 4] = b"\xff\xff\xff\xff"
    found = write_and_read(tmp_path, b"".join([*parts[:2], bytes(hurt), *parts[3:]]), "a.warc.gz")
    assert ids(found) == ["n0", "n1", "n3", "n4"]
    assert bad(found) == [(3, "damaged_record")]


@pytest.mark.parametrize("length", ["5", "400", "", "-1", "many"])
def test_a_wrong_content_length_costs_its_record(tmp_path: Path, length: str) -> None:
    hurt = wet(1).replace(f"Content-Length: {len(PROSE)}".encode(), f"Content-Length: {length}".encode())
    found = write_and_read(tmp_path, wet(0) + hurt + wet(2) + wet(3))
    assert ids(found) == ["n0", "n2", "n3"]
    assert bad(found) == [(2, "damaged_record")]


def test_bytes_between_records_are_seen(tmp_path: Path) -> None:
    found = write_and_read(tmp_path, b"litter\r\n" + wet(0) + wet(1))
    assert ids(found) == ["n0", "n1"]
    assert bad(found) == [(1, "damaged_record")]


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
@pytest.mark.parametrize(
    "content", [b"", b"no archive at all " * 5000, bytes(range(256)) * 700, b"\x1f\x8b\x08 broken"]
)
def test_a_file_that_is_no_archive_is_one_bad_record(tmp_path: Path, name: str, content: bytes) -> None:
    found = write_and_read(tmp_path, content, name)
    assert [reason for _, reason in bad(found)] == ["damaged_file"]
    assert len(found) == 1


def test_an_endless_header_ends_the_record(tmp_path: Path) -> None:
    found = write_and_read(tmp_path, b"WARC/1.0\r\nX: " + b"x" * 200_000 + b"\r\n" + wet(1))
    assert ids(found) == ["n1"]
    assert bad(found) == [(1, "damaged_record")]


@pytest.mark.parametrize("encoding", ["gzip", "br", "none kept"])
def test_bodies_are_decoded_even_if_the_header_is_wrong(tmp_path: Path, encoding: str) -> None:
    brotli = pytest.importorskip("brotli")
    body = {"gzip": gzip.compress, "br": brotli.compress}.get(encoding, bytes)(PAGE.encode())
    header = "Content-Encoding: " + encoding.replace("none kept", "gzip")
    (found,) = write_and_read(tmp_path, response(1, body, "Content-Type: text/html", header))
    assert isinstance(found, Record)
    assert found.fields["text"] == PROSE.strip()


def test_chunked_bodies_are_joined(tmp_path: Path) -> None:
    body = b"".join(f"{len(part):x}\r\n{part}\r\n".encode() for part in (PAGE[:50], PAGE[50:])) + b"0\r\n\r\n"
    for content in (body, PAGE.encode()):
        item = response(1, content, "Content-Type: text/html", "Transfer-Encoding: chunked")
        (found,) = write_and_read(tmp_path, item)
        assert isinstance(found, Record)
        assert found.fields["text"] == PROSE.strip()


def test_a_body_that_cannot_be_decoded_is_bad(tmp_path: Path) -> None:
    item = response(
        1, b"\x1f\x8b\x08\0" + bytes(range(128, 256)) * 9, "Content-Type: text/html", "Content-Encoding: gzip"
    )
    assert bad(write_and_read(tmp_path, item)) == [(1, "damaged_body")]


@pytest.mark.parametrize(
    ("encoding", "header", "meta"),
    [
        ("utf-8", "iso-8859-1", ""),
        ("windows-1251", "windows-1251", ""),
        ("shift_jis", None, "shift_jis"),
        ("iso-2022-jp", "iso-2022-jp", ""),
        ("utf-16", None, ""),
    ],
)
def test_text_is_decoded_by_the_encoding_that_fits(
    tmp_path: Path, encoding: str, header: str | None, meta: str
) -> None:
    sentence = "Маяк стоит на скале. " * 9 if encoding in ("utf-8", "windows-1251") else "灯台は岩の上に立つ。" * 9
    html = f'<html><head><meta charset="{meta}"></head><body><p>{sentence}</p></body></html>'
    kind = "Content-Type: text/html" + (f"; charset={header}" if header else "")
    (found,) = write_and_read(tmp_path, response(1, html.encode(encoding), kind))
    assert isinstance(found, Record)
    assert found.fields["text"] == sentence.strip()


def test_invalid_utf8_in_wet_costs_its_record(tmp_path: Path) -> None:
    found = write_and_read(tmp_path, record("conversion", 0, b"caf\xe9 au lait") + wet(1))
    assert bad(found) == [(1, "invalid_utf8")]
    assert ids(found) == ["n1"]


def test_bodies_over_the_limit_are_too_large(tmp_path: Path) -> None:
    bomb = response(1, gzip.compress(b"x" * 100_000), "Content-Type: text/html", "Content-Encoding: gzip")
    found = write_and_read(
        tmp_path, wet(0, "x" * 2001) + bomb + wet(2, "x" * 2000) + response(3, b"x" * 9999), "a.wet", 2000
    )
    assert bad(found) == [(1, "too_large"), (2, "too_large"), (4, "too_large")]
    assert ids(found) == ["n2"]


def test_pages_nested_too_deep_do_not_stall(tmp_path: Path) -> None:
    begin = time.process_time()
    found = write_and_read(tmp_path, response(1, b"<div>" * 100_000 + b"text") + wet(2))
    assert bad(found) == [(1, "too_deep")]
    assert time.process_time() - begin < 5


def test_a_missing_library_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastwarc.warc", None)
    with pytest.raises(ConfigError, match=r"pip install -e '\.\[warc\]'"):
        warc.splits(InputFile("a.warc", "warc", 0), 10)


def test_s3(s3_url: str) -> None:
    import fsspec

    fsspec.filesystem("s3").pipe_file(f"{s3_url}/a.warc.gz", zipped([wet(0), response(1, PAGE.encode())]))
    assert ids(read(f"{s3_url}/a.warc.gz")) == ["n0", "n1"]
