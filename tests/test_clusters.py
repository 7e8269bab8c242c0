"""The whole chain as a job of a real cluster: the same bytes as here, with nothing installed there, and after kills."""

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
from pipeline.engines import Engine, make_engine
from pipeline.resources import Job, Needs
from stages.errors import EngineError
from tests.clusters import ROOT, Cluster, bare_environment, command_of, descendants, end, start_raylet, until
from tests.runs import fingerprint, tamis
from tests.tiny_corpus import corpus, whole_chain

pytestmark = pytest.mark.filterwarnings("ignore")
"""Ray and Spark warn of their own affairs, which these tests are not about."""


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the corpus and the run `local` of one process."""
    folder = tmp_path_factory.mktemp("clusters")
    config = whole_chain(folder / "local.yaml", corpus(folder), folder / "local")
    done = tamis("run", config, "--workers", "1")
    assert done.returncode == 0, done.stderr
    return folder


def _config(folder: Path, name: str, split_mb: float = 0.01) -> Path:
    inputs = [folder / "prose.jsonl", folder / "mixed.jsonl", folder / "bad.jsonl"]
    return whole_chain(folder / f"{name}.yaml", inputs, folder / name, split_mb)


def _submit(cluster: Cluster, config: Path) -> list[str]:
    """The command that a user gives, from the checkout."""
    ray, spark = Path(sys.executable).parent / "ray", Path(sys.executable).parent / "spark-submit"
    if cluster.jobs:
        job = ["--", sys.executable, "jobs/submit_ray.py", str(config)]
        return [str(ray), "job", "submit", "--address", cluster.jobs, "--working-dir", str(ROOT), *job]
    return [
        str(spark),
        "--master",
        cluster.address,
        "--conf",
        "spark.executor.memory=700m",
        "jobs/submit_spark.py",
        str(config),
    ]


def _start(cluster: Cluster, config: Path) -> "subprocess.Popen[bytes]":
    environment = bare_environment(SPARK_LOCAL_IP="127.0.0.1", PYSPARK_PYTHON=sys.executable)
    return subprocess.Popen(
        _submit(cluster, config), cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def _end_well(process: "subprocess.Popen[bytes]") -> None:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output.decode()[-3000:]


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
    done = tamis("run", _config(reference, "cut", split_mb=0.004), "--workers", "2")
    assert done.returncode == 0, done.stderr
    found, expected = (ds.dataset(reference / name / "data").to_table() for name in ("cut", "local"))
    assert found.equals(expected)


@pytest.mark.parametrize("cluster", ["ray_cluster", "spark_cluster"], indirect=True)
def test_a_submitted_job_gives_the_same_bytes(cluster: Cluster, reference: Path) -> None:
    name = "ray" if cluster.jobs else "spark"
    config = _config(reference, name)
    first = _start(cluster, config)
    first.communicate(timeout=600)
    if first.returncode:  # raylets of one machine unpack a job into the same folder, one while the other reads it
        assert cluster.jobs
        _end_well(_start(cluster, config))
    assert fingerprint(reference / name) == fingerprint(reference / "local")
    logs = list((reference / name / "logs").glob("*.log"))
    assert len(logs) >= 2
    assert (reference / name / "logs" / f"{name}.json").is_file()
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
    for needs in (Needs(cpus=64), Needs(gpus=8)):
        with pytest.raises(EngineError, match=r"a task needs .*64 CPU|a task needs .*8 GPU"):
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


def test_a_node_killed_in_the_middle_costs_nothing(ray_cluster: Cluster, reference: Path) -> None:
    node = start_raylet(ray_cluster.address)
    process = _start(ray_cluster, _config(reference, "ray-killed"))
    _until_records(reference / "ray-killed")
    end(node)
    _end_well(process)
    assert fingerprint(reference / "ray-killed") == fingerprint(reference / "local")


def test_an_executor_killed_in_the_middle_costs_nothing(spark_cluster: Cluster, reference: Path) -> None:
    process = _start(spark_cluster, _config(reference, "spark-killed"))
    _until_records(reference / "spark-killed")
    executors = [pid for node in spark_cluster.nodes[1:] for pid in descendants(node.pid)]
    victims = [pid for pid in executors if "CoarseGrainedExecutorBackend" in command_of(pid)]
    assert len(victims) >= 2
    os.kill(victims[0], signal.SIGKILL)
    _end_well(process)
    assert fingerprint(reference / "spark-killed") == fingerprint(reference / "local")


@pytest.mark.skipif("TAMIS_CLUSTER_KILLS" not in os.environ, reason="set TAMIS_CLUSTER_KILLS: it takes minutes")
@pytest.mark.parametrize("cluster", ["ray_cluster", "spark_cluster"], indirect=True)
def test_a_driver_killed_in_the_middle_is_followed_by_the_same_command(cluster: Cluster, reference: Path) -> None:
    name = "ray-driver" if cluster.jobs else "spark-driver"
    config = _config(reference, name)
    process = _start(cluster, config)
    _until_records(reference / name)
    (driver,) = _drivers(config)
    os.kill(driver, signal.SIGKILL)
    process.communicate(timeout=120)
    assert not (reference / name / "manifest.json").exists()
    _end_well(_start(cluster, config))
    assert fingerprint(reference / name) == fingerprint(reference / "local")


def _until_records(run: Path) -> None:
    """Until some work is done, and some is not."""
    until(lambda: any(run.glob("steps/*-language-*/records/*.json")), "the first record")
    assert not (run / "manifest.json").exists()


def _drivers(config: Path) -> list[int]:
    """Python processes whose script is the job of this configuration."""
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    words = {pid: command_of(pid).split() for pid in pids}
    scripts = ("jobs/submit_ray.py", "jobs/submit_spark.py")
    return [pid for pid, line in words.items() if line[1:2] and line[1] in scripts and line[2:] == [str(config)]]


@pytest.mark.parametrize("script", ["submit_ray.py", "submit_spark.py"])
def test_exit_codes_are_those_of_the_command(script: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "jobs" / script), str(tmp_path / "missing.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=bare_environment())
    assert done.returncode == 3
    assert "there is no configuration file" in done.stderr
