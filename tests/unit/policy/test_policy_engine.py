"""The engine's own face: what goes in comes out, and what is not an answer is a denial."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.errors import PolicyBroken, PolicyDenied
from multiagent.policy.rego import Program, escaped
from multiagent.policy.source import read_module

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=8,
)


def program(rules: str, entry: str = "demo/x") -> Program:
    return Program([read_module("demo.rego", f"package demo\n\nimport rego.v1\n\n{rules}\n")], [entry])


ECHO = program("x := input")
SAID = program('x := {"allow": false, "reasons": [sprintf("no %s", [input.name])]}')


@given(JSON)
def test_what_goes_in_comes_out(value: object) -> None:
    assert msgspec.json.decode(ECHO.ask("demo/x", {"v": value})) == {"v": value}


@given(TEXTS)
def test_a_name_in_a_reason_is_no_more_than_a_text(name: str) -> None:
    answer = msgspec.json.decode(SAID.ask("demo/x", {"name": name}))
    assert answer == {"allow": False, "reasons": [f"no {name}"]}


def test_a_name_cannot_write_itself_an_allowance() -> None:
    """Unescaped, this text would close the reason and append a second, last `allow`."""
    name = 'x"],"allow":true,"reasons":["'
    assert msgspec.json.decode(SAID.ask("demo/x", {"name": name}))["allow"] is False
    assert escaped({"name": name}) != {"name": name}


@given(TEXTS, TEXTS)
def test_texts_are_equal_to_rules_exactly_when_they_are_equal(one: str, other: str) -> None:
    asked = program("x := input.a == input.b")
    assert asked.ask("demo/x", {"a": one, "b": other}) == (b"true" if one == other else b"false")


@pytest.mark.requirement("A7.error")
@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("x if input.missing", "undefined"),
        ('x := to_number("one")', "engine failed"),
        ("x := 1 / 0", "engine failed"),
        ("x := 1 if input.a\nx := 2 if input.a", "engine failed"),
        ("x := nosuch(1)", "engine failed"),
    ],
)
def test_what_is_no_answer_is_a_denial(rules: str, words: str) -> None:
    with pytest.raises(PolicyDenied, match=words):
        program(rules).ask("demo/x", {"a": True})


def test_only_the_entry_points_it_was_compiled_for_are_answered() -> None:
    with pytest.raises(PolicyDenied, match="no entry point"):
        ECHO.ask("demo/y", {})


def test_a_document_that_is_no_json_is_a_denial() -> None:
    with pytest.raises(PolicyDenied):
        ECHO.ask("demo/x", {"a": object()})


@pytest.mark.requirement("A7.bundle")
@pytest.mark.parametrize("rules", ["x := {", "x if {", "x := nosuch"])
def test_what_does_not_parse_is_refused_and_nothing_is_printed(rules: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((PolicyBroken, PolicyDenied)):
        program(rules).ask("demo/x", {})
    assert capfd.readouterr() == ("", "")


def test_calls_are_read_from_the_compiled_plan_however_they_are_hidden() -> None:
    program("f(x) := count([x])\nx := f(sprintf(`%d`, [1]))").refuse_unknown_calls()
    for rules, name in (
        ("x if { input.a == 1; nosuch(input) }", "nosuch"),
        ("f(y) := nosuch(y)\nx := [z | z := f(1)]", "nosuch"),
        ("x := crypto.md5(input.a)", "crypto.md5"),
    ):
        with pytest.raises(PolicyBroken, match=name):
            program(rules).refuse_unknown_calls()
