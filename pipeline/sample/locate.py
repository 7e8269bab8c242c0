"""Where installed packages and the standard library keep their files, found without importing them."""

import os
import platform
import sysconfig
from collections.abc import Callable, Collection, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from stages.errors import ConfigError

STANDARD_LIBRARY = "python"

Finder = Callable[[Path], Iterator[Path]]


def locate(package: str) -> tuple[Path, str]:
    """Give the folder that the files of an installed distribution lie in, and its version.

    Raises:
        ConfigError: the distribution is not installed.
    """
    if package == STANDARD_LIBRARY:
        return Path(sysconfig.get_path("stdlib")), platform.python_version()
    try:
        found = distribution(package)
    except PackageNotFoundError:
        raise ConfigError(
            f"the sample needs the package {package!r}, which is not installed; "
            "install the extra: pip install -e '.[quickstart]'"
        ) from None
    return Path(str(found.locate_file(""))), found.version


def matching(*patterns: str) -> Finder:
    """Find the files that match glob patterns relative to the package's folder."""

    def find(root: Path) -> Iterator[Path]:
        for pattern in patterns:
            yield from root.glob(pattern)

    return find


def below(folder: str, suffixes: Collection[str], pruned: Collection[str], skipped: str = "\0") -> Finder:
    """Find the files below a folder by suffix, not entering folders named in `pruned`, nor files starting `skipped`."""

    def find(root: Path) -> Iterator[Path]:
        for place, folders, names in os.walk(root / folder):
            folders[:] = [name for name in folders if name not in pruned]
            for name in names:
                if Path(name).suffix in suffixes and not name.startswith(skipped):
                    yield Path(place, name)

    return find
