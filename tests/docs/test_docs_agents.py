"""The examples of docs/agents.md do what the page says."""

import json
import os
import subprocess
import sys
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


def test_the_agent_and_the_tool_of_the_agents_page_run(tmp_path: Path, sandbox_cache: Path) -> None:
    (tmp_path / "my_agents.py").write_text(blocks("agents.md", "python")[0], encoding="utf-8")
    (tmp_path / "plan.yaml").write_text(blocks("agents.md", "yaml")[1], encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MULTIAGENT_", "OPENAI_"))}
    done = subprocess.run(
        [
            sys.executable, "-m", "multiagent.cli.main", "run", "What are 100 dollars in euro?", "--plan", "plan.yaml",
            "--load", "my_agents:parts", "--json",
        ],
        cwd=tmp_path,
        env={**kept, "MULTIAGENT_HOME": str(tmp_path / "home"), "MULTIAGENT_CACHE": str(sandbox_cache)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    agents = {one["id"]: one for one in told["agents"]}
    assert agents["euro"]["result"] == "100 dollars are 92 euro. 40 + 2 = **42**"
    assert agents["euro"]["tool_calls"] == 2
