"""Kill -9 at any moment while people steer: no task is lost or stuck, no command is taken twice, nothing is redone."""

import os
import random
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.house import calls, done_twice, vendor
from tests.chaos.steered import ANSWER, OWNERS, SCRIPT, WORKER, Steered, strict_house

TASKS = 200
KILLS = 100
KILLS_A_HOME = 10
SCALE = float(os.environ.get("CHAOS_SCALE", "1"))
"""A share of the whole size, for a look in passing; figures of a smaller run are no proof of the promise."""
ORDER = (OWNERS[1], OWNERS[0], WORKER, OWNERS[1], OWNERS[2], WORKER, OWNERS[0], OWNERS[1], WORKER, OWNERS[0])
LATE = ("has ended", "already", "takes no more signals")
"""Why a command may be refused: it came after its task's end, or after another decision."""


@pytest.mark.requirement("C1.kills", "C1.commands")
@pytest.mark.timeout(1500)
@pytest.mark.xdist_group("chaos-control")
def test_kills_while_people_steer_lose_repeat_and_stick_nothing(tmp_path: Path, sandbox_cache: Path) -> None:
    """200 tasks, 100 kills that hit: each ends as it was steered, each command is taken once, bills are true."""
    seed = int(os.environ.get("MULTIAGENT_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
    sys.stdout.write(f"seed {seed}\n")
    homes = max(1, round(SCALE * KILLS / KILLS_A_HOME))
    with vendor(tmp_path, SCRIPT) as (url, ledger):
        all_homes = [
            Steered(
                strict_house(tmp_path / f"{n}", sandbox_cache, url), seed + n, TASKS // (KILLS // KILLS_A_HOME), ORDER
            )
            for n in range(homes)
        ]
        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(home.live) for home in all_homes]
            for one in waiting:
                one.result()
        for line in (line for home in all_homes for line in home.lines):
            sys.stdout.write(line + "\n")
        for home in all_homes:
            _nothing_lost(home)
            _commands_once(home)
        _bills(all_homes, calls(ledger)["tokens"])
    _say(all_homes)
    assert sum(sum(home.hits.values()) for home in all_homes) >= homes * KILLS_A_HOME
    assert sum(len(home.asked.tasks) for home in all_homes) >= homes * TASKS // (KILLS // KILLS_A_HOME)


def _nothing_lost(home: Steered) -> None:
    """Every task has ended as it was told to, and did nothing twice."""
    statuses = home.house.tasks()
    assert set(statuses) == home.asked.tasks, "a task was lost, or nobody knows where it came from"
    stopped = {task for task, status in statuses.items() if status == "cancelled"}
    assert stopped <= home.asked.cancelled
    others = {task: status for task, status in statuses.items() if task not in stopped}
    assert set(others.values()) <= {"completed"}, home.house.rows("SELECT id, status, error FROM task_executions")
    for task in statuses:
        events = home.own_events(task)
        assert done_twice(events) == [], f"{task}: a committed step ran again"
        kinds = Counter(kind for _, kind, _ in events)
        assert kinds["task.completed"] + kinds["task.cancelled"] == 1, f"{task}: ended more than once"
    assert {step.partition(":")[0] for step in home.house.in_flight()} <= {task[-6:] for task in stopped}
    texts = home.house.rows("SELECT id, result FROM task_executions WHERE status = 'completed'")
    assert all(ANSWER in str(bytes(text), "utf-8") for _, text in texts), "another answer than the undisturbed one"


def _commands_once(home: Steered) -> None:
    """Each command that a terminal left was taken, once; what it asked for happened once or was refused for good."""
    assert home.waiting() == [], "a command waits for ever"
    rows = home.house.rows("SELECT id, task, kind, error FROM commands")
    known = Counter(str(identity) for identity, *_ in rows)
    assert set(known.values()) <= {1}
    assert not set(home.asked.commands) - set(known), "a command was lost"
    signals = home.house.rows("SELECT task, key FROM journal WHERE kind = 'signal'")
    fed = Counter((str(task), str(key).rpartition("~")[2]) for task, key in signals)
    for identity, task, kind, error in rows:
        assert kind == home.asked.commands.get(str(identity), kind)
        assert not error or any(word in str(error) for word in LATE), (kind, error)
        if kind in ("decide", "pause", "resume"):
            times = fed[str(task), str(identity)]
            assert times == (0 if error else 1), f"{kind} {identity} was fed {times} times: {error}"
    for approval, task, state, by in home.house.rows("SELECT id, task, state, consumed_by FROM approvals"):
        said = home.house.rows("SELECT 1 FROM events WHERE task = ? AND key = ?", task, f"decided/{approval}")
        assert len(said) <= 1
        assert state != "consumed" or (by and home.asked.decided[str(approval)]), "used without a person's yes"
    assert all(run.code in (0, 2) and "Traceback" not in run.err for run in home.ends), [run.err for run in home.ends]


def _bills(homes: list[Steered], vendor_tokens: int) -> None:
    booked = 0
    for home in homes:
        assert home.house.held() == 0, "a reservation is still open"
        (used,) = home.house.rows("SELECT coalesce(sum(prompt + completion), 0) FROM usage")[0]
        (lost,) = home.house.rows("SELECT coalesce(sum(need_tokens), 0) FROM reservations WHERE state = 'lost'")[0]
        booked += int(used) + int(lost)
    sys.stdout.write(f"vendor billed {vendor_tokens} tokens, settled and lost {booked}\n")
    assert vendor_tokens <= booked


def _say(homes: list[Steered]) -> None:
    hits, counts, statuses = Counter[str](), Counter[str](), Counter[str]()
    for home in homes:
        hits += home.hits
        counts += home.asked.counts
        statuses += Counter(home.house.tasks().values())
    words = Counter(yes for home in homes for yes in home.asked.decided.values())
    sys.stdout.write(
        f"{sum(hits.values())} kills that hit: {dict(hits)}; {sum(home.idle for home in homes)} idle ones\n"
        f"{sum(statuses.values())} tasks: {dict(statuses)}; 0 lost, 0 stuck, 0 steps done twice\n"
        f"commands beside the tasks: {dict(counts)}; {words[True]} programs approved, {words[False]} rejected\n"
    )
