#!/usr/bin/env bash
# Print the Python to build with; say what this machine lacks, one line each, and how to get it.
# `toolchain.sh check` looks for what `make check` needs besides.
set -uo pipefail

problems=0

lacks() {
    echo "missing: $1" >&2
    problems=$((problems + 1))
}

# A name on PATH may be a shim without a Python behind it, so each is run.
find_python() {
    local name
    for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

if python=$(find_python); then
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        lacks "the venv module of $python   get it: sudo apt install python3-venv"
else
    lacks "Python 3.11 or newer   get it: sudo apt install python3 python3-venv (or sudo dnf install python3.12)"
fi

echo 'int main(void) { return 0; }' | cc -x c -o /dev/null - 2>/dev/null ||
    lacks "a C compiler that links, as cc   get it: sudo apt install gcc libc6-dev (or sudo dnf install gcc)"

# 1.88: the first with let chains, and with all that rust/ takes from the standard library.
rust=$(cargo --version 2>/dev/null | sed -nE 's/^cargo 1\.([0-9]+).*/\1/p')
if [ -z "$rust" ] || [ "$rust" -lt 88 ]; then
    lacks "Rust 1.88 or newer${rust:+ (cargo is 1.$rust)}   get it: curl --proto '=https' -sSf https://sh.rustup.rs | sh -s -- -y"
fi

if [ "${1:-}" = check ]; then
    cargo fmt --version >/dev/null 2>&1 ||
        lacks "rustfmt   get it: rustup component add rustfmt (or sudo apt install rustfmt)"
    cargo clippy --version >/dev/null 2>&1 ||
        lacks "clippy   get it: rustup component add clippy (or sudo apt install rust-clippy)"
fi

if [ "$problems" -gt 0 ]; then
    echo "then run make again" >&2
    exit 1
fi
echo "$python"
