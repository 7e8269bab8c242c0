"""What tasks need: read from the configuration, summed over the stages at work, in no hash."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import as_plain, build_config
from pipeline.engines.local import LocalEngine
from pipeline.engines.machine import fitting, memory_bytes
from pipeline.engines.spark_cluster import cores_for, java_version
from pipeline.exchange import gather, scatter, solve
from pipeline.needs import at_work, job_of
from pipeline.outcomes import ShardTask, process_shard
from pipeline.plan import Step, make_plan
from pipeline.reading import read_split
from pipeline.records import FileRecord
from pipeline.resources import GB, Job, Needs
from pipeline.storage import Store
from pipeline.surveys import StepsTask, run_steps, survey_shards
from pipeline.verdicts import Shard
from pipeline.writing import write_part
from stages.errors import ConfigError
from tests.runs import documents, write_jsonl
from tests.tiny import Above, Length, Ranks, Twice

CHAIN = tuple(Step(n, kind.name, "0", kind()) for n, kind in enumerate((Length, Twice, Ranks, Above)))
SHARD = Shard(FileRecord("steps/00-read-0/shard-0.parquet", 1, 1, 1, ""))


def _task(steps: tuple[Step, ...]) -> ShardTask:
    return ShardTask(Store("run"), steps, "steps/write", SHARD)


def test_the_stages_at_work_are_those_that_are_not_done_on_all_shards() -> None:
    store = Store("run")
    assert at_work(run_steps, StepsTask(store, CHAIN[:2], SHARD)) == ("length", "twice")
    assert at_work(run_steps, StepsTask(store, CHAIN[:3], SHARD)) == ("ranks",)
    assert at_work(process_shard, _task(CHAIN)) == ("above",)
    assert at_work(process_shard, _task(CHAIN[:2])) == ("length", "twice")
    for function in (survey_shards, scatter, solve):
        assert at_work(function, _task(CHAIN[:3])) == ("ranks",)
    assert at_work(gather, _task(CHAIN)) == ()
    assert (at_work(read_split, None), at_work(write_part, _task(CHAIN))) == (("read",), ("write",))


def test_stages_in_one_process_share_cores_and_add_up_memory() -> None:
    resources = {"length": Needs(cpus=2, memory_gb=1), "twice": Needs(gpus=1, memory_gb=2), "write": Needs(cpus=9)}
    job = job_of("length+twice", process_shard, [_task(CHAIN[:2])], resources)
    assert job == Job("length+twice", Needs(cpus=2, gpus=1, memory_gb=3))
    assert job_of("x", process_shard, [], resources).needs == job_of("x", read_split, [None], {}).needs == Needs()


def _config(tmp_path: Path, **resources: object) -> dict[str, object]:
    path = write_jsonl(tmp_path / "a.jsonl", documents(3))
    return {"input": {"paths": [str(path)]}, "output": str(tmp_path / "run"), "stages": ["language"], **resources}


def test_they_change_no_hash_and_are_shown(tmp_path: Path) -> None:
    needs = {"language": {"cpus": 2, "memory_gb": 1.5}, "read": {"cpus": 3}}
    with_needs, without = (build_config(_config(tmp_path, **more)) for more in ({"resources": needs}, {}))
    assert make_plan(with_needs).steps == make_plan(without).steps
    assert as_plain(with_needs)["resources"]["language"] == {"cpus": 2, "gpus": 0.0, "memory_gb": 1.5}
    assert "resources" not in as_plain(without)


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"langage": {"cpus": 1}}, r"resources.langage: no such key; did you mean 'language'\?"),
        ({"language": {"cpu": 1}}, r"resources.language.cpu: no such key; did you mean 'cpus'\?"),
        ({"language": {"cpus": 0}}, "found cpus: 0, expected 1 to 1024"),
        ({"language": {"gpus": 1.5}}, "found gpus: 1.5, expected 0, a share such as 0.5, or a whole number"),
        ({"language": {"memory_gb": -1}}, "found memory_gb: -1.0, expected 0 to 100,000"),
        (["language"], "resources: found"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, resources: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_config(_config(tmp_path, resources=resources))


def test_the_version_of_java_is_read_in_old_and_new_style() -> None:
    assert java_version('openjdk version "21.0.1" 2023-10-17') == 21
    assert java_version('java version "1.8.0_401"') == 8
    assert java_version("command not found") == 0


@given(st.integers(1, 64), st.floats(0.01, 100), st.integers(1, 64), st.integers(1, 200))
def test_tasks_that_take_the_cores_of_their_memory_fit_into_it(
    cpus: int, gigabytes: float, cores: int, have: int
) -> None:
    """Spark runs cores // taken tasks on a host: never more than the memory holds, nor fewer than half as many."""
    needs = Needs(cpus=cpus, memory_gb=gigabytes)
    taken = cores_for(needs, cores, have * GB)
    assert cores // taken <= fitting(needs, cores, have * GB)
    assert taken == cpus or (taken - 1) * have < gigabytes * cores


def test_memory_limits_how_many_tasks_run_on_this_machine_and_one_always_does(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, gigabytes = LocalEngine(4), memory_bytes() / GB
    monkeypatch.setattr("pipeline.engines.local.cpu_count", lambda: 4)
    limits = [engine._most(Needs(memory_gb=gigabytes * share)) for share in (0.2, 0.4, 0.9, 3)]
    assert limits == [4, 2, 1, 1]
    assert engine._most(Needs()) > 4


@pytest.mark.parametrize(("version", "controllers"), [(2, ""), (1, "memory")])
def test_a_container_is_held_to_less_than_the_machine(
    version: int, controllers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The least of the limits of the own group and of those around it; "max" and huge ones are none."""
    unlimited = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "groups").write_text(f"7:cpu:/other\n{version}:{controllers}:/outer/inner\n")
    monkeypatch.setattr("pipeline.engines.machine._GROUPS", tmp_path / "groups")
    monkeypatch.setattr("pipeline.engines.machine._LIMITS", {controllers: (str(tmp_path), "limit")})
    assert memory_bytes() == unlimited
    for folder, said, expected in (
        ("outer/inner", "max", unlimited),
        ("", "9" * 19, unlimited),
        ("outer", "2000000", 2_000_000),
        ("outer/inner", "1000000", 1_000_000),
        ("outer/inner", "3000000", 2_000_000),
    ):
        (tmp_path / folder / "limit").write_text(said + "\n")
        assert memory_bytes() == expected
