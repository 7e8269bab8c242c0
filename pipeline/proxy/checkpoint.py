"""Checkpoints of a proxy's run: one safetensors file, its JSON in the header; published whole or not at all.

The log beside it is cut back to where it was when the checkpoint was made: what comes after is made again, the same.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from pipeline.storage import Store
from stages.errors import InputError
from stages.mixture_estimator import State

NAME = "checkpoint.safetensors"
LOG = "proxy.jsonl"
MODEL = "proxy"
_KEY = "tamis"


@dataclass(frozen=True)
class Folder:
    """Where a proxy works: a directory of this machine, and its copy in a remote store, if the run is in one."""

    local: Path
    remote: Store | None = None
    """Where checkpoint and log are copied to whenever they change."""

    @property
    def log(self) -> Path:
        """The proxy's mixture log."""
        return self.local / LOG

    def save(self, tensors: dict[str, Any], state: State) -> None:
        """Publish a checkpoint with the length of the log."""
        from safetensors.torch import save

        told = orjson.dumps({**state, "log": self.log.stat().st_size}).decode()
        with Store(str(self.local)).create(NAME) as file:
            file.write(save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata={_KEY: told}))
        self._push()

    def load(self, config: str) -> tuple[State, dict[str, Any]] | None:
        """State and tensors of the checkpoint, None if there is none of this configuration; cuts the log back to it."""
        from safetensors import SafetensorError, safe_open

        self._pull()
        if not (self.local / NAME).is_file() or not self.log.is_file():
            return None
        try:
            with safe_open(self.local / NAME, framework="pt") as file:
                state = orjson.loads((file.metadata() or {}).get(_KEY, "{}"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        except (SafetensorError, ValueError) as error:
            raise InputError(f"{self.local / NAME} is damaged ({error}): remove it to start anew") from error
        if state.get("config") != config or self.log.stat().st_size < state["log"]:
            return None
        return state, tensors

    def save_model(self, model: Any) -> None:
        """Write weights and config as `from_pretrained` reads them."""
        from safetensors.torch import save

        weights = {name: value.detach().cpu().contiguous() for name, value in _untied(model).items()}
        files = {
            f"{MODEL}/config.json": model.config.to_json_string().encode(),
            f"{MODEL}/model.safetensors": save(weights, metadata={"format": "pt"}),
        }
        for store in (Store(str(self.local)), *([self.remote] if self.remote else [])):
            for name, content in files.items():
                with store.create(name) as file:
                    file.write(content)

    def cut_log(self, size: int) -> None:
        """Take back what was logged after a checkpoint; with 0 the whole log."""
        if not size:
            self.log.unlink(missing_ok=True)
            return
        with self.log.open("r+b") as file:
            file.truncate(size)

    def _push(self) -> None:
        for name in (LOG, NAME) if self.remote else ():
            assert self.remote is not None
            with self.remote.create(name) as file:
                file.write((self.local / name).read_bytes())

    def _pull(self) -> None:
        for name in (LOG, NAME) if self.remote else ():
            assert self.remote is not None
            if self.remote.exists(name) and not (self.local / name).exists():
                with self.remote.open(name) as file:
                    (self.local / name).write_bytes(file.read())


def _untied(model: Any) -> dict[str, Any]:
    """The state of a model, each tensor once: `from_pretrained` ties the others to it."""
    found: dict[int, tuple[str, Any]] = {}
    for name, value in model.state_dict().items():
        found.setdefault(value.data_ptr(), (name, value))
    return dict(found.values())
