"""The embedded engine on PostgreSQL: one process at a time works on the tasks of a database, from whichever home."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.distributed import until
from tests.e2e.services import Site, site
from tests.e2e.test_cli_approvals import RULE, TEST
from tests.house.tree import ROOT

SUM = "What is 17 * 3?"


@pytest.fixture
def pair(tmp_path: Path, sandbox_cache: Path, postgres: str) -> Iterator[tuple[Site, Site]]:
    """Two homes on one database. Sums need a person's word."""
    rules = tmp_path / "policy"
    shutil.copytree(ROOT / "policies", rules)
    (rules / "tools_test.rego").unlink()
    (rules / "ask.rego").write_text(RULE, "utf-8")
    (rules / "ask_test.rego").write_text(TEST, "utf-8")
    extra = {
        "MULTIAGENT_STORAGE__URL": postgres,
        "MULTIAGENT_POLICY_DIR": str(rules),
        "OPENAI_BASE_URL": "",
        "OPENAI_API_KEY": "",
    }
    with (
        site(tmp_path / "one", sandbox_cache, **extra) as one,
        site(tmp_path / "other", sandbox_cache, **extra) as other,
    ):
        yield one, other


def test_a_task_is_kept_where_every_home_finds_it(pair: tuple[Site, Site]) -> None:
    one, other = pair
    done = one.run("run", "Which is larger, three or seven?", "--json")
    assert done.returncode == 0, done.stderr
    task = json.loads(done.stdout)["task"]
    assert task in other.run("tasks", "list").stdout
    assert "identical" in other.run("replay", task).stdout
    assert not (one.home / "multiagent.db").exists()
    assert not (one.home / "inbox.db").exists()


def test_a_task_and_a_decision_from_another_home_go_to_the_process_that_works(pair: tuple[Site, Site]) -> None:
    """Edited arguments are checked by it, as those that come through an inbox are."""
    one, other = pair
    worker = one.serve()
    worker.until_ready()
    with other.start("run", SUM) as run:
        said = run.stderr
        assert said is not None
        until(lambda: "the process that works on the tasks of this database" in said.readline(), "not handed over")
        until(lambda: bool(json.loads(other.run("approvals", "list", "--json").stdout)), "nobody is asked")
        [asked] = json.loads(other.run("approvals", "list", "--json").stdout)
        odd = other.run("approvals", "approve", asked["approval"], "--set", "more=1")
        assert odd.returncode == 2
        assert "do not fit" in odd.stderr
        assert other.run("approvals", "approve", asked["approval"], "--set", "expression=3 + 4").returncode == 0
        assert "completed" in said.read()
        assert run.wait() == 0
    assert "7" in other.run("tasks", "show", asked["task"]).stdout


def test_a_task_left_in_the_background_is_done_there(pair: tuple[Site, Site]) -> None:
    one, _ = pair
    left = one.run("run", "Which is larger, three or seven?", "--detach")
    assert left.returncode == 0, left.stderr
    assert one.run("tasks", "wait", left.stdout.strip()).returncode == 0
