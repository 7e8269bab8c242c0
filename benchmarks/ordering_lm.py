"""Whether the order helps a language model: tiny models trained on the same documents in random order and in ours.

    python benchmarks/ordering_lm.py [--seeds 3] [--steps 250] [--json FILE]

Usenet messages without their subjects, the first 64 tokens of each; a fifth of the threads is held out. Near-duplicates
are gone. A transformer of .7 million weights is trained from scratch on contexts of 256 tokens, documents not masked
from each other, either cut from a random order, or from the order of the mode `path`, or packed from that of the mode
`context` (refined best-fit). All arms of a seed have the same first weights, steps, and learning rates; contexts are
drawn in a seeded random order, epoch after epoch.

Then each held-out message that has at least three others in its thread is read behind three of them, behind three
messages of other threads, and alone: mean loss of its tokens (nats), mean and standard error of the mean over seeds of
the difference to random order. CPU only, one thread.
"""

import argparse
import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from ordering_real import fallen, without
from ordering_texts import embedded, forum
from peers import BenchmarkError
from torch import nn
from torch.nn import functional

from stages.ordering_graph import Ints, undirected
from stages.ordering_modes import Windows, ordered
from stages.ordering_neighbours import neighbours
from stages.packing_contexts import Spans, concatenated, refined
from stages.tokenizers import open_tokenizer

CONTEXT, SHOWN, BEFORE, BATCH, WIDTH, LAYERS, HEADS, RATE = 256, 64, 3, 8, 64, 4, 4, 3e-3
IGNORED = -100
Tokens = npt.NDArray[np.int32]


