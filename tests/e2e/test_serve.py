"""`multiagent serve` as a supervisor sees it: each service a process, watched over HTTP, stopped in good order."""

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from multiagent.testing.servers.temporal import TemporalServer
from tests.e2e.services import Site, site

QUERY = "What is 12 * 34? And what is 5 + 6?"


@pytest.fixture
def spread(
    tmp_path: Path, sandbox_cache: Path, postgres: str, temporal_server: TemporalServer, request: pytest.FixtureRequest
) -> Iterator[Site]:
    """A site with a database and task queues of its own."""
    settings = {
        "MULTIAGENT_ENGINE": "temporal",
        "MULTIAGENT_STORAGE__URL": postgres,
        "MULTIAGENT_TEMPORAL__ADDRESS": temporal_server.address,
        "MULTIAGENT_TEMPORAL__QUEUES": tmp_path.name,
    }
    with site(tmp_path / "home", sandbox_cache, **settings) as made:
        yield made


def steps(samples: dict[str, float]) -> dict[str, float]:
    """How often each step ended, by its name."""
    named = ((name.partition('step="')[2].partition('"')[0], value) for name, value in samples.items()
             if name.startswith("multiagent_steps_total"))  # fmt: skip
    return {name: value for name, value in named if value}


def test_each_service_does_its_own_steps_and_drains_in_good_order(spread: Site) -> None:
    """One process a service on PostgreSQL and Temporal: a task finishes, and each has counted what it did."""
    roles = ("orchestrator", "agent", "llm")
    services = {role: spread.serve(role) for role in roles}
    for service in services.values():
        service.until_ready()
    done = spread.run("run", "--json", QUERY)
    assert done.returncode == 0, done.stderr
    assert "408" in json.loads(done.stdout)["text"]
    counted = {role: service.samples() for role, service in services.items()}
    assert set(steps(counted["orchestrator"])) == {"analyze", "finish"}
    assert set(steps(counted["agent"])) == {"check", "run"}
    assert set(steps(counted["llm"])) <= {"think", "decompose", "synthesize"}
    assert counted["orchestrator"]['multiagent_tasks_total{status="completed"}'] == 1
    assert sum(value for name, value in counted["llm"].items() if name.startswith("multiagent_model_calls_total"))
    assert counted["llm"]['multiagent_connections{state="most"}'] == 8
    checks = {role: set(service.readiness()[1]) for role, service in services.items()}
    assert checks == {
        "orchestrator": {"start", "storage", "engine", "policy"},
        "agent": {"start", "storage", "engine", "policy", "sandbox"},
        "llm": {"start", "storage", "engine", "policy"},
    }
    for service in services.values():
        service.ask_to_stop()
    assert {role: service.ended() for role, service in services.items()} == dict.fromkeys(roles, 0)


def test_all_services_in_one_process_are_the_default(spread: Site) -> None:
    service = spread.serve()
    assert service.said()["services"] == ["orchestrator", "agent", "llm"]
    service.until_ready()
    assert service.page("health", "/health/live") == (200, '{"status":"live"}')
    assert spread.run("run", "--json", "2+3").returncode == 0
    service.ask_to_stop()
    assert service.ended() == 0


def test_a_step_that_runs_at_the_signal_ends_and_is_recorded_before_the_process_does(spread: Site) -> None:
    """A model call takes its time; the process that makes it is asked to stop meanwhile, and no other is there."""
    spread.extra["MULTIAGENT_OFFLINE__LATENCY_S"] = "2"
    helpers = [spread.serve("orchestrator"), spread.serve("agent")]
    thinks = spread.serve("llm")
    for service in (*helpers, thinks):
        service.until_ready()
    task = spread.run("run", "--detach", "2+3").stdout.strip()
    while 'multiagent_steps_in_flight{queue="llm",step="think"} 1.0' not in thinks.page("metrics")[1]:
        assert thinks.process.poll() is None
    thinks.ask_to_stop()
    thinks.until_ready(503)
    assert thinks.page("health", "/health/live")[0] == 200
    assert thinks.ended() == 0
    again = spread.serve("llm")
    again.until_ready()
    done = spread.run("tasks", "follow", "--json", task)
    assert done.returncode == 0, done.stderr
    began = [
        line for line in spread.run("tasks", "events", "--json", task).stdout.splitlines() if "step.started" in line
    ]
    assert len(began) == len({json.loads(line)["payload"]["step"] for line in began})


