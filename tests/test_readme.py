"""The README is true: its commands are those that CI runs, and it leaves out no command, setting, column or reason."""

import json
import re
from pathlib import Path

import pytest
import typer
import yaml

import stages
from pipeline.cli import app
from pipeline.config import InputConfig, ShardsConfig, build_config
from pipeline.formats import FORMATS, SUFFIXES
from stages.contract import settings_of
from stages.rating_protocol import CRITERIA
from tests.runs import tamis

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```bash\n(.+?)\n```", README, flags=re.DOTALL)


def test_the_first_two_commands_are_what_ci_runs() -> None:
    ci = (ROOT / ".ci/run").read_text().splitlines()
    assert COMMANDS[:2] == ["bash jobs/quickstart.sh", "bash tests/run.sh"]
    assert all(command in ci for command in COMMANDS[:2])


def test_every_command_is_in_the_table() -> None:
    names = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert set(names) == set(re.findall(r"^\| `tamis ([\w-]+)", README, flags=re.MULTILINE))


def test_exit_codes_are_those_of_the_command() -> None:
    said = re.search(r"Exit codes: ([^.]+)\.", README)
    assert said
    shown = re.search(r"Exit codes: ([^.]+)\.", tamis("--help").stdout)
    assert shown
    assert re.findall(r"\d+", said[1]) == re.findall(r"\d+", shown[1])


@pytest.mark.parametrize("name", stages.NAMES)
def test_every_setting_and_column_of_a_stage_is_on_its_page(name: str) -> None:
    page = README.split(f"### `{name}`", 1)[1].split("\n## ", 1)[0].split("\n### ", 1)[0]
    kind = stages.stage_class(name)
    for word in [*(setting.name for setting in settings_of(kind)), *kind().adds.names]:
        assert word in _said(page), f"{word} is not on the page of {name}"


def _said(page: str) -> set[str]:
    """What stands in backticks, and `rating_<criterion>` with each of the criteria that stand there."""
    words = set(re.findall(r"`([^`\n]+)`", page))
    return words | {word.replace("<criterion>", name) for word in words for name in words & set(CRITERIA)}


def test_every_format_and_suffix_is_in_the_table() -> None:
    table = README.split("## Input", 1)[1].split("\n## ", 1)[0]
    assert set(FORMATS) <= set(re.findall(r"^\| `(\w+)`", table, flags=re.MULTILINE))
    for suffixes in SUFFIXES.values():
        assert all(f"`{part}`" in table for suffix in suffixes for part in re.findall(r"\.[a-z]+", suffix))


def test_the_quickstart_configuration_names_every_key() -> None:
    raw = yaml.safe_load((ROOT / "configs/quickstart.yaml").read_text())
    config = build_config(raw)
    assert set(raw["input"]) == {setting.name for setting in settings_of(InputConfig)}
    assert set(raw["shards"]) == {setting.name for setting in settings_of(ShardsConfig)}
    assert [stage.name for stage in config.stages] == list(stages.NAMES)
    lines = (ROOT / "configs/quickstart.yaml").read_text().splitlines()
    keys = [line for line in lines if re.match(r"\s+\w+: \S", line)]
    assert all("#" in line for line in keys)


def test_yaml_in_the_readme_is_valid() -> None:
    for block in re.findall(r"```yaml\n(.+?)```", README, flags=re.DOTALL):
        build_config(yaml.safe_load(block))


def test_the_manifest_says_what_the_readme_says(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "A short text to read."}) + "\n")
    (tmp_path / "c.yaml").write_text(
        yaml.safe_dump({"input": {"paths": [f"{tmp_path}/a.jsonl"]}, "output": f"{tmp_path}/run"})
    )
    assert tamis("run", tmp_path / "c.yaml").returncode == 0
    tree = README.split("runs/quickstart/\n", 1)[1].split("```", 1)[0]
    always = [line for line in tree.splitlines() if ", if " not in line]
    promised = {name.rstrip("/") for line in always for name in re.findall(r"^  (\S+)", line)}
    assert promised <= {path.name for path in (tmp_path / "run").iterdir()}
