# shellcheck shell=bash
# To be sourced: install Debian packages, as root or by sudo.

install_debian() {
    command -v apt-get >/dev/null || { echo "setup: please install $* and run this again" >&2; exit 1; }
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "setup: please install $* as root and run this again" >&2; exit 1; }
        root=(sudo)
    fi
    echo "setup: installing Debian packages: $*"
    "${root[@]}" apt-get update -qq
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