class Block(nn.Module):
    """Attention and two linear layers, normed before."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH) for _ in range(2)])
        self.inside, self.outside = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, WIDTH) to the same."""
        parts = self.inside(self.norms[0](given)).unflatten(-1, (3, HEADS, WIDTH // HEADS)).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], is_causal=True)
        given = given + self.outside(seen.transpose(1, 2).flatten(2))
        return given + self.down(functional.gelu(self.up(self.norms[1](given))))


class Model(nn.Module):
    """A causal language model with learned places and tied embeddings."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(size, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks, self.norm = nn.Sequential(*[Block() for _ in range(LAYERS)]), nn.LayerNorm(WIDTH)
        for table in (self.words, self.places):
            nn.init.normal_(table.weight, std=0.05)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Ids (batch, tokens) to the hidden states of the last layer."""
        return self.norm(self.blocks(self.words(ids) + self.places.weight[: ids.shape[1]]))

    def losses(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Of each target that is not ignored, flat."""
        kept = targets != IGNORED
        return functional.cross_entropy(self(ids)[kept] @ self.words.weight.T, targets[kept], reduction="none")


class Sets(NamedTuple):
    """Token ids of documents, and what is known of those that train."""

    train: list[Tokens]
    held: dict[int, list[Tokens]]
    """By thread, of four messages at least."""
    orders: Callable[[int], dict[str, Spans]]
    """The packings of a seed."""
    size: int


def read() -> Sets:
    """Embed, drop near-duplicates, split by thread, tokenize."""
    tokenizer = open_tokenizer("default", "auto")
    given = embedded(forum())
    given = without(given, fallen(given) < 0)
    ids = [one[: SHOWN - 1] for one in tokenizer.encode(given.texts)]
    ids = [np.append(one, tokenizer.end).astype(np.int32) if one[-1] != tokenizer.end else one for one in ids]
    chosen = np.random.default_rng(0).permutation(int(given.sections.max()) + 1)[given.sections] % 5 == 0
    held = defaultdict(list)
    for row in np.flatnonzero(chosen):
        held[int(given.sections[row])].append(ids[row])
    train = [ids[row] for row in np.flatnonzero(~chosen)]
    vectors, counts = given.vectors[~chosen], np.array([len(one) for one in train], np.int64)
    near = neighbours(vectors, 10, np.arange(len(train), dtype=np.uint64))

    def orders(seed: int) -> dict[str, Spans]:
        ties = np.random.default_rng(seed).permutation(len(train)).astype(np.uint64)
        windows = Windows(counts, CONTEXT)
        path, context = (ordered(vectors, near, ties, mode, windows) for mode in ("path", "context"))  # type: ignore[arg-type]
        numbers = np.argsort(context).astype(np.int32)
        lists = np.where(near.ids[context] >= 0, numbers[near.ids[context]], -1)
        graph = undirected(lists, near.similarities[context])
        chance = np.argsort(ties).astype(np.int32)
        return {
            "random": _named(concatenated(counts[chance], CONTEXT), chance),
            "path, cut": _named(concatenated(counts[path], CONTEXT), path),
            "context, packed": _named(refined(counts[context], CONTEXT, vectors[context], graph), context),
        }

    known = {thread: rows for thread, rows in held.items() if len(rows) > BEFORE}
    return Sets(train, known, orders, tokenizer.size)


def _named(spans: Spans, order: Ints) -> Spans:
    return spans._replace(documents=order[spans.documents].astype(np.int64))


def contexts_of(spans: Spans, documents: list[Tokens]) -> npt.NDArray[np.int64]:
    """(contexts, CONTEXT + 1): ids, IGNORED where there is none."""
    found = np.full((int(spans.contexts[-1]) + 1, CONTEXT + 1), IGNORED, np.int64)
    filled = np.zeros(len(found), np.int64)
    for context, document, begin, end in zip(*spans, strict=True):
        at = filled[context]
        found[context, at : at + end - begin] = documents[document][begin:end]
        filled[context] += end - begin
    return found


def trained(contexts: npt.NDArray[np.int64], size: int, steps: int, seed: int) -> Model:
    """A model after so many steps of AdamW; warm-up, then a cosine to a tenth."""
    torch.manual_seed(seed)
    model = Model(size)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.1)
    chance, rows = np.random.default_rng(seed), np.empty(0, np.int64)
    for step in range(steps):
        if len(rows) < BATCH:
            rows = np.append(rows, chance.permutation(len(contexts)))
        part, rows = torch.from_numpy(contexts[rows[:BATCH]]), rows[BATCH:]
        share = (step + 1) / 50 if step < 50 else 0.55 + 0.45 * math.cos(math.pi * (step - 50) / max(1, steps - 50))
        for group in optimiser.param_groups:
            group["lr"] = RATE * share
        loss = model.losses(part[:, :-1].clamp(min=0), part[:, 1:]).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return model


def judged(model: Model, held: dict[int, list[Tokens]]) -> dict[str, float]:
    """Mean loss of the same messages behind others of their thread, behind strangers, and alone."""
    chance, threads = np.random.default_rng(9), sorted(held)
    sums: dict[str, list[float]] = defaultdict(list)
    for thread in threads:
        rows = held[thread]
        for place, target in enumerate(rows):
            own = [rows[other] for other in chance.permutation(len(rows)) if other != place][:BEFORE]
            elsewhere = [held[other] for other in chance.choice([one for one in threads if one != thread], BEFORE)]
            strange = [some[chance.integers(len(some))] for some in elsewhere]
            for name, before in (("related", own), ("random", strange), ("alone", [])):
                sums[name].extend(_read(model, before, target))
    found = {name: float(np.mean(values)) for name, values in sums.items()}
    return found | {"random less related": found["random"] - found["related"]}


@torch.inference_mode()
def _read(model: Model, before: list[Tokens], target: Tokens) -> list[float]:
    """The losses of all tokens of a document but its first."""
    ids = np.concatenate([*before, target]).astype(np.int64)
    targets = np.append(ids[1:], IGNORED)
    targets[: len(ids) - len(target)] = IGNORED
    found: list[float] = model.losses(torch.from_numpy(ids)[None], torch.from_numpy(targets)[None]).tolist()
    return found


def main() -> None:
    """Train, read, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        sets = read()
    except (BenchmarkError, FileNotFoundError) as error:
        sys.exit(f"skipped: {error}")
    print(f"{len(sets.train):,} documents, {sum(map(len, sets.train)):,} tokens; {len(sets.held)} threads held out")
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        for name, spans in sets.orders(seed).items():
            began = time.process_time()
            model = trained(contexts_of(spans, sets.train), sets.size, arguments.steps, seed)
            found[name].append(judged(model, sets.held) | {"CPU s": time.process_time() - began})
            print(seed, name, {key: round(value, 4) for key, value in found[name][-1].items()}, flush=True)
    report(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


def report(found: dict[str, list[dict[str, Any]]]) -> None:
    """Means over seeds, and the difference to random order, seed by seed."""
    for name, rows in found.items():
        cells = []
        for key in rows[0]:
            values = np.array([row[key] for row in rows])
            apart = values - [row[key] for row in found["random"]]
            error = apart.std(ddof=1) / len(apart) ** 0.5 if len(apart) > 1 else math.nan
            cells.append(f"{values.mean():.4f} ({apart.mean():+.4f} ± {error:.4f})")
        print(f"| {name} | {' | '.join(cells)} |")
    print("columns:", ", ".join(found["random"][0]))


if __name__ == "__main__":
    main()
