#!/bin/sh
# The sample job: a report over the IANA time-zone tables, computed by a team of agents, each in the sandbox.
# No key and no server is needed. Arguments are handed on (`sh examples/timezones.sh --json`).
set -eu
bin=$(dirname "$0")/../.venv/bin
tables=$("$bin/python" -c 'import importlib.resources; print(importlib.resources.files("tzdata") / "zoneinfo")')
"$bin/multiagent" sandbox build
exec "$bin/multiagent" run \
    "Report on the time-zone tables. In zone.tab, which country codes have the most zones? \
In zone1970.tab, how many zones are shared by more than one country? \
In iso3166.tab, how many countries are listed? Then summarise what the three tables say together." \
    --attach "$tables/zone.tab" --attach "$tables/zone1970.tab" --attach "$tables/iso3166.tab" "$@"
