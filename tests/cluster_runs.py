"""The whole chain on a real cluster as a user starts it: submitted, or from a node, watched, and ended."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cluster_nodes import bare_environment, command_of
from tests.clusters import ROOT, Cluster, until
from tests.runs import command
from tests.tiny_corpus import corpus, whole_chain


def chain_config(folder: Path, name: str, output: str = "", **more: Any) -> Path:
    """The whole chain on the corpus of a folder into its run `name`, or to an address."""
    inputs = [folder / "prose.jsonl", folder / "mixed.jsonl", folder / "bad.jsonl"]
    paths = inputs if inputs[0].is_file() else corpus(folder)
    return whole_chain(folder / f"{name}.yaml", paths, output or folder / name, **more)


def submission(cluster: Cluster, config: Path) -> list[str]:
    """The command that a user gives, from the checkout."""
    ray, spark = Path(sys.executable).parent / "ray", Path(sys.executable).parent / "spark-submit"
    if cluster.jobs:
        job = ["--", sys.executable, "jobs/submit_ray.py", str(config)]
        return [str(ray), "job", "submit", "--address", cluster.jobs, "--working-dir", str(ROOT), *job]
    memory = ["--conf", "spark.executor.memory=700m"]
    return [str(spark), "--master", cluster.address, *memory, "jobs/submit_spark.py", str(config)]


def start(line: list[str], **settings: str) -> "subprocess.Popen[bytes]":
    """A command from the checkout, whose messages are read at its end."""
    environment = bare_environment(SPARK_LOCAL_IP="127.0.0.1", PYSPARK_PYTHON=sys.executable, **settings)
    return subprocess.Popen(line, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def start_submitted(cluster: Cluster, config: Path) -> "subprocess.Popen[bytes]":
    """A submitted job."""
    return start(submission(cluster, config))


def start_engine(engine: str, config: Path, **settings: str) -> "subprocess.Popen[bytes]":
    """`tamis run` with an engine, which finds its cluster in `settings`, or starts one."""
    return start(command("run", config, "--engine", engine), **settings)


def end_well(process: "subprocess.Popen[bytes]") -> None:
    """Wait for the end, which must be a good one."""
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output.decode()[-3000:]


def until_records(run: Path) -> None:
    """Until some work is done, and some is not."""
    until(lambda: any(run.glob("steps/*-language-*/records/*.json")), "the first record")
    assert not (run / "manifest.json").exists()


def drivers(config: Path) -> list[int]:
    """Python processes whose script is the job of this configuration."""
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    words = {pid: command_of(pid).split() for pid in pids}
    scripts = ("jobs/submit_ray.py", "jobs/submit_spark.py")
    return [pid for pid, line in words.items() if line[2:] == [str(config)] and line[1].endswith(scripts)]


def jobs_of(cluster: Cluster) -> set[str]:
    """The ids of the drivers that jobs of a Ray cluster had."""
    with urllib.request.urlopen(f"{cluster.jobs}/api/jobs/", timeout=30) as page:
        return {job["driver_info"]["id"] for job in json.load(page) if job["driver_info"]}


def address_of(cluster: Cluster) -> tuple[str, dict[str, str]]:
    """The name of the engine of a cluster, and how it finds it."""
    if cluster.jobs:
        return "ray", {"RAY_ADDRESS": cluster.address}
    return "spark", {"SPARK_MASTER": cluster.address}


def skip_unless_killing() -> pytest.MarkDecorator:
    """What takes many minutes is asked for: kills, object storage, a cluster of its own."""
    return pytest.mark.skipif(
        "TAMIS_CLUSTER_KILLS" not in os.environ, reason="set TAMIS_CLUSTER_KILLS: it takes minutes"
    )
