#!/usr/bin/env bash
# Install Tamis with everything its tests need, then run them, two files at once. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash jobs/setup.sh dev
venv="${TAMIS_VENV:-$PWD/.venv}"
"$venv/bin/ruff" check .
"$venv/bin/ruff" format --check .
"$venv/bin/mypy"
"$venv/bin/python" -m pytest -n 2 --dist loadfile "$@"
