"""The examples of docs/agents.md do what the page says."""

from pathlib import Path

from multiagent.app.planfile import read_plan_file
from multiagent.orchestrator.given import Names
from tests.docs.test_docs_policy_tools import blocks


def test_the_plan_of_the_agents_page_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(blocks("agents.md", "yaml")[0], encoding="utf-8")
    plan = read_plan_file(path, Names(("python",), ("sales.csv",), (), 12))
    assert [(node.id, node.depends_on) for node in plan.tasks] == [
        ("rows", ()),
        ("groups", ()),
        ("report", ("rows", "groups")),
    ]
