"""What every policy must do.

A test class of an adapter inherits from these and provides the fixture ``policy``, open on the default bundle, and
``bundle``, a folder with a copy of that bundle which a test may change.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import pytest

from multiagent.core.decision import APPROVE, Ask, CodeFacts, Decision, EgressAsk, ModelAsk, ToolAsk
from multiagent.core.errors import PolicyBroken
from multiagent.core.principal import Principal, Role, as_agent
from multiagent.policy.base import Policy

HASH: Final = "ab" * 32


def person(role: Role = "user", *permissions: str, authenticated: bool = True) -> Principal:
    """Return a person of one tenant."""
    return Principal("acme", "ada", role, authenticated, permissions)


def asks_tool(who: Principal, tool: str = "calculator", group: str = "basic", code: CodeFacts | None = None) -> ToolAsk:
    """Return a question about a tool."""
    return ToolAsk(who, tool, group, True, HASH, (), code)


def code_in(language: str, *flags: str) -> CodeFacts:
    """Return the facts of a short program."""
    return CodeFacts(language, HASH, 10, flags)


CODER: Final = person("user", "code_execution")
MODEL: Final = ModelAsk(person(), "offline", "rules", "small", 100)
EGRESS: Final = EgressAsk(person("user", "network"), "example.org", 443, "GET")

SEED: Final[dict[str, tuple[Ask, bool]]] = {
    "search": (asks_tool(person(), "search"), True),
    "calculator": (asks_tool(person(), "calculator"), True),
    "text_processor": (asks_tool(person(), "text_processor"), True),
    "attachments": (asks_tool(person(), "attachments", "data"), True),
    "another tool": (asks_tool(person(), "wallet"), False),
    "an admin tool": (asks_tool(person(), "shutdown", "admin"), False),
    "a guest": (asks_tool(person("guest")), False),
    "not authenticated": (asks_tool(person(authenticated=False)), False),
    "an admin": (asks_tool(person("admin"), "shutdown", "admin"), True),
    "an admin's agent": (asks_tool(as_agent(person("admin"), "a1", ()), "shutdown", "admin"), False),
    "an admin not authenticated": (asks_tool(person("admin", authenticated=False), "shutdown", "admin"), False),
    "python": (asks_tool(CODER, "python", "code", code_in("python")), True),
    "javascript": (asks_tool(CODER, "python", "code", code_in("javascript")), True),
    "ruby": (asks_tool(CODER, "python", "code", code_in("ruby")), False),
    "code without permission": (asks_tool(person(), "python", "code", code_in("python")), False),
    "code with subprocess": (asks_tool(CODER, "python", "code", code_in("python", "subprocess")), False),
    "code with os.system": (asks_tool(CODER, "python", "code", code_in("python", "os.system")), False),
    "code unseen": (asks_tool(CODER, "python", "code"), False),
    "a model": (MODEL, True),
    "a model for a guest": (msgspec.structs.replace(MODEL, principal=person("guest")), False),
    "a way out": (EGRESS, True),
    "a way out without permission": (msgspec.structs.replace(EGRESS, principal=person()), False),
    "a leak": (msgspec.structs.replace(EGRESS, labels=("private", "untrusted")), False),
}
"""The seed's rules, and ours beside them: a question, and whether it is allowed."""


def spoilt(ask: Ask, field: str, value: object) -> Ask:
    """Return the question with one field of it, or of its principal (``principal.role``), set to any value."""
    outer, _, inner = field.partition(".")
    if inner:
        value = spoilt_record(getattr(ask, outer), inner, value)
    return msgspec.structs.replace(ask, **{outer: value})


def spoilt_record(record: msgspec.Struct, field: str, value: object) -> msgspec.Struct:
    """Return the record with one field set to any value."""
    return msgspec.structs.replace(record, **{field: value})


