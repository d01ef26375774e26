"""The command line with its policy on an OPA server: the same answers, and none without that server."""

from pathlib import Path

import pytest

from multiagent.testing.servers.opa import OpaProcess
from tests.chaos.house import House

QUERY = "What is 17% of 2340? Compute it."


def house_of(tmp_path: Path, cache: Path, url: str, timeout_s: str = "20") -> House:
    extra = {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": "", "MULTIAGENT_POLICY__URL": url}
    return House(tmp_path / "home", cache, "", extra | {"MULTIAGENT_POLICY__TIMEOUT_S": timeout_s})


@pytest.mark.requirement("S.safety.policy-server")
def test_a_task_runs_by_the_rules_of_the_server(tmp_path: Path, sandbox_cache: Path, opa_server: OpaProcess) -> None:
    house = house_of(tmp_path, sandbox_cache, opa_server.url)
    run = house.run("run", QUERY, "--json")
    assert run.code == 0, run.err
    assert "397.8" in str(run.record["text"])
    found = house.run("doctor")
    assert f"on {opa_server.url}" in found.out.replace("\n", " ")


def test_nothing_runs_where_the_server_is_away(tmp_path: Path, sandbox_cache: Path) -> None:
    house = house_of(tmp_path, sandbox_cache, "http://127.0.0.1:9", "0.5")
    run = house.run("run", QUERY)
    assert run.code != 0
    assert "cannot be reached" in run.err
    assert "Traceback" not in run.err
    assert house.run("doctor").code != 0
