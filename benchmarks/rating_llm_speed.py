"""Slot scoring against `generate()`: documents per second with the same model, and whether the integers are the same.

    python benchmarks/rating_llm_speed.py [--device cuda] [--layers 12] [--documents 16] [--repeats 3] [--json FILE]

The model has Qwen2's shape and random weights, so left alone it would not answer in the protocol: generate() is held to
the allowed tokens (`prefix_allowed_tokens_fn`), 29 of them, greedy; each round also times it without, for speed alone.
Documents are words of the benchmark data, cut to lengths around 100, 500 and 1,900 tokens. Ways, once per round each:

- slots: the rater's own scoring with drafted answers, its batches and what the prompts share;
- slots, stepwise: the same without drafts, as models with sliding windows are read;
- prefill: the prompts one by one and nothing more, which no way can do without;
- generate, free: no constraint, batches of like length that hold as many tokens as those of slots;
- generate, held: the same, held to the allowed tokens (in the first round only);
- generate, arrival: free, 8 documents a batch in order of arrival, as a plain loop would;
- generate, one by one: free, without batches or padding.
"""

import argparse
import copy
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from corpus import data_directory, make_corpus

from stages.rating_attention import share_keys
from stages.rating_chat import Chat
from stages.rating_llm import CPU_BATCH_TOKENS
from stages.rating_slots import packed, score_all

LENGTHS = (100, 500, 1900)
ARRIVAL = 8


def make_tokenizer(texts: list[str], size: int) -> Any:
    """A byte-level BPE of these texts with Qwen2's chat template."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    from tests.tiny_lm import QWEN

    tokenizer = Tokenizer(models.BPE())
    digits, level = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Sequence([digits, level]), decoders.ByteLevel()
    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=control, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=control[0], chat_template=QWEN)


def make_model(size: int, layers: int, device: str, dtype: str) -> Any:
    """Qwen2's shape at the width of a model of 135 million parameters; random weights."""
    import torch
    from transformers import AutoModelForCausalLM, Qwen2Config

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=size, hidden_size=576, intermediate_size=1536, num_hidden_layers=layers, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=4096, tie_word_embeddings=True,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    return model.to(device, getattr(torch, dtype)).eval()


