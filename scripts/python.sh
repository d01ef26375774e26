#!/bin/sh
# Prints the path of a Python >= 3.11 ($PYTHON first), or says how to get one.
for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        command -v "$candidate"
        exit 0
    fi
done
while IFS= read -r line; do echo "$line" >&2; done <<'MESSAGE'
multiagent needs Python 3.11 or newer with its venv module, and found none on PATH.
  Debian, Ubuntu:  apt-get install python3 python3-venv
  macOS:           brew install python@3.13
  any other place: PYTHON=/path/to/python3 make run
MESSAGE
exit 1
