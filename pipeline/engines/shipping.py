"""Tamis packs itself for the nodes of a cluster, which need what it depends on, and not Tamis.

The copies are whole: code, templates, models that come with the stages, and the language model that set-up fetched.
"""

import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pipeline
import stages
from stages.errors import ConfigError
from stages.model_files import LID_176

_SKIPPED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
_EPOCH = (1980, 1, 1, 0, 0, 0)


def copy_packages(folder: Path) -> list[Path]:
    """Copy the packages into a folder; returns their directories there.

    Raises ConfigError if this Tamis is itself in an archive, whose models are no files.
    """
    for package in (pipeline, stages):
        home = Path(str(package.__file__)).parent
        if not home.is_dir():
            raise ConfigError(f"{home}: Tamis runs out of an archive, whose models are no files: unpack it")
        shutil.copytree(home, folder / home.name, ignore=_SKIPPED)
    if LID_176.path.is_file():
        shipped = folder / "pipeline" / "shipped"
        shipped.mkdir(exist_ok=True)
        shutil.copyfile(LID_176.path, shipped / LID_176.file)
    return [folder / "pipeline", folder / "stages"]


def zip_packages(folder: Path) -> dict[str, Path]:
    """One archive per package, by its name, of what is inside it. The same files make the same bytes."""
    copies = Path(tempfile.mkdtemp(dir=folder))
    return {home.name: _zip(home, folder) for home in copy_packages(copies)}


def _zip(home: Path, folder: Path) -> Path:
    partial = folder / f"{home.name}.zip"
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in _files(home):
            archive.writestr(zipfile.ZipInfo(str(path.relative_to(home)), _EPOCH), path.read_bytes())
    digest = hashlib.sha256(partial.read_bytes()).hexdigest()[:12]
    return partial.rename(folder / f"{home.name}-{digest}.zip")


def _files(home: Path) -> Iterator[Path]:
    return (path for path in sorted(home.rglob("*")) if path.is_file())
