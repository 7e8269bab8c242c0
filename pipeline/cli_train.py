"""`tamis train`: make the models that stages use."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Train the models that stages use.")
OUT = Console()


@app.callback()
def _group() -> None:
    """Keep the name of the model in the command, however few there are."""


@app.command()
def perplexity(  # noqa: PLR0913, PLR0917 - one argument for each option
    input_: Annotated[
        list[str], typer.Option("--input", help="File, glob or URL of any input format (may be repeated)")
    ],
    output: Annotated[Path, typer.Option(metavar="NAME.klm", help="The model; its card is written to NAME.json")],
    language: Annotated[str, typer.Option(help="Language code of the text, such as en")],
    kind: Annotated[str, typer.Option(help="What the text is: harmful, background or clean")],
    normaliser: Annotated[str, typer.Option(help="as_is, alphabetic, characters or letters")] = "alphabetic",
    order: Annotated[int, typer.Option(help="Longest n-gram, 2 to 6")] = 5,
    prune: Annotated[str, typer.Option(help="Leave out n-grams seen this often or less, by order: '0 1 2'")] = "0",
    memory: Annotated[str, typer.Option(help="Sorting memory of lmplz, such as 512M")] = "1G",
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=VALUE", help="Only such records; also != >= <= > < (may be repeated)"),
    ] = None,
    text: Annotated[str, typer.Option(help="Field that holds the text")] = "text",
    max_mb: Annotated[float, typer.Option(help="Raise pruning until the model fits (MB; 0: no limit)")] = 0.0,
    bits: Annotated[int, typer.Option(help="Quantise a trie to so many bits (0: not)")] = 8,
    binary: Annotated[str, typer.Option(help="trie, probing, or arpa, which needs no build_binary")] = "trie",
    estimator: Annotated[str, typer.Option(help="lmplz, or numpy for small text where lmplz is not built")] = "lmplz",
    unknown_log10: Annotated[
        float | None,
        typer.Option(help="Log10 probability of words never seen, the same for harmful and background: -6 is good"),
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence of the text, for the card")] = "",
    temp: Annotated[str, typer.Option(help="Directory for temporary files")] = "",
) -> None:
    """Train an n-gram model for the stage `perplexity` on documents of one kind."""
    from pipeline.sections import build
    from pipeline.training.perplexity import train
    from pipeline.training.settings import PerplexityTraining

    values = {
        "inputs": tuple(input_), "output": output, "language": language, "kind": kind, "normaliser": normaliser,
        "order": order, "prune": prune, "memory": memory, "where": tuple(where or ()), "text": text, "max_mb": max_mb,
        "bits": bits, "binary": binary, "estimator": estimator, "licence": licence, "temporary": temp,
        "unknown_log10": unknown_log10,
    }  # fmt: skip
    settings = build(PerplexityTraining, values, "train perplexity")
    trained = train(settings)
    card = trained.card
    OUT.print(
        f"{trained.path}: {card.bytes:,} bytes, order {card.order}, pruning {card.pruning}",
        highlight=False,
        soft_wrap=True,
    )
    OUT.print(
        f"{trained.read:,} documents read, {sum(card.documents.values()):,} used, {card.sentences:,} sentences, "
        f"{card.tokens:,} tokens, {trained.bad:,} bad records",
        highlight=False,
    )


@app.command()
def rater(  # noqa: PLR0913, PLR0917 - one argument for each option
    input_: Annotated[
        list[str], typer.Option("--input", help="File, glob or URL: labelled documents, or clean ones with --damage")
    ],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Directory for the student, its card and its report")],
    damage: Annotated[bool, typer.Option(help="Make labels: damage clean documents by known amounts")] = False,
    name: Annotated[str, typer.Option(help="Name of the rater, for the column `rater`")] = "student",
    base: Annotated[str, typer.Option(help="Student whose tables are used: default or a directory")] = "default",
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=VALUE", help="Only such records; also != >= <= > < (may be repeated)"),
    ] = None,
    text: Annotated[str, typer.Option(help="Field that holds the text")] = "text",
    group: Annotated[str, typer.Option(help="Field whose values are never split (default: the text's beginning)")] = "",
    by_source: Annotated[bool, typer.Option(help="Hold out whole sources")] = False,
    held_out: Annotated[float, typer.Option(help="Share of groups that the report is measured on")] = 0.2,
    language: Annotated[list[str] | None, typer.Option(help="Language of the text (may be repeated)")] = None,
    licence: Annotated[str, typer.Option(help="Licence of the text, for the card")] = "",
    seed: Annotated[int, typer.Option(help="The same seed and input give the same weights")] = 20250219,
) -> None:
    """Train a student rater on labels of any teacher, or on graded damage of clean text."""
    from pipeline.sections import build
    from pipeline.training.rater_job import REPORT, train
    from pipeline.training.rater_settings import RaterTraining

    values = {
        "inputs": tuple(input_), "output": output, "damage": damage, "name": name, "base": base, "text": text,
        "where": tuple(where or ()), "group": group, "by_source": by_source, "held_out": held_out,
        "languages": tuple(language or ("en",)), "licence": licence, "seed": seed,
    }  # fmt: skip
    trained = train(build(RaterTraining, values, "train rater"))
    kinds = list(trained.card.criteria.values())
    OUT.print(f"{trained.path}: {trained.card.bytes:,} bytes", highlight=False, soft_wrap=True)
    OUT.print(
        f"{sum(trained.card.documents.values()):,} examples, {kinds.count('trained')} criteria trained, "
        f"{kinds.count('proxy')} proxies, {kinds.count('null')} not rated, {trained.bad:,} bad records; {REPORT} "
        "says how well",
        highlight=False,
    )
