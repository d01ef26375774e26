"""A home whose owner is killed over and over while terminals submit, pause, resume, decide, cancel and fork."""

import asyncio
import os
import random
import select
import shutil
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from multiagent.agents.calls import Word
from multiagent.app.ask import Ask
from multiagent.app.detach import start_owner
from multiagent.app.leaving import leave
from multiagent.app.place import Place
from multiagent.app.steer import hand_over
from multiagent.config.settings import Places
from multiagent.config.sources import load
from multiagent.core.travel import Changes
from multiagent.orchestrator.approvals import Decision
from multiagent.orchestrator.forking import Forking
from multiagent.testing.scripted_script import Reply, Rule, Script, ScriptedCall
from tests.chaos.house import DEADLINE_S, House, Run
from tests.house.tree import ROOT

SIMPLE = "Add up the squares, number {}"
TEAM = "Compare the regions, then analyse the trend and write a report, number {}"
ANSWER = "All is counted."
CODE = "print('LOOKED', sum(i * i for i in range(600_000)))"
SCRIPT = Script(
    rules=(
        Rule(Reply(kind="planner"), "decompose"),
        Rule(Reply(text=ANSWER, latency_s=0.1), "synthesize"),
        Rule(Reply(text=ANSWER, latency_s=0.15), contains="LOOKED"),
    ),
    default=Reply(
        text="LOOKED", calls=(ScriptedCall("python", msgspec.json.encode({"code": CODE}).decode()),), latency_s=0.15
    ),
)
"""Each agent runs one program, and then has its answer."""

RULE = """package multiagent.tools

import rego.v1

obligations contains "approve" if input.tool.name == "python"
"""
TEST = """package multiagent.ask_test

import rego.v1

agent := {"id": "u", "tenant": "t", "role": "user", "authenticated": true, "permissions": ["code_execution"], "agent": "a"}

tool := {"name": "python", "group": "code", "idempotent": true}

code := {"language": "python", "flags": [], "hash": "h", "length": 1}

test_programs_need_a_word if {
	decision := data.multiagent.tools.decision with input as {"user": agent, "tool": tool, "arguments": {"hash": "h"}, "labels": [], "code": code}
	decision.obligations == ["approve"]
}
"""  # noqa: E501
OWNERS = ("owner in the terminal", "detached owner", "detached by run --detach")
WORKER = "sandbox worker"
MOST_LOOKS = 150
ENDED = ("completed", "cancelled", "failed", "quarantined")


def strict_house(folder: Path, cache: Path, url: str) -> House:
    """Return a house where each program needs a person's word."""
    rules = folder / "policy"
    if not rules.exists():
        shutil.copytree(ROOT / "policies", rules)
        (rules / "tools_test.rego").unlink()
        (rules / "ask.rego").write_text(RULE, "utf-8")
        (rules / "ask_test.rego").write_text(TEST, "utf-8")
    house = House(folder / "home", cache, url)
    house.home.mkdir(parents=True)
    house.extra = {"MULTIAGENT_POLICY_DIR": str(rules), "MULTIAGENT_OWNER__IDLE_S": "60"}
    return house


def pause(seconds: float) -> None:
    """Let other processes work."""
    select.select([], [], [], seconds)


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in thread.read_text().split()]
    return found


def state_of(pid: int) -> str:
    """A process's state, one letter; Z where it has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


@dataclass(slots=True)
class Owner:
    """A process that owns the home: ours, or one that ``run --detach`` left behind (``process`` is None).

    ``before`` are the names of the owners before it.
    """

    kind: str
    pid: int
    process: "subprocess.Popen[str] | subprocess.Popen[bytes] | None"
    before: set[str]

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        if self.process is not None and self.process.poll() is not None:
            return False
        return state_of(self.pid) != "Z"

    def freeze(self) -> bool:
        """Stop it where it is, so that what it has in flight can be read; False where it has ended."""
        try:
            os.kill(self.pid, signal.SIGSTOP)
        except ProcessLookupError:
            return False
        while state_of(self.pid) not in "TZ":
            os.sched_yield()
        return self.lives

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill -9."""
        os.kill(self.pid, signal.SIGKILL)
        if self.process is not None:
            self.process.communicate(timeout=DEADLINE_S)
        while self.lives:
            os.sched_yield()

    def end(self) -> None:
        """Let it end in good order."""
        if self.lives:
            os.kill(self.pid, signal.SIGTERM)
        if self.process is not None:
            self.process.communicate(timeout=DEADLINE_S)
            assert self.process.returncode in (0, 3, -signal.SIGTERM, 128 + signal.SIGTERM), f"{self.kind} failed"


