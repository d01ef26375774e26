"""Kill -9 at any moment: every accepted task still finishes, and nothing that was committed is done again."""

import os
import random
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.chaos.house import House, Job, calls, done_twice, kill, substance, vendor

TASKS = 100
KILLS = 30
BUDGETS = {
    "MULTIAGENT_BUDGET__REQUEST_USD": "100",
    "MULTIAGENT_BUDGET__TASK_USD": "1000",
    "MULTIAGENT_BUDGET__TASK_TOKENS": "20000000",
    "MULTIAGENT_BUDGET__USER_DAY_USD": "100000",
}
"""Of every home: each is at least ``ROOM`` times what a job may need, so that what kills lose is always there."""
ROOM = 10
HOMES = 15
"""Two kills each: a third one in the same step would rightly poison it."""
POINTS = (
    "after-append-before-act",
    "after-start-before-run",
    "after-run-before-store",
    "gate.after-reserve",
    "gate.after-answer-before-settle",
)


@dataclass(slots=True)
class Reference:
    """What an undisturbed run of a job gives, how long it takes and how often it asks the vendor."""

    text: str
    substance: dict[str, object]
    calls: int
    seconds: float


@dataclass(slots=True)
class Tally:
    """What one home saw: the task of each job, kills that hit, calls that were in flight at them."""

    lines: list[str] = field(default_factory=list)
    tasks: dict[str, int] = field(default_factory=dict)
    hits: int = 0
    held: int = 0


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    """Four kinds of work."""
    folder = tmp_path_factory.mktemp("files")
    rng = random.Random(7)
    sales = folder / "sales.csv"
    lines = [f"{rng.choice('abc')},{rng.randrange(100)},{rng.random():.3f}" for _ in range(60)]
    sales.write_text("shop,amount,rate\n" + "\n".join(lines) + "\n", "utf-8")
    stock = folder / "stock.tsv"
    stock.write_text("shop\tcity\n" + "a\tBern\nb\tGraz\nc\tLinz\n", "utf-8")
    note = folder / "note.txt"
    note.write_text("The shop in Bern closes in May. The shop in Linz grows.\n\nGraz is as it was.\n", "utf-8")
    return [
        Job("What is 17 * 23 + 4?"),
        Job("Which shop has the largest total amount, and is there an outlier in rate?", (sales,)),
        Job("Report on these files: totals by shop, and how do they relate?", (sales, stock)),
        Job("Summarise the note and count its words. Then list the totals by shop.", (note, sales)),
    ]


def _reference(house: House, job: Job, ledger: Path) -> Reference:
    before = calls(ledger)["began"]
    start = time.monotonic()
    run = house.run("run", *job.arguments, "--json")
    seconds = time.monotonic() - start
    assert run.code == 0, run.err
    events = house.events(str(run.record["task"]))
    assert done_twice(events) == []
    return Reference(str(run.record["text"]), substance(events), calls(ledger)["began"] - before, seconds)


class Killer:
    """Runs jobs in one home, killing some of them."""

    def __init__(self, house: House, jobs: list[Job], references: list[Reference], seed: int) -> None:
        self.house = house
        self.jobs = jobs
        self.references = references
        self.random = random.Random(seed)
        self.tally = Tally()

    def undisturbed(self, job: int) -> None:
        """Run a job; it also takes up what was left behind."""
        run = self.house.run("run", *self.jobs[job].arguments, "--json", "--quiet")
        assert run.code == 0, run.err
        self.tally.tasks[str(run.record["task"])] = job

    def killed(self, job: int, point: str) -> bool:
        """Run a job and kill its process, at a named point or at a random moment; tell whether something was hit."""
        known = set(self.house.tasks())
        start = time.monotonic()
        count = f":{self.random.randint(1, 4)}" if point else ""
        process = self.house.start("run", *self.jobs[job].arguments, "--json", fault=point + count)
        after = self.random.uniform(0, self.references[job].seconds)
        if not point:
            try:
                process.communicate(timeout=after)
            except subprocess.TimeoutExpired:
                kill(process)
        else:
            self.house.finish(process)
        waited = time.monotonic() - start
        for task in set(self.house.tasks()) - known:
            self.tally.tasks[task] = job
        under_way = [task for task, status in self.house.tasks().items() if status not in {"completed", "queued"}]
        hit, held = self.house.in_flight(), self.house.held()
        where = f"kill after {waited:.2f} s at {point or 'a moment'}"
        if process.returncode == 0 or not under_way or not (hit or point):
            self.tally.lines.append(f"{where}: idle, does not count")
            return False
        self.tally.hits += 1
        self.tally.held += held
        what = ", ".join(hit) or "an outcome that was committed and not yet acted on"
        self.tally.lines.append(f"{where}: hit {what}; {held} calls in flight")
        return True


