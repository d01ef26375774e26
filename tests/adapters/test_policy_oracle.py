"""The default bundle against the same rules written down once more, in Python, over random questions."""

import asyncio
import tempfile
from functools import cache
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.decision import APPROVE, Ask, CodeFacts, EgressAsk, ModelAsk, ToolAsk
from multiagent.core.principal import Principal
from multiagent.policy.base import Policy
from multiagent.policy.factory import open_policy

BASIC = ("calculator", "search", "text_processor")
LEAK = {"private", "untrusted"}

PRINCIPALS = st.builds(
    Principal,
    st.just("acme"),
    st.sampled_from(["ada", "bob"]),
    st.sampled_from(["guest", "user", "admin"]),
    st.booleans() | st.just(True),
    st.lists(st.sampled_from(["code_execution", "network", "other"]), unique=True).map(tuple),
    st.sampled_from(["", "a1"]),
)
LABELS = st.lists(st.sampled_from(["private", "untrusted", "other"]), unique=True).map(
    lambda labels: tuple(sorted(labels))
)
CODES = st.builds(
    CodeFacts,
    st.sampled_from(["python", "javascript", "ruby", ""]),
    st.just("ab"),
    st.integers(0, 10**6),
    st.lists(st.sampled_from(["eval", "unparsed", "subprocess", "os.system", "socket"]), unique=True).map(tuple),
)
TOOLS = st.builds(
    ToolAsk,
    PRINCIPALS,
    st.sampled_from([*BASIC, "python", "attachments", "wallet"]),
    st.sampled_from(["basic", "data", "code", "network", "admin"]),
    st.booleans(),
    st.just("cd"),
    LABELS,
    st.none() | CODES,
)
MODELS = st.builds(ModelAsk, PRINCIPALS, st.just("v"), st.just("m"), st.just("small"), st.just(9), LABELS)
EGRESSES = st.builds(EgressAsk, PRINCIPALS, st.just("h"), st.sampled_from([443, 80]), st.just("GET"), LABELS)


@cache
def policy() -> Policy:
    """The policy, opened once: hypothesis runs all examples in one thread."""
    with tempfile.TemporaryDirectory() as folder:
        return open_policy(verdicts=Path(folder))


def member(who: Principal) -> bool:
    return who.authenticated and who.role != "guest" and not (who.role == "admin" and who.agent)


def allowed(ask: Ask) -> bool:
    who = ask.principal
    if not member(who):
        return False
    if isinstance(ask, ModelAsk):
        return True
    if isinstance(ask, EgressAsk):
        return "network" in who.permissions and ask.port == 443 and not set(ask.labels) >= LEAK
    if who.role == "admin" or ask.group == "data":
        return True
    if ask.group == "code":
        code = ask.code
        return (
            "code_execution" in who.permissions
            and code is not None
            and code.language in {"python", "javascript"}
            and not {"subprocess", "os.system", "socket"} & set(code.flags)
        )
    return ask.group == "basic" and ask.tool in BASIC


@given(TOOLS | MODELS | EGRESSES)
def test_the_bundle_decides_what_its_words_say(ask: Ask) -> None:
    decision = asyncio.run(policy().decide(ask))
    assert decision.allow is allowed(ask)
    assert decision.allow or decision.reasons
    leaves = isinstance(ask, ToolAsk) and ask.group == "network" and set(ask.labels) >= LEAK
    assert decision.obligations == ((APPROVE,) if decision.allow and leaves else ())