@dataclass(slots=True)
class Asked:
    """What terminals asked for: commands by id, the tasks by what was asked of them, decisions by approval."""

    commands: dict[str, str] = field(default_factory=dict)
    tasks: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    paused: set[str] = field(default_factory=set)
    decided: dict[str, bool] = field(default_factory=dict)
    terminals: list[subprocess.Popen[str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class Steered:
    """One home, its owner, and the terminals around it."""

    def __init__(self, house: House, seed: int, tasks: int, kills: Sequence[str]) -> None:
        self.house = house
        self.random = random.Random(seed)
        self.wanted = tasks
        self.kills = kills
        self.asked = Asked()
        self.lines: list[str] = []
        self.hits = Counter[str]()
        self.idle = 0
        self.hit_steps: set[str] = set()
        self.held = 0
        self.ends: list[Run] = []
        environment = house.environment()
        self._environment = environment
        self._place = Place(Places(str(house.home), str(house.cache)), load(house.home, environment))

    # --- terminals ---

    def submit(self) -> str:
        """Hand a task over, as `run` does where another process owns the home."""
        number = len(self.asked.tasks)
        query = (TEAM if number % 5 == 4 else SIMPLE).format(f"{number} {self.random.random()}")
        task = asyncio.run(hand_over(self._place, Ask(query), self._environment))
        self.asked.tasks.add(task)
        self.asked.commands[task] = "submit"
        return task

    def tell(self, kind: str, task: str, payload: bytes = b"") -> None:
        """Leave a command, as any terminal does, and do not wait."""
        command = asyncio.run(leave(self._place, kind, task, payload))
        self.asked.commands[command] = kind
        self.asked.counts[kind] += 1

    def by_hand(self, *arguments: str) -> None:
        """Use the real command line beside everything else."""
        self.asked.terminals.append(self.house.start(*arguments))
        self.asked.counts["in a terminal"] += 1

    def decide(self, *, everything: bool = False) -> None:
        """Give a word on what waits for one: mostly yes; sometimes two terminals speak at once."""
        rows = self.house.rows("SELECT id, task, args_hash FROM approvals WHERE state = 'pending' ORDER BY id")
        for identity, task, seen in rows:
            if identity in self.asked.decided or not (everything or self.random.random() < 0.8):
                continue
            yes = self.asked.decided[identity] = self.random.random() < 0.85
            if self.random.random() < 0.06:
                self.by_hand("approvals", "approve" if yes else "reject", str(identity))
                continue
            for _ in range(2 if self.random.random() < 0.1 else 1):
                decision = Decision(str(identity), Word(yes, reason="by chance"), str(seen))
                self.tell("decide", str(task), msgspec.json.encode(decision))

    def steer(self) -> None:
        """Sometimes pause, resume or cancel a task."""
        going = [task for task, status in sorted(self.house.tasks().items()) if status not in ENDED]
        if not going:
            return
        task, chance = self.random.choice(going), self.random.random()
        if chance < 0.06 and task not in self.asked.cancelled:
            self.asked.cancelled.add(task)
            self.tell("cancel", task, b"by chance")
        elif chance < 0.16:
            self.asked.paused.add(task)
            self.tell("pause", task, b"by chance")
        elif chance < 0.3 and self.asked.paused:
            self.tell("resume", self.asked.paused.pop())
        elif chance < 0.36:
            self.fork()

    def fork(self) -> None:
        """Fork any task that nobody cancels, at any of its cuts, whatever state it is in."""
        rows = self.house.rows("SELECT task, count(*) FROM journal WHERE kind <> 'end' GROUP BY task ORDER BY task")
        open_ones = [(str(task), int(count)) for task, count in rows if task not in self.asked.cancelled]
        if not open_ones:
            return
        parent, count = self.random.choice(open_ones)
        payload = msgspec.json.encode(Forking(parent, self.random.randint(0, count), Changes()))
        task = asyncio.run(leave(self._place, "fork", "", payload))
        self.asked.tasks.add(task)
        self.asked.commands[task] = "fork"
        self.asked.counts["fork"] += 1

    # --- owners ---

    def own(self, kind: str) -> Owner:
        """Start an owner of a kind, with something to do."""
        task, before = self.submit(), self.owners()
        if kind == OWNERS[0]:
            process = self.house.start("tasks", "follow", task, "--quiet")
            return Owner(kind, process.pid, process, before)
        if kind == OWNERS[2] and len(self.asked.tasks) < self.wanted:
            run = self.house.run("run", SIMPLE.format(self.random.random()), "--detach", "--json")
            assert run.code == 0, run.err
            left = str(run.record["task"])
            self.asked.tasks.add(left)
            self.asked.commands[left] = "submit"
            return Owner(kind, int(str(run.record["owner"])), None, before)
        background = start_owner(self._place, self._environment)
        return Owner(kind, background.pid, background, before)

    def _look(self, owner: Owner, wanted: str) -> bool:
        """Freeze the owner; where something is in flight kill, else let it go on. Tell whether it was a hit."""
        if not owner.freeze():
            return False
        flight = self.in_flight(owner)
        if wanted == WORKER:
            hit = self._hit_worker(owner, flight)
            owner.thaw()
            return hit
        if not flight or self._thrice():
            owner.thaw()
            return False
        self.held += self.house.held()
        owner.kill()
        self.hits[owner.kind] += 1
        waiting = len(self.waiting())
        self.lines.append(f"{owner.kind}: hit {', '.join(flight)}; {waiting} commands waited")
        return True

    def _hit_worker(self, owner: Owner, flight: list[str]) -> bool:
        programs = [step for step in flight if step.endswith("/run") and step not in self.hit_steps]
        busy = [child for child in children(owner.pid) if state_of(child) == "R"]
        if not programs or not busy:
            return False
        victim = self.random.choice(busy)
        os.kill(victim, signal.SIGKILL)
        self.hit_steps.update(programs)
        self.hits[WORKER] += 1
        self.lines.append(f"{WORKER}: hit {' or '.join(programs)}, of {owner.kind}")
        return True

    def in_flight(self, owner: Owner) -> list[str]:
        """The steps that run in this very owner: those it has begun, or taken up from the one before."""
        rows = self.house.rows("SELECT task, key, owner FROM results WHERE status = 'leased' ORDER BY task, key")
        return [f"{str(task)[-6:]}:{key}" for task, key, whose in rows if whose not in owner.before]

    def owners(self) -> set[str]:
        """The names under which owners have run steps so far."""
        return {str(name) for (name,) in self.house.rows("SELECT DISTINCT owner FROM results")}

    def own_events(self, task: str) -> list[tuple[str, str, dict[str, object]]]:
        """A task's events; of a fork those since its cut, after one for each result that it inherited."""
        events = self.house.events(task)
        cuts = [n for n, (_, kind, _) in enumerate(events) if kind == "task.forked"]
        if not cuts:
            return events
        inherited = self.house.rows("SELECT key FROM results WHERE task = ? AND inherited = 1", task)
        past: list[tuple[str, str, dict[str, object]]] = [("", "step.completed", {"step": key}) for (key,) in inherited]
        return past + events[cuts[-1] :]

    def _thrice(self) -> bool:
        """Whether a kill now might be the third of one step, which poisons it, rightly."""
        sql = """SELECT r.task, r.key FROM results r JOIN events e ON e.task = r.task AND e.kind = 'step.started'
         AND e.key LIKE r.key || '/%' WHERE r.status = 'leased' GROUP BY r.task, r.key HAVING count(*) > 2"""
        return bool(self.house.rows(sql))

    def waiting(self) -> list[tuple[object, ...]]:
        """Commands that nobody has taken, or taken and not delivered."""
        connection = sqlite3.connect(f"{(self.house.home / 'inbox.db').absolute().as_uri()}?mode=ro", uri=True)
        try:
            left = connection.execute("SELECT id FROM inbox").fetchall()
        finally:
            connection.close()
        return [*left, *self.house.rows("SELECT id FROM commands WHERE delivered_at IS NULL")]

    # --- the life of the home ---

    def live(self) -> "Steered":
        """Have all kills hit, then all tasks finished."""
        owner: Owner | None = None
        for wanted in self.kills:
            hit, looks = False, 0
            while not hit:
                if owner is None or not owner.lives:
                    if owner is not None:
                        owner.end()
                    owner = self.own(self.random.choice(OWNERS) if wanted == WORKER else wanted)
                self._moment()
                self._until_something(owner, "/run" if wanted == WORKER else "")
                looks += 1
                assert looks < MOST_LOOKS, f"no kill of the {wanted} hit anything: {self.lines}"
                hit = self._look(owner, wanted)
                self.idle += not hit
            if wanted != WORKER:
                owner = None
        if owner is not None:
            owner.end()
        self._finish()
        return self

    def _until_something(self, owner: Owner, end: str) -> None:
        """Wait for a moment that may hit, and then a little longer; or give up, as people have to speak first."""
        for _ in range(self.random.randint(5, 40)):
            if not owner.lives or any(step.endswith(end) for step in self.in_flight(owner)):
                break
            pause(0.01)
        pause(self.random.uniform(0, 0.05))

    def _moment(self) -> None:
        if len([1 for status in self.house.tasks().values() if status not in ENDED]) < 3:
            self.submit()
        self.decide()
        self.steer()

    def _finish(self) -> None:
        """Nothing is held back any more: all tasks end, in a background owner that then drains."""
        while len(self.asked.tasks) < self.wanted:
            self.submit()
        background = start_owner(self._place, self._environment)
        owner = Owner("the last owner", background.pid, background, self.owners())
        self.asked.paused.clear()
        for _ in range(3000):
            self.decide(everything=True)
            for task in [one for one, status in self.house.tasks().items() if status == "paused"]:
                if task not in self.asked.paused:
                    self.asked.paused.add(task)
                    self.tell("resume", task)
            statuses = self.house.tasks()
            if len(statuses) >= len(self.asked.tasks) and set(statuses.values()) <= set(ENDED) and not self.waiting():
                break
            pause(0.1)
        self.ends = [self.house.finish(one) for one in self.asked.terminals]
        owner.end()
