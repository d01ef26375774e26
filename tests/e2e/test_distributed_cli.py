"""Every command of the terminal where services do the work, on Temporal and PostgreSQL."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from multiagent.testing.servers.postgres import PostgresServer
from multiagent.testing.servers.temporal import TemporalServer
from tests.e2e.distributed import ROLES, serve, spread, until
from tests.e2e.services import DEADLINE_S, Site
from tests.e2e.test_cli_approvals import RULE, TEST
from tests.house.tree import ROOT

pytestmark = pytest.mark.xdist_group("distributed-cli")

SUM = "What is 17 * 3?"
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def platform(
    tmp_path_factory: pytest.TempPathFactory,
    sandbox_cache: Path,
    postgres_server: PostgresServer,
    temporal_server: TemporalServer,
) -> Iterator[Site]:
    """A platform whose services are up, for all tests of this module. Sums need a person's word where one is asked."""
    folder = tmp_path_factory.mktemp("platform") / f"cli-{os.getpid()}"
    with spread(folder, sandbox_cache, postgres_server, temporal_server) as made:
        serve(made, *ROLES)
        yield made


@pytest.fixture
def bare(
    tmp_path: Path, sandbox_cache: Path, postgres_server: PostgresServer, temporal_server: TemporalServer
) -> Iterator[Site]:
    """A platform of which nothing serves yet."""
    with spread(tmp_path / f"bare-{os.getpid()}", sandbox_cache, postgres_server, temporal_server) as made:
        yield made


def ran(done: Done) -> dict[str, object]:
    """What a command printed as JSON; it has succeeded."""
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def refused(done: Done, code: int, *words: str) -> None:
    """A command was refused with this exit code, in these words."""
    assert done.returncode == code, (done.stdout, done.stderr)
    for word in words:
        assert word in done.stderr


def status(site: Site, task: str) -> str:
    return str(ran(site.run("tasks", "show", task, "--json"))["status"])


def waiting(site: Site, *arguments: str) -> tuple[str, str]:
    """Begin a task that asks a person; return its id and the approval's."""
    task = str(ran(site.run("run", SUM, "--detach", "--json", *arguments))["task"])
    until(lambda: status(site, task) == "waiting", "nothing was asked")
    [asked] = json.loads(site.run("approvals", "list", "--task", task, "--json").stdout)
    return task, asked["approval"]


@pytest.fixture(scope="module")
def task(platform: Site) -> str:
    """A task that has its answer."""
    return str(ran(platform.run("run", SUM, "--json"))["task"])


def test_a_run_shows_its_progress_and_prints_its_answer_with_its_bill(platform: Site) -> None:
    done = platform.run("run", SUM)
    assert done.returncode == 0
    assert "17 * 3 = **51**" in done.stdout
    assert "model calls 2" in done.stdout
    assert "t1 started" in done.stderr
    assert "home" not in done.stderr


def test_a_task_is_listed_shown_and_its_events_are_told(platform: Site, task: str) -> None:
    assert task in platform.run("tasks", "list").stdout
    assert ran(platform.run("tasks", "show", task, "--json"))["status"] == "completed"
    assert ran(platform.run("tasks", "follow", task, "--json"))["text"] == ran(
        platform.run("tasks", "wait", task, "--json")
    )["text"]  # fmt: skip
    lines = platform.run("tasks", "events", task, "--follow", "--json").stdout.splitlines()
    headers = [json.loads(line)["header"] for line in lines]
    assert [one["seq"] for one in headers] == list(range(1, len(headers) + 1))
    assert headers[-1]["kind"] == "task.completed"
    assert json.loads(platform.run("tasks", "query", task, "budget").stdout)


def test_a_task_is_replayed_walked_exported_and_checked(platform: Site, task: str, tmp_path: Path) -> None:
    assert "replayed to its end; Temporal's own replay: no difference" in platform.run("replay", task).stdout
    assert "at cut 2" in platform.run("replay", task, "--at", "a/t1/think/1").stdout
    assert len(platform.run("replay", task, "--step", "--json").stdout.splitlines()) > 3
    file = str(tmp_path / "history")
    assert platform.run("history", "export", task, file).returncode == 0
    assert "identical" in platform.run("history", "check", file).stdout


def test_a_task_is_forked_and_compared(platform: Site, task: str) -> None:
    forked = ran(platform.run("fork", task, "--at", "a/t1/think/1", "--json"))
    assert forked["parent"] == task
    assert (forked["status"], forked["text"]) == ("completed", "17 * 3 = **51**")
    assert "forked from" in platform.run("diff", task, str(forked["task"])).stdout
    refused(platform.run("fork", task, "--at", "nowhere"), 2, "nowhere")
    alone = platform.run("fork", task, "--at", "a/t1/think/1", "--detach")
    assert platform.run("tasks", "wait", alone.stdout.strip()).returncode == 0


