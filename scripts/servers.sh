#!/bin/sh
# Fetches the real servers that tests need and this machine lacks. Embedded mode needs none; the list grows with
# the parts that do (PostgreSQL, Redis, Temporal, OPA).
echo "No test needs a server today: nothing to fetch."