def _live(killer: Killer, tasks: int, kills: list[str]) -> Tally:
    """Have ``tasks`` tasks accepted in one home, with these kills among them, then let all of them finish."""
    plan = [*kills, *([None] * (tasks - len(kills)))]
    killer.random.shuffle(plan)
    for point in plan:
        if point is None:
            killer.undisturbed(killer.random.randrange(len(killer.jobs)))
            continue
        tries = 0
        while not killer.killed(killer.random.randrange(len(killer.jobs)), point):
            tries += 1
            assert tries < 60, f"no kill at {point or 'random moments'} hit anything: {killer.tally.lines}"
    while len(killer.tally.tasks) < tasks:  # a kill may come before its task was accepted
        killer.undisturbed(killer.random.randrange(len(killer.jobs)))
    for task, status in killer.house.tasks().items():
        if status != "completed":
            run = killer.house.run("tasks", "follow", task, "--json")
            assert run.code == 0, run.err
    return killer.tally


@pytest.mark.requirement("A3")
@pytest.mark.timeout(1500)
@pytest.mark.xdist_group("chaos-tasks")
def test_kills_lose_nothing_and_repeat_nothing(tmp_path: Path, jobs: list[Job], sandbox_cache: Path) -> None:
    """100 tasks, 30 kills that hit: none lost or stuck, no committed step again, the same answers, true bills."""
    seed = int(os.environ.get("MULTIAGENT_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
    sys.stdout.write(f"seed {seed}\n")
    with vendor(tmp_path) as (url, ledger):
        first = House(tmp_path / "reference", sandbox_cache, url, BUDGETS)
        references = [_reference(first, job, ledger) for job in jobs]
        _roomy(first)
        for reference, job in zip(references, jobs, strict=True):
            reference.seconds = statistics.median([reference.seconds, *(_timed(first, job) for _ in range(2))])
        begun = calls(ledger)
        killers = [
            Killer(House(tmp_path / f"home{n}", sandbox_cache, url, BUDGETS), jobs, references, seed + n)
            for n in range(HOMES)
        ]
        points = [*POINTS, *([""] * (KILLS - len(POINTS)))]
        with ThreadPoolExecutor(2) as pool:
            waiting = [
                pool.submit(_live, killer, -(-TASKS // HOMES), points[n::HOMES]) for n, killer in enumerate(killers)
            ]
            tallies = [one.result() for one in waiting]
        for line in (line for tally in tallies for line in tally.lines):
            sys.stdout.write(line + "\n")
        _judge(killers, tallies, references, calls(ledger)["began"] - begun["began"])
        _bills(killers, calls(ledger)["tokens"] - begun["tokens"])


def _roomy(house: House) -> None:
    """Each budget is ``ROOM`` times the bounds of the dearest job's calls, or more; a day's, of all jobs of a home."""
    bounds = """SELECT max(need_tokens), max(need_pico) FROM (
        SELECT sum(need_tokens) AS need_tokens, sum(need_pico) AS need_pico FROM reservations GROUP BY task)"""
    ((tokens, pico),) = house.rows(bounds)
    ((request,),) = house.rows("SELECT max(need_pico) FROM reservations")
    usd = {name.removeprefix("MULTIAGENT_BUDGET__"): int(amount) * 10**12 for name, amount in BUDGETS.items()}
    assert int(BUDGETS["MULTIAGENT_BUDGET__TASK_TOKENS"]) >= ROOM * tokens > 0
    assert usd["REQUEST_USD"] >= ROOM * request > 0
    assert usd["TASK_USD"] >= ROOM * pico > 0
    assert usd["USER_DAY_USD"] >= ROOM * pico * 2 * TASKS / HOMES


def _timed(house: House, job: Job) -> float:
    start = time.monotonic()
    assert house.run("run", *job.arguments, "--json", "--quiet").code == 0
    return time.monotonic() - start


def _judge(killers: list[Killer], tallies: list[Tally], references: list[Reference], began: int) -> None:
    assert sum(tally.hits for tally in tallies) >= KILLS
    expected = 0
    for killer, tally in zip(killers, tallies, strict=True):
        statuses = killer.house.tasks()
        assert set(statuses) == set(tally.tasks), "a task was lost, or nobody knows where it came from"
        assert set(statuses.values()) == {"completed"}
        for task, job in tally.tasks.items():
            events = killer.house.events(task)
            assert done_twice(events) == [], f"{task}: a committed step ran again"
            assert substance(events) == references[job].substance, f"{task}: another plan, answer or tool result"
            expected += references[job].calls
    in_flight = sum(tally.held for tally in tallies)
    count = sum(len(tally.tasks) for tally in tallies)
    sys.stdout.write(
        f"{count} tasks, 0 lost, 0 stuck; vendor calls {began}, needed {expected}, in flight at kills {in_flight}\n"
    )
    assert count >= TASKS
    assert began - expected <= in_flight


def _bills(killers: list[Killer], vendor_tokens: int) -> None:
    booked = 0
    for killer in killers:
        assert killer.house.held() == 0, "a reservation is still open"
        (used,) = killer.house.rows("SELECT coalesce(sum(prompt + completion), 0) FROM usage")[0]
        (lost,) = killer.house.rows("SELECT coalesce(sum(need_tokens), 0) FROM reservations WHERE state = 'lost'")[0]
        booked += int(str(used)) + int(str(lost))
    sys.stdout.write(f"vendor billed {vendor_tokens} tokens, settled and lost {booked}\n")
    assert vendor_tokens <= booked