def test_a_plan_is_approved_or_rejected_and_nothing_is_decided_twice(platform: Site) -> None:
    task, approval = waiting(platform, "--require-approval")
    assert approval in platform.run("tasks", "show", task).stdout
    assert platform.run("approvals", "approve", approval).returncode == 0
    assert "51" in str(ran(platform.run("tasks", "wait", task, "--json"))["text"])
    refused(platform.run("approvals", "reject", approval), 2, "INVALID_INPUT", "already")
    other, approval = waiting(platform, "--require-approval")
    assert platform.run("approvals", "reject", approval, "--reason", "no").returncode == 0
    assert platform.run("tasks", "wait", other).returncode == 5


def test_a_task_is_paused_resumed_cancelled_and_tried_again(platform: Site) -> None:
    task, approval = waiting(platform, "--require-approval")
    assert platform.run("tasks", "pause", task).returncode == 0
    until(lambda: status(platform, task) == "paused", "it is not paused")
    assert platform.run("tasks", "resume", task).returncode == 0
    assert "has it" in platform.run("tasks", "cancel", task, "--reason", "enough").stderr
    assert platform.run("tasks", "wait", task).returncode == 3
    assert status(platform, task) == "cancelled"
    refused(platform.run("tasks", "cancel", task), 2, "has ended (cancelled)")
    refused(platform.run("approvals", "approve", approval), 2, "INVALID_INPUT")
    again = ran(platform.run("tasks", "retry", task, "--detach", "--json"))["task"]
    until(lambda: status(platform, str(again)) == "waiting", "it is not tried again")
    assert platform.run("tasks", "cancel", str(again)).returncode == 0


def test_a_signal_to_an_unknown_or_a_finished_task_or_one_too_large_is_refused(platform: Site, task: str) -> None:
    refused(platform.run("tasks", "signal", "01NOSUCHTASK", "go"), 9, "NOT_FOUND", "01NOSUCHTASK")
    refused(platform.run("tasks", "signal", task, "go"), 2, "INVALID_INPUT", "has ended (completed)")
    refused(platform.run("tasks", "signal", task, "go", json.dumps("x" * 70_000)), 2, "at most 65536")
    refused(platform.run("run", "x" * 20_001), 2, "at most 20000")
    other, _ = waiting(platform, "--require-approval")
    assert platform.run("tasks", "signal", other, "go", '{"n":1}').returncode == 0
    assert platform.run("tasks", "cancel", other).returncode == 0


def test_a_file_larger_than_what_temporal_carries_is_read_and_one_over_the_limit_is_refused(
    platform: Site, tmp_path: Path
) -> None:
    large = tmp_path / "large.csv"
    rows = [f"region{n % 7},{n},{'x' * 30}" for n in range(80_000)]
    large.write_text("\n".join(["region,units,note", *rows]), "utf-8")
    assert large.stat().st_size > 3 << 20
    done = ran(platform.run("run", "How many rows has large.csv?", "--attach", str(large), "--json"))
    assert "80000" in str(done["text"])
    platform.extra["MULTIAGENT_ATTACHMENTS__MAX_MIB"] = "1"
    try:
        refused(platform.run("run", SUM, "--attach", str(large)), 2, "ATTACHMENT_REJECTED", "large.csv")
    finally:
        del platform.extra["MULTIAGENT_ATTACHMENTS__MAX_MIB"]


def test_sessions_and_what_is_kept(platform: Site) -> None:
    task = ran(platform.run("run", SUM, "--session", "work", "--json"))["task"]
    assert str(task) in platform.run("sessions", "show", "work").stdout
    assert "work" in platform.run("sessions", "list").stdout
    assert "is forgotten" in platform.run("sessions", "forget", "work").stderr
    pruned = ran(platform.run("tasks", "prune", "--keep-bytes", "0", "--json"))
    assert str(task) in json.dumps(pruned["tasks"])
    refused(platform.run("replay", str(task)), 9, "pruned")


def test_a_plan_alone_and_a_checkup(platform: Site) -> None:
    assert ran(platform.run("plan", SUM, "--json"))["mode"] == "simple"
    findings = {one["name"]: one for one in json.loads(platform.run("doctor", "--json").stdout)}
    assert findings["services"]["state"] == "ok"
    assert "PostgreSQL" in findings["database"]["found"]


