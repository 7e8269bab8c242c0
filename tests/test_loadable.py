"""The shards load in whatever reads Parquet, with the same ids and the same text."""

import os
import sys
from pathlib import Path

import pytest

from tests.runs import documents, go, write_config, write_jsonl

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loadable")
    path = write_jsonl(folder / "a.jsonl", documents(300))
    sizes = {"shards": {"text_mb": 0.05, "row_group_mb": 0.02}, "input": {"split_mb": 0.05}}
    go(write_config(folder / "c.yaml", [path], folder / "run", stages=["language"], **sizes))
    return folder / "run"


EXPECTED = {row["id"]: row["text"] for row in documents(300) if any(map(str.isalpha, row["text"]))}
"""Text without a letter has no language and is dropped."""


def test_datasets(run: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(
        "parquet", data_files=f"{run}/data/*.parquet", split="train", cache_dir=str(tmp_path)
    )
    assert dict(zip(loaded["id"], loaded["text"], strict=True)) == EXPECTED


def test_duckdb(run: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    assert dict(duckdb.sql(f"SELECT id, text FROM '{run}/data/*.parquet'").fetchall()) == EXPECTED


def test_polars(run: Path) -> None:
    polars = pytest.importorskip("polars")
    assert dict(polars.read_parquet(f"{run}/data/*.parquet").select("id", "text").rows()) == EXPECTED


def test_ray_data(run: Path) -> None:
    ray = pytest.importorskip("ray")
    data = pytest.importorskip("ray.data")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        rows = data.read_parquet(f"{run}/data").select_columns(["id", "text"]).take_all()
    finally:
        ray.shutdown()
    assert {row["id"]: row["text"] for row in rows} == EXPECTED


def test_spark(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sql = pytest.importorskip("pyspark.sql")
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    assert os.environ["SPARK_LOCAL_IP"] == "127.0.0.1"
    session = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    try:
        rows = session.read.parquet(f"{run}/data").select("id", "text", "lang_mix").collect()
    finally:
        session.stop()
    assert {row["id"]: row["text"] for row in rows} == EXPECTED
