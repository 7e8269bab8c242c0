"""The commands that look at finished runs: `report`, `compare`, `what-if`, `view`."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline.credentials import without_credentials
from stages.errors import ConfigError

OUT = Console(width=None if sys.stdout.isatty() else 200)

RunDirectory = Annotated[str, typer.Argument(metavar="RUN", help="Run directory")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(report)
    app.command()(compare)
    app.command("what-if")(what_if)
    app.command()(view)


@contextlib.contextmanager
def looking(*paths: str) -> Iterator[None]:
    """While runs are read: what their storage raises is told with the path, and pandas is not imported for nothing."""
    from pipeline.lean import spare_pandas
    from pipeline.listing import storage_errors

    spare_pandas()
    with storage_errors("read", " or ".join(paths)):
        yield


def report(
    run_directory: RunDirectory,
    pages: Annotated[
        bool, typer.Option("--pages", help="Make a page for each shard, too (of many shards: for some)")
    ] = False,
    most: Annotated[int, typer.Option(min=1, help="Pages at most")] = 32,
) -> None:
    """Make the HTML report of a finished run again and print its path."""
    from pipeline.report import read_facts, rewrite_html
    from pipeline.report_pages import write_pages
    from pipeline.storage import Store

    store = Store(run_directory)
    with looking(run_directory):
        if pages:
            write_pages(store, read_facts(store), most)
        made = rewrite_html(store)
    OUT.print(without_credentials(made), highlight=False, soft_wrap=True, markup=False)


def compare(
    first: Annotated[str, typer.Argument(metavar="RUN_A", help="Run directory")],
    second: Annotated[str, typer.Argument(metavar="RUN_B", help="Run directory")],
    output: Annotated[Path, typer.Option(help="Where the page goes")] = Path("compare.html"),
    json_: AsJson = False,
) -> None:
    """Compare two finished runs: settings, counts, distributions, and the documents that changed sides."""
    from pipeline.compare import compare_page, compare_runs, show_comparison

    with looking(first, second):
        found = compare_runs(first, second)
    try:
        output.write_text(compare_page(found), encoding="utf-8")
    except OSError as error:
        why = f"cannot be written ({error.strerror}), expected a file in a directory that is there"
        raise ConfigError(f"--output {output}: {why}") from error
    show_comparison(OUT, found, as_json=json_)
    if not json_:
        OUT.print(f"page    {output}", highlight=False, soft_wrap=True, markup=False)


def what_if(
    run_directory: RunDirectory,
    set_: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="A threshold: rating.min_overall_score=4")
    ],
    json_: AsJson = False,
) -> None:
    """Show what other thresholds would keep, from the scores that a finished run stored; no model runs."""
    from pipeline.showing import print_json
    from pipeline.whatif import what_if as compute
    from pipeline.whatif_showing import show_what_if

    with looking(run_directory):
        found = compute(run_directory, set_)
    if json_:
        print_json(OUT, found)
    else:
        show_what_if(OUT, found)


def view(
    run_directory: RunDirectory,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1 (0: any that is free)")] = 0,
) -> None:
    """Serve a page on this machine alone to filter, sort and search documents and scores. Ends on Ctrl-C."""
    from pipeline.view import serve

    with looking(run_directory):
        serve(OUT, run_directory, port)
