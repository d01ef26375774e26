"""A run is forked at each of its cuts: what comes later is done, what came before is inherited, for nothing."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from multiagent.agents.calls import Word
from multiagent.app.ask import Ask
from multiagent.app.build import Platform, open_platform
from multiagent.app.leaving import leave
from multiagent.config.settings import CacheSettings, Places, Settings, StorageSettings
from multiagent.core.task import TaskResult
from multiagent.core.travel import Changes
from multiagent.orchestrator.approvals import Decision
from multiagent.orchestrator.forking import Forking
from multiagent.testing.places import place_at
from multiagent.testing.scripted import ScriptedVendor
from multiagent.testing.scripted_script import Reply, Rule, Script, ScriptedCall
from tests.e2e.posting import posted
from tests.house.tree import ROOT

GUARD_S = 120
MODEL_STEPS = ("think", "decompose", "synthesize")
SEND = ScriptedCall("post", '{"text": "the news"}')
SCRIPT = Script(
    rules=(
        Rule(Reply(text="It is out."), contains="SENDING"),
        Rule(Reply(text="SENDING", calls=(SEND,)), contains="Post the news"),
    ),
    default=Reply(kind="planner"),
)
RULES = """package multiagent.tools

import rego.v1

allow if {
	member
	input.tool.name == "post"
}

obligations contains "approve" if input.tool.name == "post"
"""
TEST = """package multiagent.post_test

import rego.v1

agent := {"id": "u", "tenant": "t", "role": "user", "authenticated": true, "permissions": [], "agent": "a"}

post := {"name": "post", "group": "basic", "idempotent": false}

test_posting_needs_a_word if {
	decision := data.multiagent.tools.decision with input as {"user": agent, "tool": post, "arguments": {"hash": "h"}, "labels": []}
	decision.obligations == ["approve"]
}
"""  # noqa: E501
PLANS = {
    "simple": "",
    "parallel": """\
mode: standard
tasks:
  - {id: product, instruction: "What is 6 * 7?", tools: [calculator]}
  - {id: sum, instruction: "What is 40 + 4?", tools: [calculator]}
  - {id: both, instruction: "What is 42 + 44?", tools: [calculator], depends_on: [product, sum]}
