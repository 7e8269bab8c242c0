"""The pictures of the README are there, small, and made by the command that it names."""

import re
from pathlib import Path

import pytest

from tests.browser import CHROMIUM
from tests.looks import looked_at
from tests.screenshots import PICTURES, SHOTS, take

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MOST = 150_000


def shown() -> set[str]:
    return set(re.findall(r"tests/pictures/[\w-]+\.png", README))


def test_the_readme_shows_every_picture_there_is_and_no_other() -> None:
    assert shown() == {str(path.relative_to(ROOT)) for path in PICTURES.iterdir()}
    assert {Path(name).stem for name in shown()} == {shot.name for shot in SHOTS}
    assert "python -m tests.screenshots" in README


@pytest.mark.parametrize("name", sorted(shown()))
def test_a_picture_is_small_and_said_in_words(name: str) -> None:
    content = (ROOT / name).read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) < MOST
    if "dark" not in name:
        assert re.search(rf"!\[[^\]]{{20,}}\]\({name}\)|{name}\" alt=\"[^\"]{{20,}}\"", README)


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
def test_the_command_takes_what_is_on_the_pages_of_a_run(tmp_path: Path) -> None:
    run, other = looked_at(tmp_path), looked_at(tmp_path, 100, "other")
    made = take(run, other, tmp_path / "pictures")
    assert [path.stem for path in made] == ["report", "report-dark", "shard", "compare", "view"]
    assert len({path.read_bytes() for path in made}) == len(made)
    assert all(1000 < path.stat().st_size < MOST for path in made)
