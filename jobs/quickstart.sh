#!/usr/bin/env bash
# Install Tamis and run its main job on real text: a corpus from installed packages in, shards and a report out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash jobs/setup.sh quickstart
tamis="${TAMIS_VENV:-$PWD/.venv}/bin/tamis"
"$tamis" sample
"$tamis" run configs/quickstart.yaml
