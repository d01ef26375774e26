# One line a verb. `make run` and `make test` are the two commands of the README.
.PHONY: run distributed test test-unit fmt lint type bench servers golden lock clean
unexport PYTHONDONTWRITEBYTECODE # it would recompile every import of every run
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest
JOBS ?= auto

run: .venv/.run      ## the sample job, on real files: no key, no server
	@sh examples/timezones.sh
distributed: .venv/.distributed ## the same job on Temporal and PostgreSQL, a process a service: ARGS=--keep leaves it up
	@sh scripts/servers.sh && $(BIN)/python scripts/distributed.py $(ARGS)
test: .venv/.dev     ## every test
	@$(PYTEST) -n $(JOBS) --dist loadgroup
test-unit: .venv/.dev ## the quick ones
	@$(PYTEST) -n $(JOBS) --dist loadgroup tests/unit
fmt: .venv/.dev      ## rewrite to the one format
	@$(BIN)/ruff check --fix-only --quiet . ; $(BIN)/ruff format .
lint: .venv/.dev     ## format, rules, floors
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/lint-imports
type: .venv/.dev     ## strict types
	@$(BIN)/mypy
bench: .venv/.dev .cache/langgraph/.ready ## every number beside its baseline
	@$(BIN)/python -m benchmarks
servers: .venv/.dev  ## fetch what real-server tests need
	@sh scripts/servers.sh
golden: servers      ## record the golden histories of Temporal's server again
	@$(BIN)/python -m tests.replay.golden_temporal
lock: .venv/.dev     ## resolve the locks anew
	@sh scripts/lock.sh
clean:               ## drop what the other verbs made
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

.venv/bin/python:
	@python=$$(sh scripts/python.sh) && "$$python" -m venv .venv
.venv/.run: .venv/bin/python requirements/run.lock pyproject.toml
	@$(PIP) install --quiet --require-hashes -r requirements/run.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable . && touch $@
.venv/.distributed: .venv/.run requirements/distributed.lock
	@$(PIP) install --quiet --require-hashes -r requirements/distributed.lock && touch $@
.venv/.dev: .venv/.run requirements/dev.lock
	@$(PIP) install --quiet --require-hashes -r requirements/dev.lock && touch $@
.cache/langgraph/.ready: requirements/bench-langgraph.lock
	@python=$$(sh scripts/python.sh) && "$$python" -m venv .cache/langgraph
	@.cache/langgraph/bin/python -m pip install --quiet --require-hashes -r $< && touch $@
