"""KenLM's programs: finding them, and running them with bounded memory.

`lmplz` estimates an n-gram model by modified Kneser-Ney smoothing from lines on its standard input, sorting on disk
("Scalable Modified Kneser-Ney Language Model Estimation", 2013); `build_binary` packs the result.
What they write to standard error is kept from the user, since it may quote the text.
"""

import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from stages.errors import ConfigError, TamisError

MAX_ORDER = 6
"""The highest order that KenLM is built for."""
REMEDY = "build it with `bash jobs/build_kenlm.sh`, or train with --estimator numpy --binary arpa"

_REASONS = {
    b"No space left": "the disk with the temporary directory is full: set --temp to a directory with more room",
    b"bad_alloc": "it ran out of memory: lower --memory",
    b"Cannot allocate memory": "it ran out of memory: lower --memory",
    b"minimum_block": "--memory is too small: raise it",
    b"too small": "--memory is too small: raise it",
    b"Bad count": "an order is left without any n-gram: prune less, or lower --order",
    b"Pruning": "the pruning thresholds must not decrease from order to order: mend --prune",
}


def find_program(name: str) -> Path:
    """The program beside this Python, or on PATH. Raises ConfigError with the remedy if it is in neither."""
    beside = Path(sys.executable).with_name(name)
    if beside.is_file():
        return beside
    found = shutil.which(name)
    if found is None:
        raise ConfigError(f"found no program '{name}' beside {sys.executable} or on PATH: {REMEDY}")
    return Path(found)


def check_memory(memory: str) -> str:
    """An amount of memory as the programs take it: a number and b, K, M, G or %. Raises ConfigError."""
    if not re.fullmatch(r"\d+(\.\d+)?[bKMG%]", memory):
        raise ConfigError(f"--memory: found '{memory}', expected a number with its unit, such as 512M or 1G")
    return memory


def check_pruning(text: str, order: int) -> tuple[int, ...]:
    """Pruning thresholds, one for each order, from how they are written; the last stands for the orders after it.

    >>> check_pruning("0 1", 4)
    (0, 1, 1, 1)

    Raises ConfigError if they are no whole numbers, decrease, or are more than the orders.
    """
    parts = text.split()
    values = [int(part) for part in parts if re.fullmatch(r"\d{1,9}", part)]
    if not parts or len(values) < len(parts) or values != sorted(values) or len(values) > order:
        raise ConfigError(
            f"--prune: found '{text}', expected at most {order} whole numbers that do not decrease, such as '0 1 2'"
        )
    return tuple(values + values[-1:] * (order - len(values)))


@contextlib.contextmanager
def estimating(arpa: Path, order: int, pruning: Iterable[int], memory: str, temporary: Path) -> Iterator[IO[bytes]]:
    """Run lmplz; yields its input, and leaves the model in `arpa`. Raises TamisError if lmplz fails."""
    thresholds = [str(value) for value in pruning]
    command = [str(find_program("lmplz")), "--order", str(order), "--memory", memory, "--temp_prefix", f"{temporary}/"]
    command += ["--discount_fallback", "--arpa", str(arpa), "--prune", *thresholds]
    with tempfile.TemporaryFile(dir=temporary) as messages:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=messages)
        assert process.stdin
        try:
            with contextlib.suppress(BrokenPipeError):
                yield process.stdin
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        _check("lmplz", code, messages)


def build_binary(arpa: Path, binary: Path, kind: str, bits: int, memory: str, temporary: Path) -> None:
    """Pack an ARPA file as `trie` (quantised to `bits`, 0: not) or `probing`. Raises TamisError if that fails.

    The strings of the vocabulary are left out: scoring needs their hashes only.
    """
    command = [str(find_program("build_binary")), "-v", "-S", memory, "-T", f"{temporary}/"]
    if kind == "trie":
        command += [*(["-q", str(bits), "-b", str(bits)] if bits else []), "-a", "22"]
    with tempfile.TemporaryFile(dir=temporary) as messages:
        done = subprocess.run(
            [*command, kind, str(arpa), str(binary)], stdout=subprocess.DEVNULL, stderr=messages, check=False
        )
        _check("build_binary", done.returncode, messages)


def _check(program: str, code: int, messages: IO[bytes]) -> None:
    """Explain a failure by what is known about it, never by the program's own words."""
    if code == 0:
        return
    messages.seek(0)
    said = messages.read()
    reason = next((why for mark, why in _REASONS.items() if mark in said), "")
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    raise TamisError(
        f"{program} {how}: {reason or 'lower --memory or --order, or give it more text'} "
        "(its messages are not shown, since they may quote the text)"
    )