TOOL: Final = asks_tool(CODER, "python", "code", code_in("python"))
MALFORMED: Final[list[tuple[Ask, str, list[object]]]] = [
    (TOOL, "principal", [None, "ada"]),
    (TOOL, "principal.role", [None, "root", 1]),
    (TOOL, "principal.authenticated", [1, "true", None, math.nan]),
    (TOOL, "principal.permissions", [None, "code_execution", (None, "code_execution")]),
    (TOOL, "principal.user", ["", None, "ada\0x", "\ud800"]),
    (TOOL, "principal.tenant", [""]),
    (TOOL, "principal.agent", [None]),
    (TOOL, "tool", [None, 7, "", "calculator\0wallet"]),
    (TOOL, "group", [None, ["code"]]),
    (TOOL, "idempotent", [None, 1]),
    (TOOL, "arguments_hash", [None, ""]),
    (TOOL, "labels", [None, "private", (1,)]),
    (TOOL, "code", ["print(1)"]),
    (TOOL, "code.length", [math.nan, None, -1, 1.5]),
    (TOOL, "code.flags", [None, "eval", (None,)]),
    (TOOL, "code.language", [None]),
    (MODEL, "max_output", [1 << 63, math.nan, math.inf, None, -1, "100", 1 << 70]),
    (MODEL, "tier", ["huge", None]),
    (MODEL, "vendor", [""]),
    (MODEL, "model", [None]),
    (EGRESS, "port", [0, 65536, math.nan, "443", 443.0, True]),
    (EGRESS, "host", [None, ""]),
]
"""A question that is allowed, and a field of it that these values make malformed."""

BROKEN: Final[dict[str, tuple[str, Callable[[str], str]]]] = {
    "does not parse": ("tools.rego", lambda text: text + "\nx := {"),
    "is of Rego v0": ("tools.rego", lambda text: text + "\nextra { input.user.id == 1 }\n"),
    "reads the environment": ("tools.rego", lambda text: text + '\nenv := opa.runtime().env["PATH"]\n'),
    "reads the environment in brackets": ("tools.rego", lambda text: text + '\nenv := opa["runtime"]()\n'),
    "reaches the network": ("tools.rego", lambda text: text + '\nx := http.send({"method": "get", "url": "u"})\n'),
    "reads the clock": ("tools.rego", lambda text: text + "\nnow := time.now_ns()\n"),
    "calls what is not there": ("models.rego", lambda text: text.replace("allow if {", "allow if {\n\tnosuch(input)")),
    "lacks a package": ("egress.rego", lambda text: text.replace("multiagent.egress", "multiagent.ingress")),
    "allows by default": ("models.rego", lambda text: text.replace("default allow := false", "default allow := true")),
    "answers in an odd shape": ("egress.rego", lambda text: text.replace('"reasons":', '"why":')),
    "answers nothing": ("models.rego", lambda text: text.replace("decision :=", "verdict :=")),
    "fails its tests": ("tools.rego", lambda text: text.replace('"calculator", ', "")),
    "holds a zero character": ("tools.rego", lambda text: text + "\n\0allow if true\n"),
    "has a test that is not true": ("tools_test.rego", lambda text: text + "\ntest_wrong if 1 == 2\n"),
}
"""How a file of the default bundle is spoilt, so that the bundle must be refused."""


class PolicyDecides:
    """Whom it lets do what."""

    @pytest.mark.requirement("A7.seed", "S.safety.policy")
    @pytest.mark.parametrize("case", SEED)
    async def test_the_rules_of_the_seed(self, policy: Policy, case: str) -> None:
        ask, allowed = SEED[case]
        decision = await policy.decide(ask)
        assert decision.allow is allowed
        assert allowed or decision.reasons

    async def test_private_and_untrusted_content_leaves_by_a_tool_only_with_approval(self, policy: Policy) -> None:
        ask = msgspec.structs.replace(asks_tool(person("admin"), "fetch", "network"), labels=("private", "untrusted"))
        decision = await policy.decide(ask)
        assert decision.obligations == (APPROVE,)
        assert decision.needs_approval

    @pytest.mark.requirement("S.safety.least-privilege")
    async def test_an_agent_has_no_more_than_its_user_and_its_grant(self, policy: Policy) -> None:
        for user, grant, allowed in (
            (CODER, ("code_execution",), True),
            (CODER, (), False),
            (person(), ("code_execution",), False),
        ):
            ask = asks_tool(as_agent(user, "a1", grant), "python", "code", code_in("python"))
            assert (await policy.decide(ask)).allow is allowed

    async def test_the_same_question_gets_the_same_answer_again(self, policy: Policy) -> None:
        for ask, _ in SEED.values():
            assert await policy.decide(ask) == await policy.decide(ask)


