"""The proxy's model: a tiny one, or that of a directory of transformers; and how it computes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.errors import ConfigError, ModelError
from stages.mixture import TINY
from stages.transformers_files import config_files

_WIDTH, _LAYERS, _HEADS, _INNER = 64, 2, 2, 192
_ROUND = 64
"""A tiny model's vocabulary is rounded up to a multiple of this."""


def make_model(proxy: str, vocabulary: int, window: int, seed: int) -> Any:
    """A causal language model in evaluation mode (without dropout), on the CPU.

    Its first weights are those of the directory, or drawn from the seed: the same on every rank and after a resume.
    Raises ModelError if its vocabulary is smaller than `vocabulary` tokens or it takes no windows of this length.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _tiny(vocabulary, window) if proxy == TINY else _of(Path(proxy))
    config = model.config
    if config.vocab_size < vocabulary:
        raise ModelError(
            f"{proxy}: its vocabulary has {config.vocab_size:,} tokens, the contexts have {vocabulary:,}: "
            "choose a model of the tokenizer that the contexts were made with"
        )
    if (longest := getattr(config, "max_position_embeddings", window)) < window:
        raise ModelError(f"{proxy}: takes {longest} tokens, mixture.window has {window}: make the window shorter")
    return model.eval()


def parameters_of(model: Any) -> int:
    """Numbers that are trained."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def device_of(name: str) -> str:
    """The device that a setting means. Raises ConfigError if there is no GPU and one is asked for."""
    import torch

    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise ConfigError("mixture.device: found cuda, and torch sees no GPU here: set cpu or auto")
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"


@contextmanager
def computing(threads: int, device: str) -> Iterator[None]:
    """Compute deterministically, where torch can, with so many threads; what was set before is set again."""
    import torch

    gpu = device != "cpu"
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision()
    if gpu:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.set_float32_matmul_precision("high")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=gpu)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        torch.set_float32_matmul_precision(before[2])


def _tiny(vocabulary: int, window: int) -> Any:
    """About 100,000 parameters beside the embeddings, which the head shares."""
    from transformers import LlamaConfig, LlamaForCausalLM

    size = -(-vocabulary // _ROUND) * _ROUND
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=size,
            hidden_size=_WIDTH,
            intermediate_size=_INNER,
            num_hidden_layers=_LAYERS,
            num_attention_heads=_HEADS,
            max_position_embeddings=window,
            tie_word_embeddings=True,
        )
    )


def _of(directory: Path) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    files = config_files(directory, "mixture.proxy")
    if len(files) > 1:
        options = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False, "dtype": "float32"}
        return AutoModelForCausalLM.from_pretrained(directory, **options)
    config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    make: Any = AutoModelForCausalLM.from_config
    return make(config, trust_remote_code=False)
