#!/usr/bin/env bash
# Set-up step: KenLM's Python module and its programs lmplz, build_binary and query, from the sources in its sdist.
# PyPI has no wheel of kenlm, and no package that holds the programs. Does nothing where all of them are there.
#
#   jobs/build_kenlm.sh
#
# TAMIS_VENV   the environment to put them in (made by jobs/setup.sh); default: .venv in this checkout
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. jobs/debian.sh
venv="${TAMIS_VENV:-$PWD/.venv}"
version=0.3.0
sha256=c4628bb9fb63c8a6f9240035b8b037385cfc404cb72e933cf48878291edac1e8
programs=(lmplz build_binary query)

has_module() { "$venv/bin/python" -c "from importlib.metadata import version as v; import kenlm; assert v('kenlm') == '$version'" 2>/dev/null; }
has_programs() { for program in "${programs[@]}"; do [ -x "$venv/bin/$program" ] || return 1; done; }

if has_module && has_programs; then exit 0; fi

boost=(program-options system thread test)
needed=()
command -v g++ >/dev/null || needed+=(g++)
command -v make >/dev/null || needed+=(make)
"$venv/bin/python" -c 'import pathlib, sys, sysconfig; sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").exists())' \
    || needed+=(python3-dev)
if ! has_programs; then
    command -v cmake >/dev/null || needed+=(cmake)
    [ -e /usr/include/zlib.h ] || needed+=(zlib1g-dev)
    [ -e /usr/include/bzlib.h ] || needed+=(libbz2-dev)
    [ -e /usr/include/lzma.h ] || needed+=(liblzma-dev)
    for part in "${boost[@]}"; do
        compgen -G "/usr/lib/*/libboost_${part//-/_}*.so" >/dev/null || [ "$part" = test ] || needed+=("libboost-$part-dev")
    done
    compgen -G "/usr/lib/*/libboost_unit_test_framework*.so" >/dev/null || needed+=(libboost-test-dev)
fi
[ "${#needed[@]}" -eq 0 ] || install_debian "${needed[@]}"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
echo "kenlm==$version --hash=sha256:$sha256" >"$work/requirement"  # checked before anything of it runs
"$venv/bin/python" -m pip download --quiet --no-deps --no-binary kenlm --dest "$work" --require-hashes -r "$work/requirement"
sdist="$work/kenlm-$version.tar.gz"

if ! has_module; then
    echo "setup: building the Python module kenlm $version"
    export UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}"
    [ -n "$UV_FIND_LINKS" ] || unset UV_FIND_LINKS
    "$venv/bin/python" -m uv pip install --quiet --python "$venv/bin/python" --no-deps "$sdist"
fi
if ! has_programs; then
    echo "setup: building ${programs[*]} (two to three minutes on one core)"
    tar -xzf "$sdist" -C "$work"
    cmake -S "$work/kenlm-$version" -B "$work/build" -DCMAKE_BUILD_TYPE=Release >"$work/log" 2>&1 \
        && cmake --build "$work/build" --parallel 2 --target "${programs[@]}" >>"$work/log" 2>&1 \
        || { tail -n 40 "$work/log" >&2; echo "setup: KenLM's programs did not build: see the messages above" >&2; exit 1; }
    for program in "${programs[@]}"; do
        install -m 755 "$work/build/bin/$program" "$venv/bin/.$program.new"
        mv -f "$venv/bin/.$program.new" "$venv/bin/$program"
    done
fi
