"""`tamis calibrate`: choose the thresholds of models on labelled documents."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from stages.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.calibrate import Calibrated, Inputs

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Choose thresholds on labelled documents.")
OUT = Console()

Files = Annotated[list[str] | None, typer.Option(metavar="FILE", help="File, glob or URL (may be repeated)")]


@app.callback()
def _group() -> None:
    """Keep the name of the model in the command, however few there are."""


@app.command()
def perplexity(  # noqa: PLR0913, PLR0917 - one argument for each option
    model: Annotated[Path, typer.Option(help="Directory with LANGUAGE.harmful.klm and LANGUAGE.background.klm")],
    language: Annotated[str, typer.Option(help="Language of the documents and the model, such as en")],
    positive: Files = None,
    negative: Files = None,
    unlabelled: Files = None,
    target: Annotated[str, typer.Option(help="What the threshold is for: precision=.9 or recall=.9")] = "precision=.9",
    prevalence: Annotated[float, typer.Option(help="Share of harmful documents where it will be used")] = 0.01,
    score: Annotated[str, typer.Option(help="ratio, worst or document, as in the stage's setting")] = "ratio",
    where: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=VALUE", help="Only such records, of all files")
    ] = None,
    positive_where: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=VALUE", help="Only such records of --positive")
    ] = None,
    negative_where: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=VALUE", help="Only such records of --negative")
    ] = None,
    text: Annotated[str, typer.Option(help="Field that holds the text")] = "text",
    report: Annotated[Path | None, typer.Option(metavar="OUT.html", help="Draw the distributions")] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the threshold into the model's card")] = False,
) -> None:
    """Find the threshold of a harmful model on harmful (--positive) and benign (--negative) documents.

    Without labels (--unlabelled) it shows how the scores cluster, and refuses to call a valley a threshold.
    """
    from pipeline.calibrate import Inputs, calibrate, parse_target, scores_by_source

    inputs = Inputs(model, language, score, tuple(where or ()), text)
    if unlabelled:
        if positive or negative or write:
            raise ConfigError(
                "--unlabelled: no threshold comes of it, so it goes without --positive, --negative, --write"
            )
        _show_unlabelled(inputs, tuple(unlabelled), report)
        return
    if not positive or not negative:
        raise ConfigError("a threshold needs --positive and --negative; --unlabelled alone only shows the clusters")
    wanted = parse_target(target, prevalence)
    harmful, short = scores_by_source(tuple(positive), _narrowed(inputs, positive_where))
    benign, short_too = scores_by_source(tuple(negative), _narrowed(inputs, negative_where))
    _show(calibrate(harmful, benign, inputs, wanted, short + short_too), report, write)


def _narrowed(inputs: "Inputs", where: list[str] | None) -> "Inputs":
    return dataclasses.replace(inputs, where=(*inputs.where, *(where or ())))


def _show(found: "Calibrated", report: Path | None, write: bool) -> None:
    from pipeline.calibrate import seen_in_training, write_card
    from pipeline.calibration_report import labelled_page

    _print(f"threshold {found.threshold:.4g} on {found.inputs.score}, for {found.target}")
    for name, value in (("precision", found.precision), ("recall", found.recall), ("AUC", found.auc)):
        _print(f"  {name:10s} {value.value:.3f} (95% of bootstrap samples {value.low:.3f} to {value.high:.3f})")
    _print(
        f"  benign documents dropped {found.point.false_positive_rate:.2%}; {found.unjudged:,} too short to be scored"
    )
    for title, shares in (("harmful", found.recall_by_source), ("benign", found.dropped_by_benign_source)):
        for source, share in shares.items():
            _print(f"  {title:8s} {source}: dropped {share.value:.1%} ({share.low:.1%} to {share.high:.1%})")
    if seen := seen_in_training(found):
        _print(f"warning: the model was trained on sources of these names, so they judge too kindly: {', '.join(seen)}")
    _save(report, labelled_page(found) if report else "")
    if write:
        _print(f"card    {write_card(found)}")


def _show_unlabelled(inputs: "Inputs", paths: tuple[str, ...], report: Path | None) -> None:
    import numpy as np

    from pipeline.calibrate import NO_LABELS, native, scores_by_source
    from pipeline.calibration_report import unlabelled_page
    from pipeline.density import valley

    scores, short = scores_by_source(paths, inputs)
    values = np.concatenate(list(scores.values()))
    found = valley(values)
    places = [f"{native(place, inputs.score):.3g}" for place in (found.left, found.right, found.place)] if found else []
    clusters = "two clusters, around {} and {}, with a valley at {}".format(*places) if found else "one cluster"
    _print(f"{len(values):,} documents scored, {short:,} too short: {clusters}")
    _print(f"no threshold: {NO_LABELS}")
    _save(report, unlabelled_page(scores, inputs, found) if report else "")


def _save(report: Path | None, page: str) -> None:
    if report:
        report.write_text(page, encoding="utf-8")
        _print(f"report  {report}")


def _print(line: str) -> None:
    OUT.print(line, highlight=False, soft_wrap=True, markup=False)


@app.command()
def buckets(
    model: Annotated[Path, typer.Option(metavar="LANGUAGE.clean.klm", help="A clean model; its card is rewritten")],
    input_: Annotated[list[str], typer.Option("--input", help="The corpus: file, glob or URL (may be repeated)")],
    where: Annotated[list[str] | None, typer.Option(metavar="FIELD=VALUE", help="Only such records")] = None,
    head: Annotated[float, typer.Option(help="Percent of the documents that are head")] = 30.0,
    middle: Annotated[float, typer.Option(help="Percent of the documents that are head or middle")] = 60.0,
) -> None:
    """Take the percentiles of a clean model's perplexity over a corpus: what `head`, `middle` and `tail` mean there."""
    from pipeline.training.percentiles import calibrate_buckets

    found = calibrate_buckets(model, tuple(input_), tuple(where or ()), head, middle)
    _print(f"head up to {found.head:,.1f}, middle up to {found.middle:,.1f}, over {found.documents:,} documents")
