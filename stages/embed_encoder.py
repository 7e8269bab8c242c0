"""Embedding by a transformers encoder: windows of tokens, batches of fixed shapes, pooling, the mean over windows.

What a document gets must not depend on which documents come with it. A window is padded to a length that follows from
its own alone, and every batch of one length has the same number of rows, filled up with copies, so a matrix product
always has the same shape; masked tokens weigh nothing. The same bits then come out wherever a library computes each row
of a product the same way, which holds on the CPUs that were tried (tests/test_embed.py); rounding to half precision
hides most of what is left elsewhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.embed_directory import Directory
from stages.embed_vectors import Embedded, Floats, weighted_mean
from stages.errors import ConfigError, ModelError

STEP = 32
"""Windows are padded to a multiple of this."""
BATCH_TOKENS = {"cpu": 1024, "cuda": 32_768}
"""Tokens of a batch, padding included, unless the settings say otherwise."""
PRECISION = {"cpu": "float32", "cuda": "float16"}

Ids = list[int]


@dataclass(frozen=True)
class Reading:
    """How texts become windows."""

    window: int
    """Tokens of a window, special ones and prefix included."""
    windows: int
    """Windows of a document at most."""
    prefix: str
    lower_case: bool = False


class Windows:
    """Cuts texts into windows of tokens: special tokens and the prefix around each, body tokens in a row."""

    def __init__(self, tokenizer: Any, reading: Reading) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._reading = reading
        self.longest = reading.window
        self._before, self._after = special_tokens(tokenizer)
        self._prefix: Ids = _encoded(tokenizer, [reading.prefix])[0] if reading.prefix else []
        around = len(self._before) + len(self._after) + len(self._prefix)
        self._body = reading.window - around
        if self._body < 1:
            raise ConfigError(
                f"embed.window: found {reading.window}, expected more than the {around} of special tokens and prefix"
            )

    def __call__(self, texts: Sequence[str]) -> Iterator[tuple[int, int, Ids]]:
        """Place of the text, number of body tokens, and all tokens of each window; nothing for a text without tokens.

        The first window is what the tokenizer makes of prefix and text together.
        """
        lowered = [text.lower() for text in texts] if self._reading.lower_case else texts
        for place, ids in enumerate(_encoded(self._tokenizer, [self._reading.prefix + text for text in lowered])):
            shared = _shared(self._prefix, ids)
            head, body = ids[:shared], ids[shared:]
            for begin in range(0, min(len(body), self._body * self._reading.windows), self._body):
                part = body[begin : begin + self._body]
                yield place, len(part), [*self._before, *head, *part, *self._after]


class Encoder:
    """An open encoder."""

    def __init__(self, directory: Directory, network: Any, windows: Windows, batch_tokens: int, pooling: str) -> None:
        self.name = directory.name
        self.dimensions = int(network.config.hidden_size)
        self._unit = directory.unit
        self._network = network
        self._windows = windows
        self._pooling = pooling
        self._batch_tokens = batch_tokens
        self._padding = int(getattr(network.config, "pad_token_id", None) or 0)

    def embed(self, texts: list[str]) -> Embedded:
        """Means over each document's windows, weighted by their tokens; zeros for a text without tokens."""
        cut = list(self._windows(texts))
        places = np.array([place for place, _, _ in cut], np.int64)
        weights = np.array([count for _, count, _ in cut], np.int32)
        vectors = np.zeros((len(cut), self.dimensions), np.float32)
        for rows, length in batches([len(ids) for _, _, ids in cut], self._windows.longest, self._batch_tokens):
            vectors[rows] = self._forward([cut[row][2] for row in rows], length)
        return weighted_mean(vectors, weights, places, len(texts))

    def _forward(self, windows: list[Ids], length: int) -> Floats:
        """Pooled vectors of windows, shape (windows, dimensions); the network sees a batch of this length's size."""
        import torch

        rows = max(1, self._batch_tokens // length)
        filled = windows + [windows[0]] * (rows - len(windows))
        ids = torch.tensor([window + [self._padding] * (length - len(window)) for window in filled])
        sizes = torch.tensor([len(window) for window in filled])
        mask = (torch.arange(length) < sizes[:, None]).to(self._network.device, torch.int64)
        with torch.inference_mode():
            hidden = self._network(input_ids=ids.to(mask.device), attention_mask=mask).last_hidden_state.float()
            pooled = hidden[:, 0] if self._pooling == "cls" else _mean(hidden, mask)
            if self._unit:
                pooled = torch.nn.functional.normalize(pooled, dim=1)
        found: Floats = pooled[: len(windows)].cpu().numpy()
        return found


def open_encoder(
    directory: Directory, reading: Reading, pooling: str, device: str, dtype: str, batch_tokens: int
) -> Encoder:
    """Load an encoder; pooling, device and dtype may be `auto`, `batch_tokens` 0. Raises ModelError or ConfigError."""
    for library in ("torch", "transformers"):
        if find_spec(library) is None:
            raise ConfigError(
                f"embed.model: {directory.path} is an encoder, which needs {library}, and it is not installed; "
                "run: pip install 'tamis[llm]', or set embed.model to default"
            )
    import torch

    chosen = _device(device)
    if chosen == "cpu":
        torch.set_num_threads(1)
    tokenizer = _tokenizer(directory)
    precision = PRECISION[chosen] if dtype == "auto" else dtype
    network = _network(directory, precision).to(chosen).eval()
    windows = Windows(tokenizer, reading)
    tokens = max(batch_tokens or BATCH_TOKENS[chosen], reading.window)
    return Encoder(directory, network, windows, tokens, directory.pooling if pooling == "auto" else pooling)


def batches(lengths: Sequence[int], longest: int, batch_tokens: int) -> Iterator[tuple[npt.NDArray[np.int64], int]]:
    """Rows of each batch, and the length (`longest` at most) that they are padded to, which depends on their own alone.

    >>> [(rows.tolist(), length) for rows, length in batches([5, 40, 7, 6], 50, 64)]
    [([0, 2], 32), ([3], 32), ([1], 50)]
    """
    padded = np.minimum(-(-np.array(lengths, np.int64) // STEP) * STEP, longest)
    for length in np.unique(padded).tolist():
        rows, size = np.flatnonzero(padded == length), max(1, batch_tokens // length)
        for begin in range(0, len(rows), size):
            yield rows[begin : begin + size], length


def special_tokens(tokenizer: Any) -> tuple[Ids, Ids]:
    """What the tokenizer puts before and after a text, as [CLS] and [SEP]."""
    found = tokenizer.encode("a")
    body = [place for place, special in enumerate(found.special_tokens_mask) if not special]
    if not body:
        return list(found.ids), []
    return list(found.ids[: body[0]]), list(found.ids[body[-1] + 1 :])


def _mean(hidden: Any, mask: Any) -> Any:
    weights = mask[:, :, None].to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1)


def _shared(prefix: Ids, ids: Ids) -> int:
    """How many leading tokens are the prefix's."""
    same = [one == two for one, two in zip(prefix, ids, strict=False)]
    return same.index(False) if False in same else len(same)


def _device(device: str) -> str:
    import torch

    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise ConfigError("embed.device: found cuda, but torch sees no GPU here; set embed.device to auto or cpu")
    return "cuda" if there and device != "cpu" else "cpu"


def _tokenizer(directory: Directory) -> Any:
    from tokenizers import Tokenizer

    path = directory.files["tokenizer.json"]
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers library raises bare ones
        raise ModelError(f"{path}: is no tokenizer ({error}); copy the model again") from error


def _network(directory: Directory, precision: str) -> Any:
    """The network with all of its weights; one that would be filled up with random numbers is refused."""
    import torch
    import transformers

    try:
        network, report = transformers.AutoModel.from_pretrained(
            str(directory.path),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=getattr(torch, precision),
            output_loading_info=True,
        )
    except Exception as error:  # whatever a foreign config or file makes the libraries raise
        raise ModelError(f"{directory.path}: cannot be loaded ({type(error).__name__}: {error})") from error
    names = [str(name) for name in (*report["missing_keys"], *report["mismatched_keys"])]
    lost = sorted(name for name in names if "pooler" not in name)
    if lost:
        raise ModelError(
            f"{directory.path}: the weights lack {len(lost)} tensors of the config's model, {lost[0]} among them; "
            "use config and weights of one model"
        )
    return network


def _encoded(tokenizer: Any, texts: list[str]) -> list[Ids]:
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
