"""The mixture log: what was written comes back, gives the data order, survives a torn end, and refuses other data."""

import logging
from pathlib import Path

import numpy as np
import orjson
import pytest

from benchmarks.mixture_worlds import Drive, random_law
from pipeline.data.loops import MixtureRun, facts_of
from stages.errors import ConfigError, InputError
from stages.mixture_aioli import Aioli
from stages.mixture_estimator import Decision
from stages.mixture_log import LogWriter, read_log, spans_of
from stages.mixture_schedule import Schedule
from stages.mixture_task import Task

STEPS = 120
WORLD = random_law(3, STEPS, 1, noise=1e-3)
TASK = Task(dict.fromkeys(WORLD.groups, 100), STEPS, batch=4, seed=2, max_epochs=3.0)
FACTS = facts_of(TASK, dict.fromkeys(WORLD.groups, "sum"), "bytes", config="c0ffee")


def _aioli() -> Aioli:
    return Aioli(TASK, rounds=4, hold=0.0)


def _run(path: Path, stop: int = STEPS) -> list[Decision]:
    """Train to step `stop`, with each decision logged."""
    run, drive, decisions = MixtureRun(_aioli(), LogWriter(path, FACTS)), Drive(WORLD, 0), []
    for step in range(stop + 1):
        if decision := run.tell(step, lambda: drive._seen(None)):
            decisions.append(decision)
        if step < stop:
            drive._train(None, np.array([run.estimator.plan(step)[0].mixture[name] for name in WORLD.groups]))
    return decisions


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mixture.jsonl"


def test_decisions_come_back_and_cover_every_sample(path: Path) -> None:
    decisions = _run(path)
    log = read_log(path)
    assert [entry.decision for entry in log.entries][1:] == decisions
    assert log.facts == FACTS
    assert log.complete
    spans = list(spans_of(log))
    assert [spans[0].begin, *(span.end for span in spans)] == [span.begin for span in spans] + [STEPS * 4]
    line = orjson.loads(path.read_bytes().splitlines()[1])
    assert line["sample"] == line["lands"] * 4
    assert line["run"]["tokenizer"] == "bytes"
    assert line["run"]["config"] == "c0ffee"


def test_the_log_alone_gives_the_order(path: Path) -> None:
    _run(path)
    schedule = read_log(path).schedule()
    by_hand = Schedule(dict.fromkeys(WORLD.groups, 100), 4, 2, dict.fromkeys(WORLD.groups, 300))
    for span in spans_of(read_log(path)):
        by_hand.extend(span)
    assert [schedule.at(n) for n in range(480)] == [by_hand.at(n) for n in range(480)]
    for begin in range(0, 480, 4):
        span = next(span for span in spans_of(read_log(path)) if span.begin <= begin < span.end)
        counts = (schedule.counts(begin + 4) - schedule.counts(begin)).tolist()
        asked = [4 * span.mixture[name] for name in schedule.groups]
        assert all(abs(count - want) < 1 for count, want in zip(counts, asked, strict=True))


def test_every_torn_end_is_cut_and_the_rest_kept(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _run(path)
    whole = path.read_bytes()
    start = whole[:-1].rfind(b"\n") + 1
    for cut in (start + 1, (start + len(whole)) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        log = read_log(path)
        assert (len(log.entries), log.torn) == (4, cut - start)
        with caplog.at_level(logging.WARNING, "tamis.mixture"):
            LogWriter(path, FACTS)
        assert f"{cut - start} bytes after byte {start} are cut" in caplog.text
        assert path.read_bytes() == whole[:start]
        caplog.clear()
    path.write_bytes(whole + b"\0\0\0\n")
    assert len(read_log(path).entries) == 5


def test_a_run_again_writes_nothing_anew_and_a_resumed_one_replaces(path: Path) -> None:
    _run(path, 60)
    early = path.read_bytes()
    _run(path)
    assert path.read_bytes().startswith(early)
    whole = path.read_bytes()
    _run(path)
    assert path.read_bytes() == whole
    changed = orjson.loads(whole.splitlines()[2])
    path.write_bytes(whole + orjson.dumps({**changed, "reason": "again"}) + b"\n")
    assert [entry.decision.reason for entry in read_log(path).entries][2:] == ["again"]


def test_what_is_no_log_is_refused_with_its_line(path: Path) -> None:
    _run(path)
    lines = path.read_bytes().splitlines(keepends=True)
    second = orjson.loads(lines[1])

    def refused(changes: dict[str, object], match: str) -> None:
        path.write_bytes(b"".join([lines[0], orjson.dumps({**second, **changes}), b"\n", *lines[2:]]))
        with pytest.raises(InputError, match=match):
            read_log(path)

    refused({"version": 3}, "line 2 has version 3, expected 1")
    refused({"format": 9}, "line 2 is of format 9")
    refused({"mixture": {"g0": 1.0}}, "line 2 has a mixture that is none")
    refused({"segments": second["segments"][1:]}, "line 2 has samples")
    refused({"run": {**second["run"], "seed": 8}}, "line 2 is of another run")
    path.write_bytes(b"".join([lines[0], b"{\n", *lines[2:]]))
    with pytest.raises(InputError, match="line 2 is damaged"):
        read_log(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="holds no decision"):
        read_log(path)


def test_other_data_or_settings_are_refused(path: Path) -> None:
    _run(path)
    with pytest.raises(ConfigError, match="was written with data"):
        LogWriter(path, facts_of(TASK, dict.fromkeys(WORLD.groups, "other"), "bytes", "c0ffee"))
    with pytest.raises(ConfigError, match="was written with tokenizer = bytes"):
        LogWriter(path, facts_of(TASK, dict.fromkeys(WORLD.groups, "sum"), "gpt2", "c0ffee"))
    with pytest.raises(ConfigError, match="give the tokenizer's id"):
        facts_of(TASK, {}, "")
