"""The distributed platform for tests: a database and task queues of its own, and one process a service."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from multiagent.testing.servers.postgres import PostgresServer
from multiagent.testing.servers.temporal import TemporalServer
from tests.e2e.services import DEADLINE_S, Site, site

ROLES = ("orchestrator", "agent", "llm")


@contextmanager
def spread(
    folder: Path, cache: Path, postgres: PostgresServer, temporal: TemporalServer, **extra: str
) -> Iterator[Site]:
    """A site on both servers for a block; nothing serves there yet."""
    folder.mkdir()
    settings = {
        "MULTIAGENT_ENGINE": "temporal",
        "MULTIAGENT_STORAGE__URL": postgres.empty_database(),
        "MULTIAGENT_TEMPORAL__ADDRESS": temporal.address,
        "MULTIAGENT_TEMPORAL__QUEUES": folder.name,
        "OPENAI_BASE_URL": "",
        "OPENAI_API_KEY": "",
    }
    with site(folder / "home", cache, **settings, **extra) as made:
        yield made


def serve(site: Site, *roles: str) -> None:
    """Start a process of each of these services; return once all are ready."""
    for service in [site.serve(role) for role in roles]:
        service.until_ready()


def until(what: Callable[[], bool], missing: str) -> None:
    """Wait until something is so."""
    end = time.monotonic() + DEADLINE_S
    while not what():
        assert time.monotonic() < end, missing
        time.sleep(0.05)
