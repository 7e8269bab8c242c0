"""The promises of the layout: who imports whom, what loads when, one name for everything of a stage, small files."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import stages

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for folder in ("pipeline", "stages", "jobs", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)
HEAVY = (
    "torch",
    "transformers",
    "kenlm",
    "fasttext",
    "pycld2",
    "faiss",
    "numba",
    "pynndescent",
    "ray",
    "pyspark",
    "pandas",
    "datasets",
    "duckdb",
)


def _imports(path: Path, *, top_level: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level else list(ast.walk(tree))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return found | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def _roots(path: Path, *, top_level: bool = False) -> set[str]:
    return {name.split(".")[0] for name in _imports(path, top_level=top_level)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_source_file_keeps_to_its_room(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    if room == "stages":
        assert not _roots(path) & {"pipeline", "jobs"}
    if room == "pipeline":
        assert "jobs" not in _roots(path)
    if room in ("stages", "pipeline"):
        assert not _roots(path, top_level=True) & set(HEAVY)
        if path.parent.name != "engines":
            assert not _roots(path) & {"ray", "pyspark"}
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 250


def test_importing_everything_loads_no_heavy_library() -> None:
    files = [path for path in SOURCES if path.relative_to(ROOT).parts[0] in ("pipeline", "stages")]
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]
    code = f"import importlib, sys\nfor m in {modules!r}: importlib.import_module(m)\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not set(done.stdout.split()) & set(HEAVY)


@pytest.mark.parametrize("name", stages.NAMES)
def test_everything_of_a_stage_has_its_name(name: str) -> None:
    kind = stages.stage_class(name)
    assert kind.name == name
    assert kind.__module__ == f"stages.{name}"
    assert (ROOT / "tests" / f"test_{name}.py").is_file()
    assert f"### `{name}`" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_top_level_is_what_was_asked_for() -> None:
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    assert {name.split("/")[0] for name in listed} == {
        ".ci", ".gitignore", "CHANGELOG.md", "LICENSE", "README.md", "benchmarks", "configs", "jobs", "pipeline",
        "pyproject.toml", "stages", "tests",
    }  # fmt: skip
