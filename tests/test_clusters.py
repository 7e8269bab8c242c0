"""The whole chain as a job of a real cluster: the same bytes as here, with nothing installed there, and after kills."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

import stages
from benchmarks.cluster_nodes import bare_environment, command_of, descendants, end, start_raylet
from pipeline.engines import Engine, make_engine
from pipeline.resources import Job, Needs
from stages.errors import EngineError
from tests.cluster_runs import (
    address_of,
    chain_config,
    drivers,
    end_well,
    jobs_of,
    skip_unless_killing,
    start_engine,
    start_submitted,
    until_records,
)
from tests.clusters import ROOT, Cluster, until
from tests.runs import fingerprint, tamis

pytestmark = pytest.mark.filterwarnings("ignore")
"""Ray and Spark warn of their own affairs, which these tests are not about."""


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the corpus and the run `local` of one process."""
    folder = tmp_path_factory.mktemp("clusters")
    done = tamis("run", chain_config(folder, "local"), "--workers", "1")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Cluster:
    made: Cluster = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The engine of this process on a cluster."""
    name = str(request.param)
    made: Cluster = request.getfixturevalue(f"{name}_cluster")
    monkeypatch.setenv(f"{name.upper()}_{'ADDRESS' if name == 'ray' else 'MASTER'}", made.address)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with make_engine(name, 0) as opened:
        yield opened


def _by_value(code: str, **known: Any) -> Callable[..., Any]:
    """A function that travels as a value, since the workers have no tests to import."""
    space = dict(known)
    exec(code, space)
    return space["task_function"]  # type: ignore[no-any-return]


def test_every_stage_is_in_the_chain(reference: Path) -> None:
    """So that what follows is about all of them; the run keeps documents, drops some, and quarantines the broken."""
    table = ds.dataset(reference / "local" / "data").to_table()
    assert table.num_rows > 20
    steps = {path.name.split("-")[1] for path in (reference / "local/steps").iterdir() if path.is_dir()}
    assert set(stages.NAMES) <= steps
    assert ds.dataset(reference / "local" / "quarantine").count_rows() == 1


def test_other_workers_and_partitions_give_the_same_rows(reference: Path) -> None:
    done = tamis("run", chain_config(reference, "cut", split_mb=0.004), "--workers", "2")
    assert done.returncode == 0, done.stderr
    found, expected = (ds.dataset(reference / name / "data").to_table() for name in ("cut", "local"))
    assert found.equals(expected)


@pytest.mark.parametrize("cluster", ["ray_cluster", "spark_cluster"], indirect=True)
def test_a_submitted_job_gives_the_same_bytes(cluster: Cluster, reference: Path) -> None:
    name = "ray" if cluster.jobs else "spark"
    config = chain_config(reference, name)
    end_well(start_submitted(cluster, config))
    assert fingerprint(reference / name) == fingerprint(reference / "local")
    logs = list((reference / name / "logs").glob("*.log"))
    assert len(logs) >= 2
    where = json.loads((reference / name / "logs" / f"{name}.json").read_text())
    assert where["job"] in jobs_of(cluster) if cluster.jobs else where["master"] == cluster.address
    assert not any("harbour was quiet" in log.read_text() for log in logs)


@pytest.mark.parametrize("engine", ["ray", "spark"], indirect=True)
def test_what_runs_on_a_node_was_sent_there_and_a_model_is_opened_once_per_process(engine: Engine) -> None:
    where = _by_value("def task_function(task, tick): import os, pipeline; return os.getpid(), pipeline.__file__")
    found = [dict(engine.map(where, list(range(12)), lambda *tick: None)) for _ in range(2)]
    sent_to = ("/py_modules_files/", "/app-")  # a folder of Ray, and one of an executor
    assert all(any(place in file for place in sent_to) for _, file in found[0].values())
    pids = {pid for part in found for pid, _ in part.values()}
    assert len(pids) <= 4


@pytest.mark.parametrize("engine", ["ray", "spark"], indirect=True)
def test_needs_that_no_node_has_are_said_at_once(engine: Engine) -> None:
    where = _by_value("def task_function(task, tick): return task")
    for needs in (Needs(cpus=64), Needs(gpus=8), Needs(memory_gb=9999)):
        with pytest.raises(EngineError, match=r"a task needs .*(64 CPU|8 GPU|9999 GB)"):
            list(engine.map(where, [1], lambda *tick: None, Job("too much", needs)))


@pytest.mark.parametrize("engine", ["ray"], indirect=True)
def test_gpu_tasks_stay_on_as_many_actors_as_there_are_gpus(engine: Engine) -> None:
    code = "def task_function(task, tick): import os; return os.getpid(), os.environ.get('CUDA_VISIBLE_DEVICES')"
    found = dict(engine.map(_by_value(code), list(range(8)), lambda *tick: None, Job("rating", Needs(gpus=1))))
    assert len(found) == 8
    assert len({pid for pid, _ in found.values()}) == 1  # two GPUs, and one CPU beside them
    assert {device for _, device in found.values()} <= {"0", "1"}


@pytest.mark.parametrize("engine", ["ray", "spark"], indirect=True)
def test_results_come_while_others_run_and_work_that_nobody_wants_ends(engine: Engine, tmp_path: Path) -> None:
    code = """
