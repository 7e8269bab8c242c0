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
    from pipeline.config import build
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
