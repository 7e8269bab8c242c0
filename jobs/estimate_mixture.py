"""Estimate the mixture of packed contexts: train a small model on them with an estimator, and write the mixture log.

    python jobs/estimate_mixture.py runs/mine --output mixtures/mine
    python jobs/estimate_mixture.py runs/mine/contexts --output out --tokenizer NAME --eta 2 --steps 800
    python jobs/estimate_mixture.py runs/mine --output out --config mixture.yaml --estimator regmix
    torchrun --nproc-per-node 4 jobs/estimate_mixture.py runs/mine --output out --device cuda

Takes a run directory, or any directory of contexts (group=<name>/*.parquet with a column `input_ids`). Writes
mixture.jsonl (the order of the whole training), proxy.jsonl (the proxy's own log), proxy/ (its weights), summary.json.
Killed at any moment, the same command goes on. Mappings are YAML: --objective '{noise: 0}'. The settings are those of
the stage `mixture`; a YAML file holds them as a mapping, or as a run's configuration with that stage.
"""

import argparse
import dataclasses
import logging
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from stages.contract import settings_of
from stages.errors import ConfigError, TamisError
from stages.mixture import Mixture


def parser_of() -> argparse.ArgumentParser:
    """A flag for each setting of the stage."""
    parser = argparse.ArgumentParser(
        usage="%(prog)s CONTEXTS --output DIR [options] [settings]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("contexts", type=Path, help="a run directory, or a directory of contexts")
    parser.add_argument("--output", type=Path, required=True, help="directory for what is written")
    parser.add_argument("--config", type=Path, help="YAML with settings; flags go before it")
    parser.add_argument("--tokenizer", default="", help="id of the tokenizer (default: that of the run)")
    parser.add_argument("--context", type=int, default=0, help="tokens of a context (default: that of the longest)")
    parser.add_argument("--seed", type=int, default=0, help="of first weights and of the order (default 0)")
    parser.add_argument("--score", type=Path, help="YAML list of mixtures to rank by averages of one model per group")
    settings = parser.add_argument_group("settings of the stage")
    for setting in settings_of(Mixture):
        default = setting.default if setting.default not in ({}, "") else "none"
        flag = f"--{setting.name.replace('_', '-')}"
        settings.add_argument(
            flag, dest=setting.name, metavar="VALUE", help=f"{setting.help} (default {default})".replace("%", "%%")
        )
    return parser


def main() -> None:
    """Estimate, and print where it led."""
    arguments = parser_of().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        estimate(arguments)
    except TamisError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def estimate(arguments: argparse.Namespace) -> None:
    """All of it, on every rank."""
    from rich.console import Console

    from pipeline.mixing import mix
    from pipeline.mixing_inputs import Place
    from pipeline.proxy.checkpoint import Folder
    from pipeline.proxy.model import device_of
    from pipeline.proxy.ranks import joined
    from pipeline.proxy.watch import watching
    from pipeline.storage import Store

    settings, contexts = settings_from(arguments), contexts_from(arguments)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with joined(gpu=settings.trains and device_of(settings.device) != "cpu") as ranks:
        if not ranks.writes:
            logging.disable(logging.INFO)
        with watching(Console(stderr=True, quiet=not ranks.writes)) as watch:
            place = Place(Folder(arguments.output), watch, ranks)
            found = mix(settings, contexts, place)
            scores = ranking(arguments.score, settings, contexts, place) if arguments.score else []
    if ranks.writes:
        for note in (*found.notes, *found.run_out):
            logging.warning("%s", note)
        facts = {**dataclasses.asdict(found), "seed": contexts.seed, "settings": dataclasses.asdict(settings)}
        Store(str(arguments.output)).write_json("summary.json", {**facts, "scores": scores})
        show(arguments.output)


def settings_from(arguments: argparse.Namespace) -> Mixture:
    """The stage, of the YAML and the flags. Raises ConfigError."""
    from pipeline.sections import build

    values = dict(_of_yaml(arguments.config)) if arguments.config else {}
    for setting in settings_of(Mixture):
        if (given := getattr(arguments, setting.name)) is not None:
            values[setting.name] = _value(setting.name, given) if given else given
    return build(Mixture, values, "mixture")


def contexts_from(arguments: argparse.Namespace) -> Any:
    """The contexts of a run, or of a directory. Raises ConfigError or InputError."""
    import orjson

    from pipeline.data.contexts import parquet_groups
    from pipeline.mixing_inputs import Contexts, longest

    manifest = arguments.contexts / "manifest.json"
    known = (orjson.loads(manifest.read_bytes()).get("contexts") or {}) if manifest.is_file() else {}
    folder = arguments.contexts / "contexts"
    groups = parquet_groups(folder if folder.is_dir() else arguments.contexts)
    tokenizer = arguments.tokenizer or known.get("tokenizer", "")
    if not tokenizer:
        raise ConfigError(f"{arguments.contexts} does not say of which tokenizer its ids are: give --tokenizer ID")
    length = arguments.context or known.get("context") or longest(groups)
    return Contexts(groups, tokenizer, length, arguments.seed)


def ranking(path: Path, settings: Mixture, contexts: Any, place: Any) -> list[dict[str, Any]]:
    """The mixtures of a file with the losses of their averages, the least first."""
    from pipeline.mixing_proxy import divisions, proxy_run
    from pipeline.proxy.merging import group_models, scorer
    from pipeline.proxy.model import computing
    from pipeline.yaml_files import read_yaml
    from stages.mixture_merge import ranked

    run = proxy_run(settings, contexts, divisions(settings, contexts), place)
    mixtures = [run.task.by_name(run.task.mixture(found)) for found in read_yaml(path)]
    with computing(settings.threads, run.training.device):
        models = group_models(run, settings.steps // 4, settings.steps // 4)
        return [{"loss": loss, "mixture": dict(mixture)} for loss, mixture in ranked(models, mixtures, scorer(run))]


def show(output: Path) -> None:
    """The last mixture, and where the files are."""
    from stages.mixture_log import read_log

    last = read_log(output / "mixture.jsonl").entries[-1].decision
    for name, share in sorted(last.mixture.items(), key=lambda item: -item[1]):
        print(f"{share:7.2%}  {name}")
    print(f"{last.reason}\n{output}: mixture.jsonl, summary.json")


def _value(name: str, given: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(given)
    except yaml.YAMLError:
        flag = f"--{name.replace('_', '-')}"
        raise ConfigError(f"{flag}: found {given}, which is no YAML, expected such as {flag} '{{noise: 0}}'") from None


def _of_yaml(path: Path) -> dict[str, Any]:
    """A mapping of settings, or those of the stage `mixture` in a run's configuration."""
    from pipeline.yaml_files import read_yaml

    found: dict[str, Any] = read_yaml(path)
    for stage in found.get("stages", []):
        if "mixture" in stage:
            return stage["mixture"] or {}
    return found


if __name__ == "__main__":
    main()