def task_function(task, tick):
    import pathlib, time
    while task and not (pathlib.Path(folder) / "go").exists():
        (pathlib.Path(folder) / "beat").write_text(str(time.time()))
        time.sleep(0.1)
    return task
"""
    running = engine.map(_by_value(code, folder=str(tmp_path)), [0, 1], lambda *tick: None)
    assert next(running) == (0, 0)
    until((tmp_path / "beat").exists, "the other task")
    running.close()  # type: ignore[attr-defined]
    until(lambda: time.time() - (tmp_path / "beat").stat().st_mtime > 5, "the end of the other task")


@skip_unless_killing()
def test_a_node_killed_in_the_middle_costs_nothing(ray_cluster: Cluster, reference: Path) -> None:
    node = start_raylet(ray_cluster.address)
    process = start_submitted(ray_cluster, chain_config(reference, "ray-killed"))
    until_records(reference / "ray-killed")
    end(node)
    end_well(process)
    assert fingerprint(reference / "ray-killed") == fingerprint(reference / "local")


@skip_unless_killing()
@pytest.mark.parametrize("victim", ["raylet/raylet ", "ray::DashboardAgent"])
def test_a_ray_of_its_own_that_ends_is_told_and_the_same_command_goes_on(victim: str, reference: Path) -> None:
    pytest.importorskip("ray")
    name = f"ray-without-{victim[-6:].strip()}"
    config = chain_config(reference, name)
    process = start_engine("ray", config)
    until_records(reference / name)
    os.kill(next(pid for pid in descendants(process.pid) if victim in command_of(pid)), signal.SIGKILL)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == EngineError.exit_code, output.decode()[-3000:]
    assert b"Ray node on which this run was started has ended" in b" ".join(output.split())
    end_well(start_engine("ray", config))
    assert fingerprint(reference / name) == fingerprint(reference / "local")


@skip_unless_killing()
def test_an_executor_killed_in_the_middle_costs_nothing(spark_cluster: Cluster, reference: Path) -> None:
    process = start_submitted(spark_cluster, chain_config(reference, "spark-killed"))
    until_records(reference / "spark-killed")
    executors = [pid for node in spark_cluster.nodes[1:] for pid in descendants(node.pid)]
    victims = [pid for pid in executors if "CoarseGrainedExecutorBackend" in command_of(pid)]
    assert len(victims) >= 2
    os.kill(victims[0], signal.SIGKILL)
    end_well(process)
    assert fingerprint(reference / "spark-killed") == fingerprint(reference / "local")


@skip_unless_killing()
@pytest.mark.parametrize("cluster", ["ray_cluster", "spark_cluster"], indirect=True)
def test_a_driver_killed_in_the_middle_is_followed_by_the_same_command(cluster: Cluster, reference: Path) -> None:
    name = "ray-driver" if cluster.jobs else "spark-driver"
    config = chain_config(reference, name)
    process = start_submitted(cluster, config)
    until_records(reference / name)
    (driver,) = drivers(config)
    os.kill(driver, signal.SIGKILL)
    process.communicate(timeout=120)
    assert not (reference / name / "manifest.json").exists()
    end_well(start_submitted(cluster, config))
    assert fingerprint(reference / name) == fingerprint(reference / "local")


@pytest.mark.parametrize("cluster", ["ray_cluster", "spark_cluster"], indirect=True)
def test_an_interrupt_ends_the_work_on_the_cluster_and_the_same_command_goes_on(
    cluster: Cluster, reference: Path
) -> None:
    engine, address = address_of(cluster)
    config = chain_config(reference, f"{engine}-interrupted")
    process = start_engine(engine, config, **address)
    until_records(reference / f"{engine}-interrupted")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output.decode()[-3000:]
    assert b"the same command goes on" in output
    end_well(start_engine(engine, config, **address))
    assert fingerprint(reference / f"{engine}-interrupted") == fingerprint(reference / "local")


@skip_unless_killing()
@pytest.mark.parametrize(("engine", "address"), [("ray", {}), ("spark", {"SPARK_MASTER": "local-cluster[2,1,1024]"})])
def test_a_run_on_object_storage(
    engine: str, address: dict[str, str], reference: Path, s3_url: str, tmp_path: Path
) -> None:
    """The bucket holds the same bytes as the disk of the local run: no rename made them real, records did."""
    import s3fs

    end_well(start_engine(engine, chain_config(reference, f"{engine}-s3", f"{s3_url}/{engine}"), **address))
    s3fs.S3FileSystem().get(f"{s3_url}/{engine}", str(tmp_path / "run"), recursive=True)
    assert fingerprint(tmp_path / "run") == fingerprint(reference / "local")


@skip_unless_killing()
def test_needs_that_fill_an_executor_are_met(reference: Path) -> None:
    """One executor of two cores: stages that take both run one at a time, and all others two."""
    needs = {"language": {"cpus": 2}, "read": {"memory_gb": 0.1}}
    config = chain_config(reference, "spark-needs", resources=needs)
    end_well(start_engine("spark", config, SPARK_MASTER="local-cluster[1,2,1024]"))
    assert fingerprint(reference / "spark-needs") == fingerprint(reference / "local")


@pytest.mark.parametrize("script", ["submit_ray.py", "submit_spark.py"])
def test_exit_codes_are_those_of_the_command(script: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "jobs" / script), str(tmp_path / "missing.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=bare_environment())
    assert done.returncode == 3
    assert "there is no configuration file" in done.stderr