""",
    "effect": "mode: simple\ntasks:\n  - {id: press, instruction: Post the news, tools: [post]}\n",
}
QUERIES = {"simple": "What is 17 * 23 + 4?", "parallel": "Do the sums", "effect": "Tell everybody"}


@dataclass(slots=True)
class Scene:
    """An open platform with a vendor of its own; ``says`` is what the person answers, None: nobody does."""

    platform: Platform
    vendor: ScriptedVendor
    home: Path
    says: bool = True

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Read the database past the program under test."""
        connection = sqlite3.connect(f"{(self.home / 'multiagent.db').as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    async def settled(self, task: str) -> TaskResult:
        """Decide what is asked until a task has ended; return its result."""
        async with asyncio.timeout(GUARD_S):
            ending = asyncio.create_task(self.platform.settled(task))
            while not ending.done():
                await self._decide()
                await asyncio.wait([ending], timeout=0.05)
            done = await ending
        assert done.status == "completed", done
        return msgspec.json.decode(done.value, type=TaskResult)

    async def _decide(self) -> None:
        for identity, task, seen in self.rows("SELECT id, task, args_hash FROM approvals WHERE state = 'pending'"):
            decision = Decision(str(identity), Word(self.says, reason="as the test says"), str(seen))
            await leave(place_at(self.home), "decide", str(task), msgspec.json.encode(decision))

    async def run(self, kind: str, folder: Path) -> str:
        """Run a task of a kind to its end; return its id."""
        plan = None
        if PLANS[kind]:
            plan = folder / f"{kind}.yaml"
            plan.write_text(PLANS[kind], "utf-8")
        task = await self.platform.submit(Ask(QUERIES[kind], plan=plan))
        await self.settled(task)
        return task

    async def forks(self, parent: str) -> dict[int, str]:
        """Fork a run at each of its cuts, all at once; return each cut's fork, ended."""
        count = len(self.journal(parent))
        made = {
            cut: await leave(place_at(self.home), "fork", "", msgspec.json.encode(Forking(parent, cut, Changes())))
            for cut in range(count + 1)
        }
        async with asyncio.timeout(GUARD_S):
            begun = "SELECT 1 FROM task_executions WHERE parent_id = ?"
            while len(self.rows(begun, parent)) < len(made):  # noqa: ASYNC110 — another connection writes them
                await asyncio.sleep(0)
        for fork in made.values():
            await self.settled(fork)
        return made

    def journal(self, task: str) -> list[tuple[str, str]]:
        """Kind and step of each outcome, in order, but the end."""
        sql = "SELECT kind, key FROM journal WHERE task = ? AND kind <> 'end' ORDER BY n"
        return [(str(kind), str(key).rpartition("~")[0]) for kind, key in self.rows(sql, task)]

    def result(self, task: str) -> TaskResult:
        """A task's stored result."""
        [(stored,)] = self.rows("SELECT result FROM task_executions WHERE id = ?", task)
        return msgspec.json.decode(stored, type=TaskResult)


@asynccontextmanager
async def opened(folder: Path, cache: Path, *, caching: bool) -> AsyncIterator[Scene]:
    """A platform in a folder, with a vendor that is asked for whatever no cache has."""
    rules = folder / "policy"
    shutil.copytree(ROOT / "policies", rules)
    (rules / "tools_test.rego").unlink()
    (rules / "post.rego").write_text(RULES, "utf-8")
    (rules / "post_test.rego").write_text(TEST, "utf-8")
    settings = Settings(
        cache=CacheSettings(enabled=caching), storage=StorageSettings(synchronous="NORMAL"),
        policy_dir=str(rules), load="tests.e2e.posting:post",
    )  # fmt: skip
    async with ScriptedVendor(SCRIPT) as vendor:
        environment = {"OPENAI_BASE_URL": vendor.url, "OPENAI_API_KEY": "test-key"}
        home = folder / "home"
        async with open_platform(Places(str(home), str(cache)), settings, environment) as platform:
            posted.clear()
            yield Scene(platform, vendor, home)


def inherits_for_nothing(scene: Scene, parent: str, cut: int, fork: str) -> None:
    """Only steps after the cut ran, only they cost, and no id of the parent's is used again."""
    journal = scene.journal(parent)
    before = {key for kind, key in journal[:cut] if kind in ("result", "failed")}
    stored = scene.rows("SELECT key, inherited FROM results WHERE task = ?", fork)
    assert {key for key, inherited in stored if inherited} == before
    ran = {key for key, inherited in stored if not inherited}
    cuts = scene.rows("SELECT max(seq) FROM events WHERE task = ? AND kind = 'task.forked'", fork)
    started = scene.rows(
        "SELECT key FROM events WHERE task = ? AND kind = 'step.started' AND seq > ?", fork, cuts[0][0]
    )
    assert {str(key).rsplit("/", 3)[0] for (key,) in started} == ran
    assert len(started) == len(ran), "a step ran twice"
    costs = scene.rows("SELECT step, cost_pico FROM usage WHERE task = ?", fork)
    assert {step for step, _ in costs} <= ran
    [(cost,)] = scene.rows("SELECT total_cost_pico FROM task_executions WHERE id = ?", fork)
    assert cost == scene.result(fork).bill.cost_pico == sum(pico for _, pico in costs)
    for table in ("events", "approvals", "usage", "reservations"):
        ids = [
            {one for (one,) in scene.rows(f"SELECT id FROM {table} WHERE task = ?", task)} for task in (parent, fork)
        ]
        assert not ids[0] & ids[1], table


def model_steps(scene: Scene, *tasks: str) -> list[str]:
    """The model steps that tasks ran themselves."""
    sql = "SELECT key FROM results WHERE task = ? AND inherited = 0"
    keys = [str(key) for task in tasks for (key,) in scene.rows(sql, task)]
    return [key for key in keys if any(part in MODEL_STEPS for part in key.split("/"))]


@pytest.mark.requirement("C2.fork")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("caching", [False, True], ids=["caches off", "caches on"])
@pytest.mark.parametrize("kind", ["simple", "parallel"])
async def test_a_fork_at_each_cut_runs_what_is_later_and_ends_the_same(
    tmp_path: Path, sandbox_cache: Path, kind: str, caching: bool
) -> None:
    """The vendor is called once for each later model step; with caches only for answers that call tools."""
    async with opened(tmp_path, sandbox_cache, caching=caching) as scene:
        parent = await scene.run(kind, tmp_path)
        before = scene.vendor.calls
        assert before == len(model_steps(scene, parent))
        forks = await scene.forks(parent)
        for cut, fork in forks.items():
            inherits_for_nothing(scene, parent, cut, fork)
            assert scene.result(fork).text == scene.result(parent).text
            assert scene.result(fork).sources == scene.result(parent).sources
        later = model_steps(scene, *forks.values())
        asked = scene.vendor.calls - before
        print(f"{kind}: {len(forks)} forks, {len(later)} model steps after the cuts, {asked} vendor calls")
        calling = [step for step in later if step.endswith("think/1")]
        assert asked == len(calling if caching else later), "only answers that call tools are never from a cache"
        assert len(later) < len(forks) * before


@pytest.mark.requirement("C2.fork")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("caching", [False, True], ids=["caches off", "caches on"])
@pytest.mark.parametrize("says", [True, False], ids=["approved again", "rejected"])
async def test_an_effect_happens_again_only_by_a_persons_new_word(
    tmp_path: Path, sandbox_cache: Path, says: bool, caching: bool
) -> None:
    """The parent's approval counts for no fork; a fork past the effect never asks, and never does it."""
    async with opened(tmp_path, sandbox_cache, caching=caching) as scene:
        parent = await scene.run("effect", tmp_path)
        assert posted == [(parent, "the news")]
        before, scene.says = scene.vendor.calls, says
        forks = await scene.forks(parent)
        journal, doing = scene.journal(parent), set[str]()
        done_at = next(n for n, (_, key) in enumerate(journal, 1) if key.endswith("/run"))
        for cut, fork in forks.items():
            inherits_for_nothing(scene, parent, cut, fork)
            decided = [state for (state,) in scene.rows("SELECT state FROM approvals WHERE task = ?", fork)]
            assert len(decided) == (cut < done_at), f"cut {cut}"
            assert set(decided) <= {"consumed" if says else "rejected"}
            if says or cut >= done_at:
                assert scene.result(fork).text == scene.result(parent).text
            if cut < done_at and says:
                doing.add(fork)
        assert sorted(posted) == sorted([(parent, "the news"), *((fork, "the news") for fork in doing)])
        later = model_steps(scene, *forks.values())
        asked = scene.vendor.calls - before
        print(
            f"effect: {len(forks)} forks, {len(doing)} did it anew by a word, {len(later)} model steps, {asked} calls"
        )
        assert asked < len(later) if caching else asked == len(later)
