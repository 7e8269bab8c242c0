"""From records to documents: ids, sources, metadata, and each reason to refuse a record."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.documents import RESERVED, Document, DocumentMaker, default_source
from pipeline.formats import BadRecord, FieldNames, Place, Record

PLACE = Place("data/harbour.jsonl", 3, 120)
MAKE = DocumentMaker(FieldNames(), "harbour", 40)


def make(fields: dict[str, object], place: Place = PLACE) -> Document:
    document = MAKE(Record(place, fields))
    assert isinstance(document, Document)
    return document


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "missing_text"),
        ({"body": "The tide."}, "missing_text"),
        ({"text": 12}, "text_not_string"),
        ({"text": None}, "text_not_string"),
        ({"text": ["The tide."]}, "text_not_string"),
        ({"text": {"a": "The tide."}}, "text_not_string"),
        ({"text": ""}, "empty_text"),
        ({"text": " \n\t\u3000"}, "empty_text"),
        ({"text": "x" * 41}, "too_large"),
        ({"text": "é" * 21}, "too_large"),
        ({"text": "half \ud800"}, "lone_surrogate"),
        ({"text": "a", "id": "\udfff"}, "lone_surrogate"),
        ({"text": "a", "source": "\udfff"}, "lone_surrogate"),
        ({"text": "a", "note": "\udfff"}, "lone_surrogate"),
        ({"text": "a", "note": {"\udfff": 1}}, "lone_surrogate"),
        ({"text": "a", "metadata": '{"a": "\udfff"}'}, "lone_surrogate"),
        ({"text": "a", "note": "\udfff", "n": 2**70}, "lone_surrogate"),
        ({"text": "a", "note": {1, 2}}, "bad_metadata"),
    ],
)
def test_each_reason_to_refuse_a_record(fields: dict[str, object], reason: str) -> None:
    found = MAKE(Record(PLACE, fields))
    assert isinstance(found, BadRecord)
    assert (found.reason, found.place, found.count) == (reason, PLACE, 1)


def test_deeply_nested_metadata_is_refused_not_fatal() -> None:
    nested: list[object] = []
    for _ in range(900):
        nested = [nested]
    for huge in ({}, {"n": 2**70}):
        found = MAKE(Record(PLACE, {"text": "a", **huge, "nested": nested}))
        assert isinstance(found, Document) or found.reason == "bad_metadata"


def test_refusals_name_the_fields_that_are_there() -> None:
    found = MAKE(Record(PLACE, {"body": "The tide.", "id": 1}))
    assert isinstance(found, BadRecord)
    assert "no field 'text'" in found.detail
    assert "body, id" in found.detail
    assert "tide" not in found.detail


def test_a_refusal_shows_few_names_and_cuts_long_ones() -> None:
    found = MAKE(Record(PLACE, {"x" * 100_000: 1, **{f"name-{n}": n for n in range(20)}}))
    assert isinstance(found, BadRecord)
    assert found.detail.endswith("name-0, name-1, name-10, name-11, name-12, name-13, name-14, name-15, …")
    found = MAKE(Record(PLACE, {"x" * 100_000: 1}))
    assert isinstance(found, BadRecord)
    assert found.detail == f"no field 'text'; the record's fields: {'x' * 39}…"
    found = MAKE(Record(PLACE, {"half \ud800": 1}))
    assert isinstance(found, BadRecord)
    assert found.detail.endswith("fields: half \\ud800")


def test_the_limit_counts_utf8_bytes() -> None:
    assert make({"text": "é" * 20}).text_bytes == 40
    assert make({"text": "x" * 40}).text_bytes == 40


def test_a_record_stays_as_it_was() -> None:
    fields: dict[str, object] = {"text": "a", "id": "1", "source": "s", "n": 1}
    make(fields)
    assert fields == {"text": "a", "id": "1", "source": "s", "n": 1}


@pytest.mark.parametrize(("given", "kept"), [("a-7", "a-7"), (7, "7"), (2**70, str(2**70)), (0, "0")])
def test_an_id_that_is_given_is_kept(given: object, kept: str) -> None:
    document = make({"text": "The tide.", "id": given})
    assert (document.id, document.own_id, document.metadata) == (kept, True, "{}")


@pytest.mark.parametrize("given", [None, "", 1.5, True, ["a"], {"oid": "a"}])
def test_what_can_be_no_id_gives_way_to_a_hash_and_stays_in_the_metadata(given: object) -> None:
    document = make({"text": "The tide.", "id": given})
    assert document.id == make({"text": "The tide."}).id
    assert not document.own_id
    assert json.loads(document.metadata) == ({} if given in (None, "") else {"id": given})


def test_the_hash_is_stable_and_depends_on_place_and_text() -> None:
    assert make({"text": "The tide."}).id == "bce44771f4003b539742e68de8189a22"
    places = [PLACE, Place("data/other.jsonl", 3, 120), Place(PLACE.url, 3, 121), Place(PLACE.url, 3, None)]
    ids = {make({"text": text}, place).id for text in ("The tide.", "The tides.") for place in places}
    assert len(ids) == 8
    assert make({"text": "a"}, Place(PLACE.url, None, 120)).id == make({"text": "a"}).id
    assert make({"text": "a", "note": 1}).id == make({"text": "a"}).id


@pytest.mark.parametrize("given", [None, "", 3, {"name": "a"}])
def test_a_source_that_is_none_gives_way_to_the_file(given: object) -> None:
    document = make({"text": "a", "source": given})
    assert document.source == "harbour"
    assert json.loads(document.metadata) == ({} if given in (None, "") else {"source": given})
    assert make({"text": "a", "source": "log"}).source == "log"


def test_names_of_the_fields_can_be_set() -> None:
    other = DocumentMaker(FieldNames("body", "key", "origin"), "harbour", 40)
    found = other(Record(PLACE, {"body": "a", "key": 1, "origin": "b", "text": "c", "id": "d"}))
    assert isinstance(found, Document)
    assert (found.text, found.id, found.source) == ("a", "1", "b")
    assert json.loads(found.metadata) == {"text": "c", "id": "d"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.text(min_size=1, max_size=6).filter(lambda name: name not in ("text", "id", "source", "metadata"))


@settings(max_examples=200, deadline=None)
@given(rest=st.dictionaries(NAMES, JSON, max_size=4))
def test_metadata_is_every_other_field_as_it_came(rest: dict[str, object]) -> None:
    assert json.loads(make({"text": "a", **rest}).metadata) == rest


def test_integers_of_more_than_64_bits_keep_their_digits_and_nan_becomes_null() -> None:
    value = {"n": 2**70, "x": [float("nan"), float("inf"), -(2**64)], "é": "ü", "ok": 0.1}
    metadata = make({"text": "a", **value}).metadata
    assert json.loads(metadata) == {**value, "x": [None, None, -(2**64)]}
    assert '"é":"ü"' in metadata
    assert json.loads(make({"text": "a", "x": float("nan")}).metadata) == {"x": None}


def test_metadata_of_an_earlier_run_passes_through() -> None:
    for text in ('{"a": 1,  "b": [2]}', "{}", f'{{"n": {10**30}}}'):
        assert make({"text": "a", "id": 1, "metadata": text}).metadata == text
    assert json.loads(make({"text": "a", "metadata": {"b": 1}}).metadata) == {"b": 1}


@pytest.mark.parametrize("value", ["{no json", "[1]", "a note", 3, None])
def test_a_field_metadata_that_is_no_object_is_a_field_like_others(value: object) -> None:
    assert json.loads(make({"text": "a", "metadata": value}).metadata) == {"metadata": value}
    both = make({"text": "a", "metadata": '{"b": 1}', "n": 2}).metadata
    assert json.loads(both) == {"metadata": '{"b": 1}', "n": 2}


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("data/harbour.jsonl", "harbour"),
        ("s3://bucket/logs/harbour.v2.jsonl.zst", "harbour.v2"),
        ("/abs/Harbour.JSON.GZ", "Harbour"),
        ("CC-MAIN-1.warc.wet.gz", "CC-MAIN-1"),
        ("harbour", "harbour"),
        ("harbour.unknown", "harbour.unknown"),
        (".jsonl", ".jsonl"),
    ],
)
def test_the_default_source_is_the_name_of_the_file(url: str, source: str) -> None:
    assert default_source(url) == source


def test_reserved_columns_are_strings_and_never_null() -> None:
    assert [(f.name, str(f.type), f.nullable) for f in RESERVED] == [
        (name, "string", False) for name in ("id", "text", "source", "metadata")
    ]
