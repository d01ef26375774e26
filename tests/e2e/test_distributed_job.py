"""The README's job on the embedded engine, and on Temporal and PostgreSQL with a process a service: all the same."""

import asyncio
import json
import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from multiagent.app.build import TENANT
from multiagent.app.place import Place
from multiagent.config.settings import Places
from multiagent.config.sources import load
from multiagent.testing.servers.postgres import PostgresServer
from multiagent.testing.servers.temporal import TemporalServer
from tests.e2e.distributed import ROLES, serve, spread
from tests.e2e.services import Site, site
from tests.house.tree import ROOT

DEADLINE_S = 120


class Job(msgspec.Struct, frozen=True):
    """What a run of the job left: what it printed, and what each of its steps had for a result."""

    printed: dict[str, object]
    results: dict[str, bytes]

    @property
    def tools(self) -> dict[str, bytes]:
        """What each tool call came to."""
        return {key: value for key, value in self.results.items() if "/act/" in key}


def environment(where: Site) -> dict[str, str]:
    """A site's, with this Python's programs where the job looks for them."""
    return {name: value for name, value in where.environment().items() if value or not name.startswith("OPENAI_")}


async def results(where: Site, task: str) -> dict[str, bytes]:
    place = Place(Places(str(where.home), str(where.cache)), load(where.home, where.environment()))
    async with place.reader() as reader:
        assert reader is not None
        return {key: found.value for key, found in (await reader.results(TENANT, task)).items()}


def job(where: Site) -> Job:
    """Run the README's job at a site, as `make run` does."""
    done = subprocess.run(
        ["sh", str(ROOT / "examples" / "timezones.sh"), "--json", "--quiet"],
        env=environment(where), capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    return Job(printed, asyncio.run(results(where, printed["task"])))


@pytest.mark.requirement("T1.job")
def test_plan_tool_results_and_answer_are_the_same_on_both_engines(
    tmp_path: Path, sandbox_cache: Path, postgres_server: PostgresServer, temporal_server: TemporalServer
) -> None:
    """Every result of every step, byte for byte: who did it, and where, does not show."""
    with site(tmp_path / "alone", sandbox_cache, OPENAI_BASE_URL="", OPENAI_API_KEY="") as alone:
        alone.home.mkdir()
        embedded = job(alone)
    with spread(tmp_path / f"job-{os.getpid()}", sandbox_cache, postgres_server, temporal_server) as many:
        serve(many, *ROLES)
        distributed = job(many)
    assert embedded.printed["status"] == distributed.printed["status"] == "completed"
    assert embedded.results["decompose"] == distributed.results["decompose"]
    assert len(embedded.tools) > 3
    assert embedded.tools == distributed.tools
    assert embedded.printed["text"] == distributed.printed["text"]
    assert embedded.results == distributed.results
    for name in ("sources", "models"):
        assert sorted(map(str, embedded.printed[name])) == sorted(map(str, distributed.printed[name]))  # type: ignore[call-overload]
