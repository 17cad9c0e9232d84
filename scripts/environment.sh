# Sourced by the other scripts: makes `.venv` beside them where there is none and installs what is missing.
#
#   PYTHON                  the interpreter to start from (default: python3, 3.11 or newer)
#   AIRSHOWER_TORCH         torch's version (default: 2.13.0; pip takes the CPU build where it knows of one)
#   AIRSHOWER_TORCH_INDEX   package index to take torch from, for a build for your GPUs
#   AIRSHOWER_PYTHON        Python of an environment that has airshower: taken as it is, nothing is installed

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="${AIRSHOWER_PYTHON:-$root/.venv/bin/python}"

install_environment() {  # install_environment EXTRA: the package with this extra ("" for none)
    if [ -n "${AIRSHOWER_PYTHON:-}" ]; then return; fi
    local wanted="$1" stamp="$root/.venv/installed-${1:-base}" torch="${AIRSHOWER_TORCH:-2.13.0}" state
    state="$(cksum <"$root/pyproject.toml") torch $torch"
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$state" ]; then return; fi
    if [ ! -x "$python" ]; then
        "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
            echo "airshower needs Python 3.11 or newer; name one with PYTHON=..." >&2
            exit 1
        }
        echo "making $root/.venv"
        "${PYTHON:-python3}" -m venv "$root/.venv"
    fi
    echo "installing airshower and what it needs (a few minutes the first time)"
    # torch by its exact version before anything else, or a range would draw several GB of CUDA packages
    "$python" -m pip install --quiet ${AIRSHOWER_TORCH_INDEX:+--index-url "$AIRSHOWER_TORCH_INDEX"} "torch==$torch"
    install_package "$root${wanted:+[$wanted]}"
    echo "$state" >"$stamp"
}

install_package() {  # install_package FOLDER[EXTRA]: by uv, which is several times faster, else by pip
    # uv does not read pip's configuration: where that names another index, it is for pip
    if ! "$python" -m pip config list | grep '\.index-url=' >/dev/null && "$python" -m pip install --quiet uv; then
        "$python" -m uv pip install --quiet --python "$python" --editable "$1" && return
    fi
    "$python" -m pip install --quiet --editable "$1"
}
