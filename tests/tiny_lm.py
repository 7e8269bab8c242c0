"""Tiny causal language models that answer in the protocol, saved as real ones are."""

import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)
from transformers.utils.logging import disable_progress_bar

from stages.rating_protocol import MODES, SYSTEM, WORDINGS, slots, user_message

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant<|im_sep|>{% endif %}"
)
"""Almost as Qwen2's: what the answer follows is a token of its own."""
QWEN = TEMPLATE.replace("<|im_sep|>", "\n")
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
WORDS = (
    "the",
    "farm",
    "bank",
    "court",
    "school",
    "phone",
    "film",
    "proof",
    "code",
    "opera",
    "road",
    "shop",
    "of",
    "is",
    "has",
)
SIZE = 640
"""Tokens of a vocabulary, some of them unused."""
WIDTH = {"vocab_size": SIZE, "hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 2}
SHAPE: dict[str, Any] = {**WIDTH, "num_attention_heads": 4, "max_position_embeddings": 2600, "initializer_range": 0.1}
KINDS = {
    "qwen2": lambda: Qwen2Config(**SHAPE, num_key_value_heads=2),
    "llama": lambda: LlamaConfig(**SHAPE),
    "mistral": lambda: MistralConfig(**SHAPE, num_key_value_heads=2, sliding_window=150),
    "gpt2": lambda: GPT2Config(
        vocab_size=SIZE, n_positions=1024, n_embd=96, n_layer=2, n_head=4, initializer_range=0.1,
        tie_word_embeddings=False, bos_token_id=None, eos_token_id=None,
    ),
}  # fmt: skip
"""A grouped, an ungrouped, a sliding and an absolute kind of attention."""


def text_of(rng: random.Random, words: int) -> str:
    """A made-up document."""
    return " ".join(rng.choices(WORDS, k=words)) + "."


def texts_of(count: int, seed: int, most_words: int = 120) -> list[str]:
    """Made-up documents of many lengths."""
    rng = random.Random(seed)
    return [text_of(rng, rng.randint(1, most_words)) for _ in range(count)]


def make_tokenizer(template: str | None = TEMPLATE, extra: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    """A byte-level BPE with control tokens and single digits like Qwen2's; `extra` are added tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_sep|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    prompts = [user_message("", language, mode) for language in WORDINGS for mode in MODES]
    tokenizer.train_from_iterator([*prompts * 20, SYSTEM, *texts_of(50, 0)], trainer)
    tokenizer.add_tokens(list(extra))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=template
    )


def make_model(path: Path, kind: str, mode: str | None = "all", template: str = TEMPLATE) -> Path:
    """Save a model with its tokenizer in `path`: random weights, and a last layer made to answer in `mode` (or not)."""
    torch.manual_seed(7)
    tokenizer = make_tokenizer(template)
    model = AutoModelForCausalLM.from_config(KINDS[kind]()).eval()
    if mode:
        make_head(model, tokenizer, mode)
    disable_progress_bar()
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@torch.inference_mode()
def make_head(model: Any, tokenizer: Any, mode: str) -> None:
    """Make the last layer give valid answers that differ from text to text.

    A logit of 60 for the kind of token that follows the last one (newline, or any letter or digit), which is linear in
    the mean states after each token; to this is added noise that depends on nothing but how a state differs from the
    means of its token and its place.
    """
    model.get_input_embeddings().weight.normal_(std=0.5)
    states, before, after = answer_states(model, tokenizer, mode)
    flat = states.flatten(0, 1)
    kinds = before.flatten().unique()
    means = torch.stack([flat[before.flatten() == token].mean(0) for token in kinds])
    follows = [set(after[before == token].tolist()) for token in kinds]
    answers = sorted(set(after.flatten().tolist()))
    goals = torch.tensor([[60.0 * (token in possible) for token in answers] for possible in follows])
    basis = torch.cat([means, states.mean(0)])
    noise = torch.randn(basis.shape[1], len(answers))
    noise -= torch.linalg.pinv(basis) @ (basis @ noise)
    noise *= 2.5 / (flat @ noise).std()
    model.lm_head.weight.zero_()
    model.lm_head.weight[answers] = (torch.linalg.pinv(means) @ goals + noise).T


def answer_states(model: Any, tokenizer: Any, mode: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Last states (texts, places, width) before each token of random answers, the token there, and the next one."""
    states, before, after = [], [], []
    for number, text in enumerate(texts_of(60, 3, 40)):
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user_message(text, "en", mode)}]
        prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        answer = "\n".join(choices[(number + 2 * place) % len(choices)] for place, choices in enumerate(slots(mode)))
        tokens = torch.tensor(tokenizer(prompt + answer)["input_ids"])
        length = 2 * len(slots(mode))
        states.append(model.base_model(input_ids=tokens[None]).last_hidden_state[0, -length:-1])
        before.append(tokens[-length:-1])
        after.append(tokens[1 - length :])
    return torch.stack(states), torch.stack(before), torch.stack(after)
