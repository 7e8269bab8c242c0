"""The result of language_speed.py as tables that fit into benchmarks/README.md."""

from statistics import median
from typing import Any


def show(result: dict[str, Any]) -> None:
    """Print everything that the result holds, as Markdown."""
    size = result["input"]
    print(f"\n{result['date']}; {', '.join(f'{key} {value}' for key, value in result['machine'].items())}")
    print("; ".join(f"{name} {version}" for name, version in result["versions"].items()))
    print(f"{size['documents']:,} documents, {size['megabytes']:.0f} MB of JSON Lines\n")
    _speed(result)
    _labels(result["labels"])
    _start(result)
    if "large" in result:
        _memory(result)


def _speed(result: dict[str, Any]) -> None:
    documents = result["input"]["documents"]
    every: dict[str, list[float]] = result["bare"] | {
        way: [documents / one["cpu_s"] for one in run["all"]]
        for way, run in result["runs"].items()
        if not _is_small(way)
    }
    rates = {way: median(found) for way, found in every.items()}
    print("| one core | documents / CPU s | range | wall s | peak MB | to bare loop | to datatrove | same text |")
    print("|---|---|---|---|---|---|---|---|")
    for way, rate in rates.items():
        prefixed = "full text" not in way
        limit = rates[f"bare loop, {'prefix 1000' if prefixed else 'full text'}, Tamis's fastText"]
        full, equal = rates["datatrove, full text"], rates[f"datatrove, {'prefix 1000' if prefixed else 'full text'}"]
        run = result["runs"].get(way)
        spread = f"{min(every[way]):,.0f} to {max(every[way]):,.0f}"
        cost = f"{run['wall_s']:.1f} | {run['peak_mb']:.0f}" if run else " | "
        print(
            f"| {way} | {rate:,.0f} | {spread} | {cost} | {rate / limit:.2f} | {rate / full:.2f} | {rate / equal:.2f} |"
        )
    print()


def _labels(labels: dict[str, Any]) -> None:
    print(f"Same documents in all outputs: {'yes' if labels['same documents'] else 'NO'}. Equal labels:\n")
    for pair, share in labels["agree"].items():
        print(f"- {pair}: {share:.2%} (differ: {1 - share:.2%})")
    print()


def _start(result: dict[str, Any]) -> None:
    print("| start-up | wall s | CPU s |\n|---|---|---|")
    for way, run in result["runs"].items():
        if _is_small(way):
            print(f"| {way} | {run['wall_s']:.2f} | {run['cpu_s']:.2f} |")
    print()


def _memory(result: dict[str, Any]) -> None:
    print("| memory | wall s | peak MB of each process |\n|---|---|---|")
    chosen = {way: run for way, run in result["runs"].items() if not _is_small(way)} | result["large"]
    for way, run in chosen.items():
        peaks = ", ".join(f"{peak:.0f}" for peak in run["all"][-1]["peaks_mb"])
        print(f"| {way} | {run['wall_s']:.1f} | {peaks} |")
    print()


def _is_small(way: str) -> bool:
    return way.endswith("0 documents")
