#!/bin/sh
# Resolves pyproject.toml anew into requirements/*.lock: hashes for every platform, no index address.
set -eu
compile() {
    lock=$1
    shift
    .venv/bin/uv pip compile "$@" --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header --output-file "requirements/$lock.lock"
}
compile run pyproject.toml --group build "${@}"
compile distributed pyproject.toml --extra distributed --extra local-servers --group build \
    --constraint requirements/run.lock "${@}"
compile dev pyproject.toml --extra distributed --extra local-servers --group build --group dev \
    --constraint requirements/distributed.lock "${@}"
compile bench-langgraph --group bench-langgraph "${@}"
