#!/bin/sh
# Fetches the real servers that tests and `make distributed` need and this machine lacks, into .cache/servers/bin, once.
# OPA, which must decide as the embedded engine does, and Temporal; PostgreSQL comes as a wheel. Versions are pinned.
set -eu
bin=$PWD/.cache/servers/bin
mkdir -p "$bin"

fetch() { # program, module@version, how long it takes
    if command -v "$1" >/dev/null 2>&1 || [ -x "$bin/$1" ]; then
        echo "$1: there"
    elif ! command -v go >/dev/null 2>&1; then
        echo "$1: needs Go (https://go.dev) to be built, or a $1 on PATH; what needs it is skipped without" >&2
    else
        echo "$1: building, $3, once"
        GOTOOLCHAIN=local CGO_ENABLED=0 GOBIN=$bin go install "$2" || {
            echo "$1: $2 could not be built with $(go version); put a $1 on PATH, or see above" >&2
            exit 1
        }
    fi
}

fetch opa github.com/open-policy-agent/opa@v1.22.2 "under a minute"
fetch temporal github.com/temporalio/cli/cmd/temporal@v1.5.1 "under 3 minutes"
