"""Contexts on disk: what `pack` said and nothing else, whole, in the trainer's order, however they are made."""

import html
import io
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from pipeline import contexts_layout, contexts_parquet, contexts_scatter
from pipeline.contexts_layout import Cell, Layout, cuts_of, folder_of, layout_groups, merged, ordered
from pipeline.contexts_tasks import Making
from pipeline.data import parquet_groups
from pipeline.engines.local import LocalEngine
from pipeline.finishing import contexts_lines
from pipeline.inspect import inspect_path
from pipeline.manifest import Finished
from pipeline.plan import make_plan
from pipeline.storage import Store
from stages.errors import ConfigError, EngineError
from stages.tokenizers import Tokenizer
from stages.tokens import Tokens
from tests.packed import Packed, config, go
from tests.runs import documents, fingerprint, write_jsonl
from tests.tiny import Length

ROUNDS = int(os.environ.get("TAMIS_FAULT_ROUNDS", "4"))
Row = dict[str, Any]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Some short documents, and some as long as many contexts."""
    folder = tmp_path_factory.mktemp("input")
    return [write_jsonl(folder / f"{n}.jsonl", documents(size, n, 6)) for n, size in enumerate((30, 25, 3))]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, paths: list[Path]) -> tuple[Path, Finished]:
    output = tmp_path_factory.mktemp("made") / "run"
    return output, go(config(paths, output))


def rows_of(output: Path) -> dict[str, list[Row]]:
    """The contexts of each group in the order of training."""
    return {
        unquote(folder.name.removeprefix("group=")): [
            row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()
        ]
        for folder in sorted((output / "contexts").iterdir())
    }


def expected_of(output: Path) -> dict[str, dict[int, Row]]:
    """What each context of each group must hold, put together from the documents that were kept, one by one."""
    found: dict[str, dict[int, list[tuple[int, str, int, list[int]]]]] = {}
    for row in (row for path in (output / "data").glob("*.parquet") for row in pq.read_table(path).to_pylist()):
        ids = [*row["text"].encode(), 256]
        lists = (row[f"context{name}"] or [] for name in ("", "_place", "_begin", "_end"))
        for context, place, begin, end in zip(*lists, strict=True):
            found.setdefault(row["group"], {}).setdefault(context, []).append((place, row["id"], begin, ids[begin:end]))
    return {
        group: {
            context: {
                "input_ids": [token for part in sorted(parts) for token in part[3]],
                "ids": [part[1] for part in sorted(parts)],
                "begins": [part[2] for part in sorted(parts)],
                "boundaries": list(itertools.accumulate((len(part[3]) for part in sorted(parts)), initial=0)),
            }
            for context, parts in contexts.items()
        }
        for group, contexts in found.items()
    }


def _canonical(rows: Any) -> list[str]:
    return sorted(json.dumps({name: row[name] for name in row if name != "context"}, sort_keys=True) for row in rows)


def test_contexts_hold_what_pack_said(made: tuple[Path, Finished]) -> None:
    output, finished = made
    expected, found = expected_of(output), rows_of(output)
    assert set(found) == set(expected) == {f"source-{n}/ä" for n in range(3)}
    for group, rows in found.items():
        assert _canonical(rows) == _canonical(expected[group].values())
        assert [row["context"] for row in rows] == list(range(len(rows)))
    assert finished.contexts is not None
    for group, facts in finished.contexts.groups.items():
        assert facts.contexts == len(found[group])
        assert facts.tokens == sum(len(row["input_ids"]) for row in found[group])
        assert facts.documents == len({id_ for row in found[group] for id_ in row["ids"]})
        assert len(facts.files) > 1
        assert [file.rows for file in facts.files] == [pq.read_metadata(output / f.name).num_rows for f in facts.files]


def test_a_seeded_hash_shuffles_and_files_do_not_matter(
    made: tuple[Path, Finished], paths: list[Path], tmp_path: Path
) -> None:
    found = rows_of(made[0])
    for seed, file_mb in ((3, 100.0), (4, 0.015)):
        go(config(paths, tmp_path / f"{seed}-{file_mb}", Tokens("bytes"), Packed(file_mb=file_mb), seed=seed))
        other = rows_of(tmp_path / f"{seed}-{file_mb}")
        assert (other == found) is (seed == 3)
        assert _canonical(other["source-0/ä"]) == _canonical(found["source-0/ä"])
    assert len(list((tmp_path / "3-100.0/contexts").glob("*/*"))) == 3


@pytest.mark.parametrize("file_mb", [100.0, 0.012])
def test_without_a_shuffle_contexts_come_by_their_numbers(paths: list[Path], tmp_path: Path, file_mb: float) -> None:
    go(config(paths, tmp_path / "run", Tokens("bytes"), Packed(shuffle=False, file_mb=file_mb)))
    expected = expected_of(tmp_path / "run")
    for group, rows in rows_of(tmp_path / "run").items():
        ordered_rows = [expected[group][number] for number in sorted(expected[group])]
        assert [{name: row[name] for name in row if name != "context"} for row in rows] == ordered_rows
    sizes = [pq.read_metadata(path).num_rows for path in (tmp_path / "run/contexts").glob("*/*")]
    assert (len(sizes) > 5) is (file_mb < 1)


def test_the_same_bytes_with_any_workers_and_shards(
    made: tuple[Path, Finished], paths: list[Path], tmp_path: Path
) -> None:
    with LocalEngine(3) as engine:
        go(config(paths, tmp_path / "three"), engine)
    assert fingerprint(tmp_path / "three") == fingerprint(made[0])
    go(config(paths[::-1], tmp_path / "other", split_mb=0.003))
    assert _contexts(tmp_path / "other") == _contexts(made[0])


def _contexts(output: Path) -> dict[str, str]:
    return {name: hash_ for name, hash_ in fingerprint(output).items() if name.startswith("contexts/")}


def test_every_copy_of_a_document_is_there(paths: list[Path], tmp_path: Path) -> None:
    chain = (Tokens("bytes"), Packed(copies=3))
    finished = go(config(paths, tmp_path / "run", *chain))
    expected = expected_of(tmp_path / "run")
    assert finished.contexts is not None
    for group, rows in rows_of(tmp_path / "run").items():
        assert _canonical(rows) == _canonical(expected[group].values())
    table = pa.concat_tables(pq.read_table(path) for path in (tmp_path / "run/data").glob("*.parquet"))
    assert sum(group.tokens for group in finished.contexts.groups.values()) == 3 * sum(table["tokens"].to_pylist())
    assert finished.contexts.documents == finished.ledger.kept


def test_without_ids_no_text_is_read(paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*given: object) -> None:
        raise AssertionError("a text was read")

    go(config(paths, tmp_path / "with"))
    with monkeypatch.context() as patch:
        patch.setattr(contexts_scatter, "masked_rows", never)
        patch.setattr(Tokens, "open", Tokens("bytes").open.__func__)  # type: ignore[attr-defined]
        finished = go(config(paths, tmp_path / "run", Tokens("bytes"), Packed(input_ids=False)))
    assert finished.contexts is not None
    assert all(document.start is None for example in finished.contexts.examples for document in example.documents)
    without, rows = rows_of(tmp_path / "run"), rows_of(tmp_path / "with")
    assert without == {
        group: [{name: row[name] for name in row if name != "input_ids"} for row in its] for group, its in rows.items()
    }


def test_a_large_vocabulary_takes_wide_ids(paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go(config(paths, tmp_path / "narrow"))
    opened = Tokens.open_tokenizer

    def shifted(stage: Tokens) -> Tokenizer:
        found = opened(stage)
        return Tokenizer(found.id, 70_000 + 257, found.end, Shifted(found.coder))

    monkeypatch.setattr(Tokens, "open_tokenizer", shifted)
    contexts_scatter._tokenizer.cache_clear()
    go(config(paths, tmp_path / "wide"))
    contexts_scatter._tokenizer.cache_clear()
    narrow, wide = rows_of(tmp_path / "narrow"), rows_of(tmp_path / "wide")
    for group, rows in wide.items():
        ids = [[token - 70_000 if token != 256 else 256 for token in row["input_ids"]] for row in rows]
        assert ids == [row["input_ids"] for row in narrow[group]]


@dataclass(frozen=True)
class Shifted:
    """Ids of another coder, beyond 16 bits."""

    coder: Any

    def encode(self, texts: Any) -> list[Any]:
        return [ids + 70_000 for ids in self.coder.encode(texts)]

    def count(self, texts: Any) -> Any:
        return self.coder.count(texts)

    def decode(self, ids: Any) -> str:
        return ""


def test_row_groups_are_small_and_the_footer_vouches_for_all_bytes(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contexts_parquet, "ROW_GROUP_BYTES", 5000)
    finished = go(config(paths, tmp_path / "run"))
    assert finished.contexts is not None
    sources = parquet_groups(tmp_path / "run/contexts", finished.contexts.columns)
    for name, group in finished.contexts.groups.items():
        assert group.checksum == sources[name].checksum
        path = tmp_path / "run" / group.files[0].name
        metadata = pq.read_metadata(path)
        sizes = [metadata.row_group(n).num_rows * 64 * 4 for n in range(metadata.num_row_groups)]
        assert len(sizes) > 1 and max(sizes) <= 6000
        assert metadata.metadata[b"tamis.tokenizer"] == b"bytes"
        assert metadata.metadata[b"tamis.group"].decode() == name
    content = bytearray(path.read_bytes())
    assert _footer_says(path)
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    assert not _footer_says(path)


def _footer_says(path: Path) -> bool:
    import xxhash

    content = path.read_bytes()
    size = int.from_bytes(content[-8:-4], "little")
    said = pq.read_metadata(path).metadata[b"tamis.xxh3"].decode()
    return said == xxhash.xxh3_128_hexdigest(content[: -8 - size])


def test_examples_show_contexts_of_several_documents(made: tuple[Path, Finished], tmp_path: Path) -> None:
    output, finished = made
    texts = {
        row["id"]: row["text"]
        for path in (output / "data").glob("*.parquet")
        for row in pq.read_table(path).to_pylist()
    }
    assert finished.contexts is not None
    found = rows_of(output)
    assert len(finished.contexts.examples) == 3
    for example in finished.contexts.examples:
        row = found[example.group][example.context]
        assert [document.id for document in example.documents] == row["ids"]
        assert [document.begin for document in example.documents] == row["begins"]
        assert [document.start for document in example.documents] == [texts[id_][:80] for id_ in row["ids"]]
        assert len(set(row["ids"])) > 1
    manifest = (output / "manifest.json").read_text()
    assert json.loads(manifest)["contexts"]["groups"]["source-0/ä"]["contexts"] == len(found["source-0/ä"])
    starts = [str(document.start) for example in finished.contexts.examples for document in example.documents]
    assert not any(start in manifest for start in starts)
    report = html.unescape((output / "report.html").read_text())
    assert all(start in report for start in starts)


def test_documents_without_tokens_are_counted(paths: list[Path], tmp_path: Path) -> None:
    some = go(config(paths, tmp_path / "some", Tokens("bytes"), Packed(least=200)))
    assert some.contexts is not None
    assert 0 < some.contexts.without < some.ledger.kept == some.contexts.documents + some.contexts.without
    none = go(config(paths, tmp_path / "none", Tokens("bytes"), Packed(least=10**6)))
    assert none.contexts is not None
    assert (none.contexts.groups, none.contexts.without, none.contexts.examples) == ({}, none.ledger.kept, ())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("lost", "the parts of a document are not its tokens"),
        ("twice", "the parts of a document are not its tokens"),
        ("gap", r"without a gap of up to 64, which is a fault of Tamis"),
        ("long", r"of up to 65 tokens, expected"),
    ],
)
def test_parts_that_make_no_contexts_are_an_error(paths: list[Path], tmp_path: Path, fault: str, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        go(config(paths, tmp_path / "run", Tokens("bytes"), Packed(fault=fault)))


@dataclass(frozen=True)
class Miscounted(Tokens):
    """One token too many for each document."""

    def open(self) -> Any:
        annotate = super().open()

        def more(batch: pa.RecordBatch) -> pa.RecordBatch:
            answer = annotate(batch)
            return answer.set_column(0, "tokens", pa.array(np.asarray(answer.column("tokens")) + np.int32(1)))

        return more


def test_ids_must_be_those_that_were_counted(paths: list[Path], tmp_path: Path) -> None:
    with pytest.raises(
        EngineError, match=r"shard-.*: document '.*' has [\d,]+ tokens, but [\d,]+ were counted.*Remove"
    ):
        go(config(paths, tmp_path / "run", Miscounted("bytes"), Packed()))


def test_a_finished_run_makes_nothing_and_what_is_lost_is_made_again(paths: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "run"
    first = go(config(paths, output))
    before = fingerprint(output)
    again = go(config(paths, output))
    assert again.contexts == first.contexts
    assert not [name for name in again.seconds if "contexts" in name]
    assert not list(output.glob("steps/*/contexts-*/scratch"))
    lost = next(output.glob("contexts/*/part-00001.parquet"))
    lost.unlink()
    go(config(paths, output))
    assert fingerprint(output) == before


def test_files_of_other_settings_are_removed(made: tuple[Path, Finished], paths: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "run"
    go(config(paths, output, Tokens("bytes"), Packed(file_mb=0.01)))
    more = len(list(output.glob("contexts/*/*")))
    (output / "contexts/group=old").mkdir()
    (output / "contexts/group=old/part-00000.parquet").write_bytes(b"")
    (output / "contexts/group=source-0%2F%C3%A4/part-99999.parquet").write_bytes(b"")
    go(config(paths, output))
    assert _contexts(output) == _contexts(made[0])
    assert len(list(output.glob("contexts/*/*"))) < more
    go(config(paths, output, Tokens("bytes")))
    assert not (output / "contexts").exists()


@pytest.mark.parametrize("point", [0, 1, 4, 9])
def test_a_run_cut_short_at_any_write_goes_on(
    made: tuple[Path, Finished], paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: int
) -> None:
    count, create = itertools.count(-point), Store.create

    def failing(store: Store, name: str) -> Any:
        if "contexts" in name and next(count) >= 0:
            raise OSError("No space left on device")
        return create(store, name)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(Store, "create", failing)
        go(config(paths, tmp_path / "run"))
    assert not (tmp_path / "run/manifest.json").exists()
    go(config(paths, tmp_path / "run"))
    assert fingerprint(tmp_path / "run") == fingerprint(made[0])


@pytest.mark.parametrize("number", range(ROUNDS))
def test_sigkill_while_contexts_are_made(
    made: tuple[Path, Finished], paths: list[Path], tmp_path: Path, number: int
) -> None:
    command = [sys.executable, "-m", "tests.packed", tmp_path / "run", "1", *paths]
    process = subprocess.Popen(command)
    while process.poll() is None and not list(tmp_path.glob("run/steps/*/contexts-*/scratch")):
        time.sleep(0.005)
    time.sleep(random.Random(number).uniform(0, 0.5))
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    go(config(paths, tmp_path / "run"))
    assert fingerprint(tmp_path / "run") == fingerprint(made[0])
    assert not list((tmp_path / "run").rglob(".tmp-*"))


def test_on_s3_it_is_the_same(made: tuple[Path, Finished], paths: list[Path], s3_url: str) -> None:
    url = f"{s3_url}/{uuid.uuid4().hex}"
    there = go(config(paths, url))
    assert there.contexts is not None and made[1].contexts is not None
    assert there.contexts == made[1].contexts
    sources = parquet_groups(f"{url}/contexts")
    assert {name: source.checksum for name, source in sources.items()} == {
        name: group.checksum for name, group in made[1].contexts.groups.items()
    }
    go(config(paths, url, Tokens("bytes")))
    assert not Store(url).names("contexts")


def test_groups_that_cannot_be_directories_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="a name of 201 bytes in a path"):
        folder_of("x" * 201)
    monkeypatch.setattr(contexts_layout, "MOST_GROUPS", 2)
    with pytest.raises(ConfigError, match=r"found 3 groups \(0, 1, 2\), expected at most 2"):
        merged(Cell(str(n), 0, 1, 1, 1, 1, 0, 0) for n in range(3))


@given(st.text(max_size=20))
def test_names_of_groups_come_back(name: str) -> None:
    folder = folder_of(name)
    assert folder.isascii() and folder.count("/") == 1
    assert unquote(folder.removeprefix("contexts/group="), errors="surrogatepass") == name


@settings(deadline=None, max_examples=50)
@given(
    counts=st.lists(st.tuples(st.integers(1, 50), st.integers(1, 400)), min_size=1, max_size=6),
    file_bytes=st.integers(300, 20_000),
    shuffle=st.booleans(),
)
def test_files_are_ranges_of_the_order(counts: list[tuple[int, int]], file_bytes: int, shuffle: bool) -> None:
    cells = [
        Cell("a", bucket - 1, 1, contexts, contexts, contexts * tokens, 0, contexts - 1)
        for bucket, (contexts, tokens) in enumerate(counts)
    ]
    numbers = np.concatenate([(cell.bucket << 32) + np.arange(cell.contexts) for cell in cells])
    cuts = cuts_of(cells, file_bytes, input_ids=True, shuffle=shuffle)
    layout = Layout(layout_groups({"0": (5,), "a": cuts}), 7, shuffle, "", False, 1)
    files, keys = layout.files("a", numbers), layout.keys("a", numbers)
    assert files.min() >= 2 and files.max() <= 2 + len(cuts)
    assert (np.diff(files[np.argsort(keys)]) >= 0).all()
    assert len(np.unique(keys)) == len(numbers)
    if not shuffle:
        assert (np.diff(ordered(numbers).astype(object)) > 0).all()
        sizes = np.repeat([tokens * 4 + 48 for _, tokens in counts], [contexts for contexts, _ in counts])
        assert np.bincount(files - 2, sizes).max() <= file_bytes + 2 * sizes.max()


def test_no_stage_of_documents_follows(paths: list[Path], tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"stages\[2\]\.length: contexts are made of all documents that pack saw: put"
    ):
        make_plan(config(paths, tmp_path / "run", Tokens("bytes"), Packed(), Length()))


def test_a_chain_without_tokens_is_told_what_it_lacks(paths: list[Path], tmp_path: Path) -> None:
    plan = make_plan(config(paths, tmp_path / "run"))
    with pytest.raises(ConfigError, match="put tokens before it"):
        Making(Store(""), plan.batch[1:], 0).tokens  # noqa: B018


def test_people_see_what_there_is(made: tuple[Path, Finished], tmp_path: Path) -> None:
    output, finished = made
    assert finished.contexts is not None
    total, *lines = contexts_lines(finished.contexts)
    assert re.fullmatch(r"[\d,]+ of at most 64 tokens, [\d,]+ tokens \(bytes\) in all", total)
    assert any(
        re.fullmatch(r"source-1/ä: \d+ with \d+ documents, [\d,]+ tokens, \d+\.\d% of all", line) for line in lines
    )
    many = replace(finished.contexts, groups={str(n): finished.contexts.groups["source-1/ä"] for n in range(50)})
    assert [*contexts_lines(many)][-1] == "and 30 more groups"
    console = Console(width=200, record=True, quiet=False, file=io.StringIO())
    inspect_path(console, str(output), rows=5, with_text=False, verify=True, as_json=False)
    assert "contexts of at most 64 tokens (bytes)" in console.export_text()
    copy = tmp_path / "run"
    shutil.copytree(output, copy)
    path = next(copy.glob("contexts/*/part-00001.parquet"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(EngineError, match=r"1 shards are missing or differ.*part-00001.*remove them and run"):
        inspect_path(console, str(copy), rows=5, with_text=False, verify=True, as_json=False)
