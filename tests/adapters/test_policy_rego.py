"""The policy suite over Rego on regopy, and what is that engine's own."""

import asyncio
import shutil
from pathlib import Path

import msgspec
import pytest

from multiagent.core.decision import Decision
from multiagent.core.errors import PolicyDenied
from multiagent.core.principal import Principal
from multiagent.policy.base import Policy
from multiagent.policy.bundle import read_bundle
from multiagent.policy.cache import DecisionCache
from multiagent.policy.decide import RegoPolicy
from multiagent.policy.factory import default_bundle, open_policy
from multiagent.policy.rego import Program
from multiagent.policy.vetting import check
from multiagent.testing.suites.policy import SEED, PolicyDecides, PolicyDenies, PolicyReloads, asks_tool, person


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("verdicts")


@pytest.fixture
def policy(verdicts: Path) -> Policy:
    return open_policy(verdicts=verdicts)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(default_bundle(), tmp_path / "bundle"))


class TestRegoDecides(PolicyDecides):
    pass


class TestRegoDenies(PolicyDenies):
    pass


class TestRegoReloads(PolicyReloads):
    pass


def test_the_default_bundle_passes_its_own_tests() -> None:
    assert check(read_bundle(default_bundle())) >= 50


@pytest.mark.requirement("A7.error")
@pytest.mark.parametrize("error", [RuntimeError("engine"), PolicyDenied("undefined"), MemoryError(), OSError("gone")])
async def test_an_error_of_the_engine_denies(
    policy: Policy, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fails(self: Program, entry: str, document: object) -> bytes:
        raise error

    monkeypatch.setattr(Program, "ask", fails)
    decision = await policy.decide(asks_tool(person()))
    assert decision == Decision(False, decision.reasons)
    assert decision.reasons


@pytest.mark.requirement("A7.error")
@pytest.mark.parametrize(
    "answer",
    [
        b"true",
        b"null",
        b"[]",
        b'"allow"',
        b"{}",
        b'{"allow":true}',
        b'{"allow":1,"reasons":[],"obligations":[]}',
        b'{"allow":"true","reasons":[],"obligations":[]}',
        b'{"allow":true,"reasons":null,"obligations":[]}',
        b'{"allow":true,"reasons":[1],"obligations":[]}',
        b'{"allow":true,"reasons":[],"obligations":["dance"]}',
        b'{"allow":true,"reasons":[],"obligations":[],"more":1}',
        b"",
        b"undefined",
    ],
)
async def test_an_answer_of_an_odd_shape_denies(policy: Policy, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    def odd(self: Program, entry: str, document: object) -> bytes:
        return answer

    monkeypatch.setattr(Program, "ask", odd)
    assert not (await policy.decide(asks_tool(person()))).allow


@pytest.mark.requirement("A7.error")
async def test_a_built_in_that_fails_in_a_rule_denies(policy: Policy, bundle: Path) -> None:
    """Without strict mode, the failing call under `not` would allow."""
    rules = bundle / "models.rego"
    rule = '\nallow if {\n\tinput.model.name == "odd"\n\tnot to_number(input.model.name)\n}\n'
    rules.write_text(rules.read_text() + rule)
    await policy.reload(bundle)
    ask = msgspec.structs.replace(SEED["a model for a guest"][0], model="odd")
    decision = await policy.decide(ask)
    assert not decision.allow
    assert "engine failed" in decision.reasons[0]


@pytest.mark.requirement("A7.error")
async def test_another_thread_than_the_one_that_opened_the_policy_is_denied(verdicts: Path) -> None:
    opened = await asyncio.to_thread(open_policy, verdicts=verdicts)
    decision = await opened.decide(asks_tool(person()))
    assert not decision.allow
    assert "thread" in decision.reasons[0]


async def test_a_decision_is_remembered_and_an_error_is_not(verdicts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = DecisionCache()
    policy = RegoPolicy(default_bundle(), verdicts, cache)
    ask = asks_tool(person())
    with monkeypatch.context() as patched:
        patched.setattr(Program, "ask", lambda self, entry, document: b"odd")
        assert not (await policy.decide(ask)).allow
    assert len(cache) == 0
    assert (await policy.decide(ask)).allow
    with monkeypatch.context() as patched:
        patched.setattr(Program, "ask", lambda self, entry, document: b"odd")
        assert (await policy.decide(ask)).allow
    assert (cache.hits, len(cache)) == (1, 1)


async def test_what_equals_in_python_but_not_in_kind_is_not_found_in_the_cache(policy: Policy) -> None:
    """1 == True == 1.0 and they hash alike: a cache keyed by the record itself would answer for the wrong one."""
    assert (await policy.decide(asks_tool(person()))).allow
    for wrong in (1, 1.0):
        question = asks_tool(Principal("acme", "ada", "user", wrong))  # type: ignore[arg-type]
        assert question == asks_tool(person())
        assert not (await policy.decide(question)).allow
