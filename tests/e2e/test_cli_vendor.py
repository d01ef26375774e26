"""Vendors that misbehave, and models that answer nonsense, through the real command line."""

import json
from pathlib import Path

import pytest

from multiagent.testing.scripted_script import Reply, Rule, Script, ScriptedCall
from tests.chaos.house import House, vendor

MODELS = """vendors:
  - name: flaky
    wire: openai
    base_url_env: OPENAI_BASE_URL
    key_env: OPENAI_API_KEY
    timeouts: {connect: 2, first_byte: 1, idle: 1, total: 20}
    models:
      - {name: one, tier: small, context: 200000, max_output: 8192, prices: {prompt: "1", completion: "2"}}
"""
PLANNER = Reply(kind="planner")


def _house(tmp_path: Path, cache: Path, url: str) -> House:
    models = tmp_path / "models.yaml"
    models.write_text(MODELS, "utf-8")
    return House(tmp_path / "home", cache, url, {"MULTIAGENT_MODELS_FILE": str(models)})


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(kind="status", status=401), "VENDOR_UNAUTHORIZED"),
        (Reply(kind="status", status=429, retry_after_s=0.1), "VENDOR_RATE_LIMITED"),
        (Reply(kind="status", status=500), "VENDOR_UNAVAILABLE"),
        (Reply(kind="status", status=400), "VENDOR_REJECTED"),
        (Reply(kind="hang"), "VENDOR_TIMEOUT"),
        (Reply(kind="reset", after=1), "VENDOR_UNAVAILABLE"),
        (Reply(kind="garbage"), "VENDOR_BAD_RESPONSE"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.kind,
)
def test_a_vendor_that_always_fails_ends_the_task_with_its_code(
    tmp_path: Path, sandbox_cache: Path, reply: Reply, code: str
) -> None:
    """Exit code 6, the code in text and JSON, the task stored as failed, no key in any output, no hold left."""
    with vendor(tmp_path, Script(default=reply)) as (url, _):
        house = _house(tmp_path, sandbox_cache, url)
        run = house.run("run", "What is 2 + 2?", "--json")
    assert run.code == 6, (run.out, run.err)
    assert run.record["status"] == "failed"
    error = run.record["error"]
    assert isinstance(error, dict)
    assert error["code"] == code
    assert "Traceback" not in run.err
    assert "test-key" not in run.out + run.err
    assert house.held() == 0


@pytest.mark.parametrize(
    "reply",
    [Reply(kind="status", status=503), Reply(kind="reset", after=1), Reply(kind="hang"), Reply(kind="garbage")],
    ids=lambda reply: str(reply.kind),
)
def test_a_vendor_that_fails_once_is_asked_again(tmp_path: Path, sandbox_cache: Path, reply: Reply) -> None:
    """The answer comes, and what the broken call may have cost is counted."""
    script = Script(rules=(Rule(reply, calls=(1,)),), default=PLANNER)
    with vendor(tmp_path, script) as (url, _):
        run = _house(tmp_path, sandbox_cache, url).run("run", "What is 2 + 2?", "--json")
    assert run.code == 0, run.err
    assert "4" in str(run.record["text"])


def test_nothing_listens(tmp_path: Path, sandbox_cache: Path) -> None:
    """A vendor that cannot be reached is named, with its URL's host but never its key."""
    house = _house(tmp_path, sandbox_cache, "http://127.0.0.1:9/v1")
    run = house.run("run", "What is 2 + 2?")
    assert run.code == 6
    assert "VENDOR_UNAVAILABLE" in run.out + run.err
    assert "test-key" not in run.out + run.err


def test_a_plan_that_is_none_is_asked_for_once_more_and_then_done_without(tmp_path: Path, sandbox_cache: Path) -> None:
    """Two bad plans lead to one agent, and the events say so."""
    table = tmp_path / "t.csv"
    table.write_text("shop,amount\na,1\nb,2\n", "utf-8")
    bad = Reply(text="Here is my plan: first think, then act.")
    script = Script(rules=(Rule(bad, purpose="decompose"), Rule(bad, purpose="repair")), default=PLANNER)
    with vendor(tmp_path, script) as (url, _):
        house = _house(tmp_path, sandbox_cache, url)
        query = "Report on the totals by shop, compare them, find outliers, and then summarise what it means."
        run = house.run("run", query, "--attach", str(table), "--json")
    assert run.code == 0, run.err
    events = house.events(str(run.record["task"]))
    assert [payload["code"] for _, kind, payload in events if kind == "task.degraded"] == ["PLAN_INVALID"]


@pytest.mark.parametrize(
    "call", [ScriptedCall("launch_missiles", "{}"), ScriptedCall("calculator", "{not json"), ScriptedCall("calculator")]
)
def test_a_tool_call_that_makes_no_sense_is_an_observation(
    tmp_path: Path, sandbox_cache: Path, call: ScriptedCall
) -> None:
    """An unknown tool, broken JSON, missing arguments: the agent is told, and may still answer."""
    script = Script(
        rules=(Rule(Reply(text="", calls=(call,), finish="tool_calls"), calls=(1,)),),
        default=Reply(text="It cannot be done with that tool."),
    )
    with vendor(tmp_path, script) as (url, _):
        house = _house(tmp_path, sandbox_cache, url)
        run = house.run("run", "What is 2 + 2?", "--json")
    assert run.code == 0, run.err
    assert run.record["text"] == "It cannot be done with that tool."


def test_an_agent_that_repeats_itself_is_stopped(tmp_path: Path, sandbox_cache: Path) -> None:
    """At most three identical calls; the task ends, one way or the other, with its bill."""
    call = ScriptedCall("calculator", json.dumps({"expression": "1 + 1"}))
    script = Script(default=Reply(text="", calls=(call,), finish="tool_calls"))
    with vendor(tmp_path, script) as (url, _):
        house = _house(tmp_path, sandbox_cache, url)
        run = house.run("run", "What is 1 + 1?", "--json")
    bill = run.record["bill"]
    assert isinstance(bill, dict)
    assert run.code in {0, 3}
    assert int(str(bill["tool_calls"])) <= 3
    assert int(str(bill["tokens"])) > 0


def test_a_budget_that_is_too_small_refuses_before_it_spends(tmp_path: Path, sandbox_cache: Path) -> None:
    """Nothing is sent where not even the prompt fits; exit code 4."""
    with vendor(tmp_path, Script(default=PLANNER)) as (url, ledger):
        house = _house(tmp_path, sandbox_cache, url)
        run = house.run("run", "What is 2 + 2?", "--budget-tokens", "50", "--json")
        assert run.code == 4, run.err
        error = run.record["error"]
        assert isinstance(error, dict)
        assert error["code"] == "BUDGET_EXCEEDED"
        assert not ledger.exists() or ledger.read_bytes() == b""
        dear = house.run("run", "What is 2 + 2?", "--budget-usd", "0.000001", "--json")
        assert dear.code == 4


def test_a_money_budget_holds_to_the_last_cent(tmp_path: Path, sandbox_cache: Path) -> None:
    """Whatever the outcome, what was booked is within the limit."""
    with vendor(tmp_path, Script(default=PLANNER)) as (url, _):
        house = _house(tmp_path, sandbox_cache, url)
        for dollars in ("0.004", "0.008", "0.02"):
            run = house.run("run", "What is 2 + 2? Then multiply 3 by 4.", "--budget-usd", dollars, "--json")
            bill = run.record["bill"]
            assert isinstance(bill, dict)
            assert float(str(bill["cost_usd"])) + float(str(bill["lost_usd"])) <= float(dollars)
