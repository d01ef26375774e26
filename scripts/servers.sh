#!/bin/sh
# Fetches the real servers that tests need and this machine lacks, into .cache/servers/bin, once.
# Today that is OPA, which must decide as the embedded engine does. Versions are pinned.
set -eu
bin=$PWD/.cache/servers/bin
mkdir -p "$bin"

if command -v opa >/dev/null 2>&1 || [ -x "$bin/opa" ]; then
    echo "opa: there"
elif command -v go >/dev/null 2>&1; then
    echo "opa: building, under a minute"
    GOTOOLCHAIN=local CGO_ENABLED=0 GOBIN=$bin go install github.com/open-policy-agent/opa@v1.22.2
else
    echo "opa: needs Go (https://go.dev) or an opa on PATH; its tests are skipped without" >&2
fi