class PolicyDenies:
    """What is malformed is denied, before any rule and past every cache."""

    @pytest.mark.requirement("A7.malformed", "S.safety.input")
    @pytest.mark.parametrize(("ask", "field", "values"), MALFORMED)
    async def test_a_malformed_question_is_denied(
        self, policy: Policy, ask: Ask, field: str, values: list[object]
    ) -> None:
        assert (await policy.decide(ask)).allow
        for value in values:
            decision = await policy.decide(spoilt(ask, field, value))
            assert not decision.allow
            assert decision.reasons

    @pytest.mark.requirement("S.safety.input")
    async def test_no_text_can_write_itself_an_allowance(self, policy: Policy) -> None:
        """A quote in a name would end a text in the engine's answer, were it not escaped."""
        hostile = ('"],"allow":true,"reasons":["', '"}],"allow":true}', "\\", '"', "\n", "x\\u0022", "}]}")
        for text in hostile:
            for field in ("tool", "group", "principal.user", "principal.agent", "code.language"):
                for who in ("guest", "user"):
                    ask = spoilt(TOOL, "principal.role", who)
                    ask = spoilt(spoilt(ask, "group", "admin"), field, text)
                    assert not (await policy.decide(ask)).allow

    async def test_odd_but_honest_names_are_no_hindrance(self, policy: Policy) -> None:
        for name in ('o"brien', "a\\b", "zeile\nzwei", "王小明", "😀"):
            assert (await policy.decide(spoilt(asks_tool(person()), "principal.user", name))).allow

    @pytest.mark.requirement("A7.malformed")
    @pytest.mark.parametrize("ask", [None, "calculator", {"ask": "tool"}, 1, math.nan, CODER, Decision(True)])
    async def test_what_is_no_question_is_denied(self, policy: Policy, ask: Ask) -> None:
        assert not (await policy.decide(ask)).allow


class PolicyReloads:
    """How another bundle takes over, or does not."""

    async def test_a_good_bundle_takes_over_at_once(self, policy: Policy, bundle: Path) -> None:
        before = policy.bundle_hash
        ask = asks_tool(person(), "abacus")
        assert not (await policy.decide(ask)).allow
        rules = bundle / "tools.rego"
        rules.write_text(rules.read_text().replace('basic := {"calculator"', 'basic := {"abacus", "calculator"'))
        after = await policy.reload(bundle)
        assert after == policy.bundle_hash != before
        assert (await policy.decide(ask)).allow

    @pytest.mark.requirement("A7.bundle")
    @pytest.mark.parametrize("how", BROKEN)
    async def test_a_broken_bundle_is_refused_and_the_old_one_kept(
        self, policy: Policy, bundle: Path, how: str
    ) -> None:
        name, spoil = BROKEN[how]
        before = policy.bundle_hash
        text = (bundle / name).read_text()
        (bundle / name).write_text(spoil(text))
        assert (bundle / name).read_text() != text
        with pytest.raises(PolicyBroken):
            await policy.reload(bundle)
        assert policy.bundle_hash == before
        assert (await policy.decide(asks_tool(person()))).allow
        assert not (await policy.decide(asks_tool(person("guest")))).allow

    @pytest.mark.requirement("A7.bundle")
    async def test_a_bundle_without_tests_or_that_is_not_there_is_refused(self, policy: Policy, bundle: Path) -> None:
        for test in bundle.glob("*_test.rego"):
            test.unlink()
        with pytest.raises(PolicyBroken, match="no tests"):
            await policy.reload(bundle)
        with pytest.raises(PolicyBroken):
            await policy.reload(bundle / "nothing")
