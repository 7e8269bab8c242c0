"""How fast the served rater asks, as a ratio to bare asyncio loops that send the very same requests.

    python benchmarks/rating_served_speed.py [--documents 2000] [--concurrency 64] [--repeats 5] [--json FILE]
    python benchmarks/rating_served_speed.py --url http://host:8000/v1 --model NAME      # key in $TAMIS_RATER_KEY

Each round runs, in turns: a loop over httpx, a loop over the `openai` client as one would write it, and `Rating.open()`
on a record batch, at the same concurrency. Endpoints: one in another process that answers at once with probabilities of
each token, so that only the client's own work counts; the same with 50 ms of waiting; and SmolLM2-135M if
`jobs/setup.sh dev` was run (few documents, `mode: score`). Wall-clock seconds; medians.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stages.rating import Rating
from stages.rating_requests import PATHS, Ask, body, shown

SENTENCE = "The lighthouse keeper counted the boats again before the storm closed the narrow harbour for the night. "
LINES = ["D", *"45432454445453"]


def texts_of(count: int, characters: int) -> list[str]:
    return [f"{number}. {SENTENCE * 100}"[:characters] for number in range(count)]


def canned() -> bytes:
    """A whole HTTP response of about the size that a real endpoint sends with five alternatives a token."""
    tokens = [token for line in LINES for token in (line, "\n")][:-1]
    tops = [{"token": name, "logprob": -1.6, "bytes": [49]} for name in "12345"]
    content = [{"token": token, "logprob": -0.5, "bytes": [49], "top_logprobs": tops} for token in tokens]
    message = {"role": "assistant", "content": "\n".join(LINES)}
    choice = {"index": 0, "finish_reason": "stop", "message": message, "logprobs": {"content": content}}
    usage = {"prompt_tokens": 300, "completion_tokens": 29, "total_tokens": 329}
    whole = {"id": "1", "object": "chat.completion", "created": 1, "model": "fake", "choices": [choice], "usage": usage}
    raw = json.dumps(whole).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(raw) + raw


async def serve(delay: float) -> None:
    """The fast endpoint: reads a request, waits, answers; prints its port."""
    answer = canned()
    models = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 25\r\n\r\n{"data":[{"id": "fake"}]}'

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if head.startswith(b"get"):
                    writer.write(models)
                    continue
                await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
                await asyncio.sleep(delay)
                writer.write(answer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def fast_endpoint(delay: float) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, __file__, "--serve", str(delay)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.kill()
        process.communicate()


def bare_loop(bodies: list[dict[str, Any]], concurrency: int, send: Callable[[dict[str, Any]], Any]) -> Any:
    """A coroutine that sends all requests, at most `concurrency` at once."""
    gate = asyncio.Semaphore(concurrency)

    async def one(request: dict[str, Any]) -> None:
        async with gate:
            await send(request)

    async def every() -> None:
        await asyncio.gather(*(one(request) for request in bodies))

    return every()


async def over_httpx(url: str, key: str, bodies: list[dict[str, Any]], concurrency: int) -> None:
    try:
        import httpx2 as httpx
    except ImportError:
        import httpx
    async with httpx.AsyncClient(timeout=600, headers={"Authorization": f"Bearer {key}"}) as client:

        async def send(request: dict[str, Any]) -> None:
            (await client.post(url + PATHS["chat"], json=request)).raise_for_status().json()

        await bare_loop(bodies, concurrency, send)


async def over_openai(url: str, key: str, bodies: list[dict[str, Any]], concurrency: int) -> None:
    import openai

    async with openai.AsyncOpenAI(api_key=key, base_url=url, timeout=600) as client:

        async def send(request: dict[str, Any]) -> None:
            await client.chat.completions.create(**request)

        await bare_loop(bodies, concurrency, send)


def compare(name: str, settings: Rating, texts: list[str], repeats: int) -> dict[str, Any]:
    """Rates and ratios; one round before the first is not counted."""
    key = os.environ.get("TAMIS_RATER_KEY", "none")
    ask = Ask(settings.model, settings.api, settings.mode)
    bodies = [body(ask, shown(text), True) for text in texts]
    batch = pa.record_batch({"text": texts})
    annotate = settings.open()
    ways: dict[str, Callable[[], object]] = {
        "httpx": lambda: asyncio.run(over_httpx(settings.url, key, bodies, settings.concurrency)),
        "openai": lambda: asyncio.run(over_openai(settings.url, key, bodies, settings.concurrency)),
        "tamis": lambda: annotate(batch),
    }
    rounds = [{way: timed(work) for way, work in ways.items()} for _ in range(repeats + 1)][1:]
    found: dict[str, Any] = {"endpoint": name, "documents": len(texts)}
    for way in ways:
        found[way] = {
            "documents_per_s": statistics.median(len(texts) / one[way][0] for one in rounds),
            "cpu_ms_per_document": statistics.median(one[way][1] * 1e3 / len(texts) for one in rounds),
        }
    for way in ("httpx", "openai"):
        ratios = [one[way][0] / one["tamis"][0] for one in rounds]
        found[f"tamis_to_{way}"] = [min(ratios), statistics.median(ratios), max(ratios)]
    return found


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock and CPU seconds of this process."""
    wall, cpu = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    work()
    now = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter() - wall, now.ru_utime + now.ru_stime - cpu.ru_utime - cpu.ru_stime


def show(found: dict[str, Any]) -> None:
    print(f"{found['endpoint']}: {found['documents']} documents")
    for way in ("httpx", "openai", "tamis"):
        one = found[way]
        print(f"  {way:7} {one['documents_per_s']:8.1f} documents/s {one['cpu_ms_per_document']:7.2f} CPU ms/document")
    for way in ("httpx", "openai"):
        low, middle, high = found[f"tamis_to_{way}"]
        print(f"  tamis to {way}: {middle:.2f} ({low:.2f} to {high:.2f})", flush=True)


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    common: dict[str, Any] = {"rater": "served", "concurrency": options.concurrency, "timeout_s": 600.0}
    texts = texts_of(options.documents, 2000)
    if options.url:
        yield compare(options.url, Rating(url=options.url, model=options.model, **common), texts, options.repeats)
        return
    for delay in (0.0, 0.05):
        with fast_endpoint(delay) as url:
            settings = Rating(url=url, model="fake", **common)
            yield compare(f"answers after {delay * 1e3:g} ms", settings, texts, options.repeats)
    from tests.rater_servers import KEY, SMOLLM2, has_smollm2, smollm2

    if has_smollm2():
        os.environ["TAMIS_RATER_KEY"] = KEY
        with smollm2() as url:
            settings = Rating(url=url, model=SMOLLM2, mode="score", **common | {"concurrency": 2})
            yield compare(SMOLLM2, settings, texts_of(6, 300), options.repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--url", default="")
    parser.add_argument("--model", default="")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve(options.serve))
        return
    results = []
    for found in measure(options):
        results.append(found)
        show(found)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
