"""KenLM's programs for tests that need them; set-up builds them."""

import pytest

from pipeline.training.kenlm_tools import find_program
from stages.errors import ConfigError


def _missing() -> str:
    try:
        for name in ("lmplz", "build_binary", "query"):
            find_program(name)
    except ConfigError as error:
        return str(error)
    return ""


needs_kenlm_programs = pytest.mark.skipif(bool(_missing()), reason=_missing() or "KenLM's programs are there")


def program(name: str) -> str:
    """The path of a program that is there."""
    return str(find_program(name))
