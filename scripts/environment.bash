# Sourced by demo, test and bench: makes .venv beside this checkout from a lock file, once.
# Writes nothing outside the checkout except pip's and uv's own caches. bash 3.2 or later.

set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv
python=$venv/bin/python
needed_kb=1500000   # a full installation with its caches takes about 1.2 GB

# Numeric libraries start one thread a core and then fight over them; ours does the sharing itself.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

die() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    exit 1
}

# prepare LOCK: after it, $python has exactly what root/LOCK names (and perhaps development tools).
prepare() {
    local lock=$root/$1 stamp=$venv/.installed-$1 wanted
    [ -r "$lock" ] || die "$1 is missing: this checkout is not complete"
    wanted="$root $(cksum < "$lock")"
    if [ -x "$python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return 0
    fi
    mkdir -p "$venv" 2>/dev/null || die "cannot write to $root: make it writable or clone elsewhere"
    if command -v flock >/dev/null; then   # two first starts at once: the second waits for the first
        exec 9>"$venv/.setup-lock"   # not .lock: that one is uv's own
        flock 9
        if [ -x "$python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
            exec 9>&-
            return 0
        fi
    fi
    check_space
    make_venv
    printf '%s: installing %s into .venv (once; about a minute)\n' "${0##*/}" "$1" >&2
    install "$lock"
    link_sources
    printf '%s\n' "$wanted" > "$stamp"
    if command -v flock >/dev/null; then
        exec 9>&-
    fi
}

check_space() {
    local free_kb
    free_kb=$(df -Pk "$root" | awk 'NR == 2 { print $4 }')
    if [ -n "$free_kb" ] && [ "$free_kb" -lt "$needed_kb" ]; then
        die "disk full: $((free_kb / 1024)) MB free at $root, $((needed_kb / 1024)) MB needed"
    fi
}

# The first Python that runs and is new enough; PYTHON names another one.
find_python() {
    local name found=""
    for name in ${PYTHON:+"$PYTHON"} python3.13 python3.12 python3.11 python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$name"
            return 0
        fi
        found=${found:-$("$name" -c 'import sys; print(sys.version.split()[0])' 2>/dev/null || true)}
    done
    die "needs Python 3.11 or newer, found ${found:-none}: install one, or name it: PYTHON=/path/to/python3 $0"
}

make_venv() {
    local base
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 &&
        "$python" -m pip --version >/dev/null 2>&1; then
        return 0
    fi
    base=$(find_python) || exit 1
    "$base" -c 'import venv, ensurepip' >/dev/null 2>&1 ||
        die "$base has no venv module: install it (Debian, Ubuntu: apt install python3-venv)"
    (cd "$venv" && rm -rf bin lib lib64 include pyvenv.cfg)
    "$base" -m venv "$venv" >"$venv/.install.log" 2>&1 || die_of_install "cannot make $venv"
}

# uv is four times as fast as pip; where it cannot work, pip does.
install() {
    local log=$venv/.install.log
    if PIP_RETRIES=1 "$python" -m pip install --quiet --require-hashes -r "$root/scripts/installer.lock" \
        >"$log" 2>&1 && install_with_uv "$1" >>"$log" 2>&1; then
        return 0
    fi
    "$python" -m pip install --quiet --require-hashes -r "$1" >>"$log" 2>&1 ||
        die_of_install "cannot install the packages of ${1##*/}"
}

install_with_uv() (
    import_pip_settings
    "$venv/bin/uv" pip install --quiet --python "$python" --require-hashes --compile-bytecode -r "$1"
)

# uv does not read pip's configuration: hand it the user's own indexes.
import_pip_settings() {
    local key value
    while IFS='=' read -r key value; do
        value=${value#\'}
        value=${value%\'}
        case $key in
            *.index-url) export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$value} ;;
            *.extra-index-url) export UV_INDEX=${UV_INDEX:-$value} ;;
            *.find-links) export UV_FIND_LINKS=${UV_FIND_LINKS:-${value// /,}} ;;
            *.cert) export SSL_CERT_FILE=${SSL_CERT_FILE:-$value} ;;
        esac
    done < <("$python" -m pip config list 2>/dev/null)
    export UV_INDEX_STRATEGY=${UV_INDEX_STRATEGY:-unsafe-best-match}   # as pip does; the hashes decide anyway
}

die_of_install() {
    local log=$venv/.install.log reason
    if grep -qiE 'no space left|disk quota' "$log"; then
        reason="disk full"
    elif grep -qiE 'hashes? (do|does)? ?not match|THESE PACKAGES DO NOT MATCH|hash mismatch' "$log"; then
        reason="a package differs from the lock file"
    elif grep -qiE 'name resolution|network is unreachable|connection (error|refused|reset)|failed to (establish|fetch)|timed out|could not find a version|no matching distribution|proxy' "$log"; then
        reason="no network, or the package index cannot be reached"
    else
        reason=$(grep -v '^ *$' "$log" | tail -n 1)
    fi
    die "$1: $reason (details: $log)"
}

# The packages are used from the checkout: one line in .venv instead of an installation of ourselves.
link_sources() {
    local packages
    packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf '%s\n' "$root" > "$packages/symbiotic_grid.pth"
    cat > "$venv/bin/symgrid" <<END
#!/bin/sh
exec "$python" -P -m node.cli "\$@"
END
    chmod +x "$venv/bin/symgrid"
}

# install_debian PACKAGE LOG: installs a package of Debian's where we may; status 1 where we may not or cannot.
install_debian() {
    local sudo=""
    if [ "$(id -u)" != 0 ]; then
        sudo="sudo -n"
        $sudo true 2>/dev/null || return 1
    fi
    command -v apt-get >/dev/null || return 1
    printf '%s: installing %s (once)\n' "${0##*/}" "$1" >&2
    { $sudo apt-get update && $sudo apt-get install --yes --no-install-recommends "$1"; } >"$2" 2>&1
}

# The page's tests need a browser: installs Debian's where it may, else says in one line what is missing.
want_chromium() {
    local name
    for name in chromium chromium-browser google-chrome; do
        command -v "$name" >/dev/null && return 0
    done
    install_debian chromium "$venv/.chromium.log" && return 0
    printf '%s: no chromium found, the tests of the page will fail: install it (Debian: apt-get install chromium)\n' \
        "${0##*/}" >&2
}

# The long profiles run the store on PostgreSQL too, on a server that the tests start themselves.
want_postgres() {
    command -v initdb >/dev/null && return 0
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && return 0
    install_debian postgresql "$venv/.postgresql.log" && return 0
    printf '%s: no PostgreSQL found, the tests of the store on it will fail: install it (Debian: apt-get install postgresql)\n' \
        "${0##*/}" >&2
}