def test_edited_arguments_are_checked_by_the_services(
    tmp_path: Path, sandbox_cache: Path, postgres_server: PostgresServer, temporal_server: TemporalServer
) -> None:
    """A person's other arguments for a tool run as edited; those that do not fit it are refused."""
    rules = tmp_path / "policy"
    shutil.copytree(ROOT / "policies", rules)
    (rules / "tools_test.rego").unlink()
    (rules / "ask.rego").write_text(RULE, "utf-8")
    (rules / "ask_test.rego").write_text(TEST, "utf-8")
    folder = tmp_path / f"edited-{os.getpid()}"
    policy = {"MULTIAGENT_POLICY_DIR": str(rules)}
    with spread(folder, sandbox_cache, postgres_server, temporal_server, **policy) as strict:
        serve(strict, "all")
        task, approval = waiting(strict)
        refused(strict.run("approvals", "approve", approval, "--set", "expression=1", "--set", "more=2"), 2, "fit")
        assert strict.run("approvals", "approve", approval, "--set", "expression=3 + 4").returncode == 0
        assert "7" in str(ran(strict.run("tasks", "wait", task, "--json"))["text"])
        shown = ran(strict.run("approvals", "show", approval, "--json"))
        assert (shown["state"], shown["arguments"]) == ("consumed", {"expression": "3 + 4"})


def test_without_a_service_a_task_is_accepted_and_it_is_said_what_to_start(bare: Site) -> None:
    """Each missing service is named in turn; a terminal that leaves loses nothing."""
    with bare.start("run", SUM) as run:
        assert run.stderr is not None
        assert "no orchestrator has taken it; start one: multiagent serve orchestrator" in run.stderr.readline()
        run.send_signal(signal.SIGINT)
        assert "goes on" in run.stderr.read()
        assert run.wait(DEADLINE_S) == 130
    [row] = json.loads(bare.run("tasks", "list", "--json").stdout)
    task = row["task"]
    assert row["status"] == "queued"
    assert "no orchestrator" in ran(bare.run("tasks", "show", task, "--json"))["lacks"]  # type: ignore[operator]
    paused = bare.run("tasks", "pause", task)
    assert paused.returncode == 0
    assert "is kept and waits" in paused.stderr
    assert "start one: multiagent serve orchestrator" in paused.stderr
    assert bare.run("tasks", "resume", task).returncode == 0
    serve(bare, "orchestrator", "llm")
    until(lambda: "multiagent serve agent" in bare.run("tasks", "show", task).stderr, "nobody misses the agent")
    serve(bare, "agent")
    assert "51" in str(ran(bare.run("tasks", "wait", task, "--json"))["text"])


@pytest.mark.parametrize(
    "command", [["run", SUM], ["tasks", "list"], ["tasks", "cancel", "x"], ["replay", "x"], ["approvals", "list"]]
)
def test_a_database_that_is_away_is_an_error_with_its_own_exit_code(bare: Site, command: list[str]) -> None:
    bare.extra["MULTIAGENT_STORAGE__URL"] = "postgresql://postgres@127.0.0.1:9/nowhere"
    refused(bare.run(*command), 7, "STORAGE_UNAVAILABLE", "PostgreSQL cannot be reached")


@pytest.mark.timeout(240)
def test_a_database_that_goes_away_and_comes_back_ends_no_terminal(
    tmp_path: Path, sandbox_cache: Path, postgres_server: PostgresServer, temporal_server: TemporalServer
) -> None:
    """Those that follow a task, or wait for it, go on once it is back, as the services do."""
    own = PostgresServer(durable=True)
    slow = {"MULTIAGENT_OFFLINE__LATENCY_S": "2"}
    try:
        with spread(tmp_path / f"away-{os.getpid()}", sandbox_cache, own, temporal_server, **slow) as away:
            serve(away, "all")
            with away.start("run", SUM) as run:
                said = run.stderr
                assert said is not None
                until(lambda: "t1 started" in said.readline(), "no agent began")
                [row] = json.loads(away.run("tasks", "list", "--json").stdout)
                own.stop()
                with away.start("tasks", "list") as other:
                    assert other.stderr is not None
                    assert "STORAGE_UNAVAILABLE" in other.stderr.read()
                own.start()
                assert "completed" in said.read()
                assert run.wait(DEADLINE_S) == 0
            assert "51" in str(ran(away.run("tasks", "wait", row["task"], "--json"))["text"])
    finally:
        own.close()


def test_a_temporal_that_is_away_keeps_no_task_from_being_accepted(bare: Site) -> None:
    """The orchestrator hands it over once it is back; until then a terminal says what is missing."""
    there = bare.extra["MULTIAGENT_TEMPORAL__ADDRESS"]
    bare.extra["MULTIAGENT_TEMPORAL__ADDRESS"] = "127.0.0.1:9"
    task = bare.run("run", SUM, "--detach").stdout.strip()
    assert status(bare, task) == "queued"
    findings = {one["name"]: one for one in json.loads(bare.run("doctor", "--json").stdout)}
    assert findings["services"]["state"] == "bad"
    assert "127.0.0.1:9" in findings["services"]["found"]
    bare.extra["MULTIAGENT_TEMPORAL__ADDRESS"] = there
    serve(bare, "all")
    assert "51" in str(ran(bare.run("tasks", "wait", task, "--json"))["text"])