def test_a_second_signal_ends_it_at_once(spread: Site) -> None:
    spread.extra["MULTIAGENT_OFFLINE__LATENCY_S"] = "30"
    service = spread.serve()
    service.until_ready()
    spread.run("run", "--detach", "2+3")
    while 'multiagent_steps_in_flight{queue="llm",step="think"} 1.0' not in service.page("metrics")[1]:
        assert service.process.poll() is None
    service.ask_to_stop()
    service.until_ready(503)
    service.ask_to_stop()
    assert service.ended() == 128 + signal.SIGTERM


@pytest.mark.parametrize("away", ["storage", "engine"])
def test_it_waits_for_a_server_that_is_away_and_says_so_on_its_page(spread: Site, away: str) -> None:
    """It lives and is not ready, names what is away, and still ends at the first signal."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        if away == "storage":
            spread.extra["MULTIAGENT_STORAGE__URL"] = f"postgresql://postgres@127.0.0.1:{port}/nowhere"
        else:
            spread.extra["MULTIAGENT_TEMPORAL__ADDRESS"] = f"127.0.0.1:{port}"
        service = spread.serve("orchestrator")
        service.until_ready(503)
        assert service.page("health", "/health/live")[0] == 200
        says = ("start", "PostgreSQL") if away == "storage" else ("engine", "Temporal")
        while says[1] not in str(service.readiness()[1].get(says[0], {}).get("message")):
            assert service.process.poll() is None
        service.ask_to_stop()
        assert service.ended() == 0


@pytest.mark.parametrize(
    ("extra", "role", "said"),
    [
        ({}, "agent", "needs `engine: temporal`"),
        ({"MULTIAGENT_ENGINE": "temporal"}, "llm", "set storage.url"),
        ({}, "ledger", "there is no service 'ledger'"),
        ({"MULTIAGENT_SERVE__HEALTH_PORT": "taken"}, "all", "Expected `int`"),
    ],
)
def test_what_does_not_go_together_is_refused_with_what_to_do(
    extra: dict[str, str], role: str, said: str, tmp_path: Path, sandbox_cache: Path
) -> None:
    with site(tmp_path / "home", sandbox_cache, **extra) as made:
        done = made.run("serve", role)
    assert done.returncode != 0
    assert said in done.stderr


def test_a_port_that_is_taken_is_refused_by_its_number(tmp_path: Path, sandbox_cache: Path) -> None:
    with socket.socket() as taken, site(tmp_path / "home", sandbox_cache) as made:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        made.extra["MULTIAGENT_SERVE__METRICS_PORT"] = str(port)
        done = made.run("serve")
    assert done.returncode != 0
    assert f"port {port} of 127.0.0.1 cannot be listened on" in done.stderr


def test_the_embedded_engine_is_served_by_one_process_that_does_not_end_when_idle(
    tmp_path: Path, sandbox_cache: Path
) -> None:
    with site(tmp_path / "home", sandbox_cache) as made:
        service = made.serve()
        service.until_ready()
        done = made.run("run", "--json", "2+3")
        assert done.returncode == 0, done.stderr
        assert steps(service.samples())["finish"] == 1
        waits = made.serve()
        waits.until_ready(503)
        service.ask_to_stop()
        assert service.ended() == 0
        waits.until_ready()
        waits.ask_to_stop()
        assert waits.ended() == 0