def prompts_of(chat: Chat, texts: list[str], tokens: int, count: int) -> list[list[int]]:
    """Prompts for documents of 60% to 140% of `tokens` (as far as the protocol shows them), in random order."""
    rng, words = random.Random(tokens), iter(" ".join(texts).split(" "))
    found = []
    for _ in range(count):
        text = ""
        while len(chat._encode(text)) < tokens * rng.uniform(0.6, 1.4):
            text += " " + " ".join(next(words) for _ in range(tokens // 10))
        found.append(chat.tokens(chat.shown(text)))
    return found


def generate(model: Any, chat: Chat, prompts: list[list[int]], batches: list[list[int]], *, held: bool) -> list[Any]:
    """Answers (tokens) by generate(), greedy, padded on the left."""
    import torch

    answers: list[Any] = [None] * len(prompts)
    for rows in batches:
        width = max(len(prompts[row]) for row in rows)
        ids = torch.tensor([[0] * (width - len(prompts[row])) + prompts[row] for row in rows], device=model.device)
        mask = torch.tensor([[0] * (width - len(prompts[row])) + [1] * len(prompts[row]) for row in rows])

        def allowed(_: int, tokens: Any, width: int = width) -> list[int]:
            place, between = divmod(len(tokens) - width, 2)
            return [chat.answer.newline] if between else list(chat.answer.slots[place])

        said = model.generate(
            input_ids=ids, attention_mask=mask.to(model.device), do_sample=False, pad_token_id=0,
            max_new_tokens=chat.answer.length, prefix_allowed_tokens_fn=allowed if held else None,
        )  # fmt: skip
        for row, answer in zip(rows, said[:, width:].tolist(), strict=True):
            answers[row] = answer
    return answers


def prefill(model: Any, prompts: list[list[int]]) -> None:
    """Read the prompts, one by one."""
    import torch

    with torch.inference_mode():
        for prompt in prompts:
            model(input_ids=torch.tensor([prompt], device=model.device), logits_to_keep=1)


def ways_of(model: Any, chat: Chat, prompts: list[list[int]], limit: int) -> dict[str, Callable[[], Any]]:
    """What is timed, by name."""
    rows = list(range(len(prompts)))
    like = list(packed([len(prompt) + chat.answer.length for prompt in prompts], limit))
    prepared = copy.deepcopy(model)
    share_keys(prepared)
    arrival = [rows[begin : begin + ARRIVAL] for begin in range(0, len(rows), ARRIVAL)]
    return {
        "slots": lambda: score_all(prepared, prompts, chat.answer, limit),
        "slots, stepwise": lambda: score_all(prepared, prompts, chat.answer, limit, drafted=False),
        "prefill": lambda: prefill(model, prompts),
        "generate, free": lambda: generate(model, chat, prompts, like, held=False),
        "generate, held": lambda: generate(model, chat, prompts, like, held=True),
        "generate, arrival": lambda: generate(model, chat, prompts, arrival, held=False),
        "generate, one by one": lambda: generate(model, chat, prompts, [[row] for row in rows], held=False),
    }


def measure(model: Any, chat: Chat, prompts: list[list[int]], limit: int, repeats: int) -> dict[str, Any]:
    """Seconds of each way (of the CPU if the model is there), and the share of documents with the same integers."""
    import torch

    clock = time.process_time if model.device.type == "cpu" else time.perf_counter
    seconds: dict[str, list[float]] = {}
    answers = {}
    ways = ways_of(model, chat, prompts, limit)
    for number in range(repeats):
        for name, way in ways.items():
            if name == "generate, held" and number:
                continue
            began = clock()
            answers[name] = way()
            if model.device.type == "cuda":
                torch.cuda.synchronize()
            seconds.setdefault(name, []).append(clock() - began)
    slots = [
        [tokens[place] for tokens, place in zip(chat.answer.slots, row, strict=True)] for row in answers["slots"].chosen
    ]
    same = [slot == answer[::2] for slot, answer in zip(slots, answers["generate, held"], strict=True)]
    return {
        "seconds": seconds,
        "same": sum(same) / len(same),
        "passes": answers["slots"].passes[:, -1].tolist(),
        "different_answers": len({tuple(slot) for slot in slots}),
    }


def report(tokens: int, prompts: list[list[int]], found: dict[str, Any]) -> None:
    """Print one length's rows."""
    mean = sum(map(len, prompts)) / len(prompts)
    print(f"\n{tokens} tokens of text: {len(prompts)} documents, prompts of {mean:,.0f} tokens")
    print(f"same integers as held: {found['same']:.1%} of documents; different answers: {found['different_answers']}")
    print(f"passes: {statistics.mean(found['passes']):.1f} on average, {max(found['passes'])} at most")
    slots = statistics.median(found["seconds"]["slots"])
    for name, seconds in found["seconds"].items():
        median = statistics.median(seconds)
        print(f"{name:24}{len(prompts) / median:8.2f} documents/s   slots is {median / slots:5.2f} times as fast")


def main() -> None:
    """Measure and print."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", default="", help="float32 or bfloat16 (default: the rater's own for the device)")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--vocabulary", type=int, default=16384)
    parser.add_argument("--documents", type=int, default=16)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        make_corpus(data_directory(), Path(folder) / "corpus.jsonl", 4)
        texts = [orjson.loads(line)["text"] for line in (Path(folder) / "corpus.jsonl").read_bytes().splitlines()]
    chat = Chat(make_tokenizer(texts, arguments.vocabulary), Path("benchmark"), "en", "all", None)
    dtype = arguments.dtype or {"cpu": "float32", "cuda": "bfloat16"}[arguments.device]
    model = make_model(arguments.vocabulary, arguments.layers, arguments.device, dtype)
    limit = CPU_BATCH_TOKENS if arguments.device == "cpu" else 16384
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    print(f"{millions:.0f}M parameters, {dtype}, {arguments.device}, batches of {limit} tokens, "
          f"{time.strftime('%Y-%m-%d')}, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    results = {}
    for tokens in arguments.lengths:
        prompts = prompts_of(chat, texts, tokens, arguments.documents)
        results[tokens] = measure(model, chat, prompts, limit, arguments.repeats)
        report(tokens, prompts, results[tokens])
    if arguments.json:
        arguments.json.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))


if __name__ == "__main__":
    main()
