"""What is read from a Rego file's tokens, and what is refused before the engine sees it."""

import pytest

from multiagent.core.errors import PolicyBroken
from multiagent.policy.source import Case, Module, read_module
from multiagent.policy.testcases import prepare

HEAD = "package multiagent.demo\n\nimport rego.v1\n\n"


def read(rules: str) -> Module:
    return prepare(read_module("demo_test.rego", HEAD + rules))


def test_the_package_and_the_tests_are_found() -> None:
    module = read("a := 1\n\ntest_one if a == 1\n\ntest_two if {\n\ta == 2\n}\n# test_three if true\n")
    assert module.package == "multiagent.demo"
    assert module.tests == (Case("test_one"), Case("test_two"))


def test_names_in_texts_and_comments_are_no_names() -> None:
    read('a := "opa.runtime() with input as"\nb := `http.send {`\n# opa.runtime()\n')


@pytest.mark.parametrize(
    "rule",
    [
        "a := opa.runtime()",
        'a := opa["runtime"]()',
        "a := opa[`runtime`]",
        "a if { x := opa . runtime()\n x.env }",
        'a := http.send({"url": "x"})',
        "a := time.now_ns()",
        "a := rand.intn(1, 2)",
        'a := uuid.rfc4122("x")',
        'a := net.lookup_ip_addr("x")',
        'a := [x | x := rego.parse_module("a", "b")]',
    ],
)
def test_what_reaches_out_of_the_policy_is_refused(rule: str) -> None:
    with pytest.raises(PolicyBroken, match=r"demo_test\.rego:5: .*reaches out"):
        read(rule)


def test_fields_of_the_input_may_have_any_name() -> None:
    read("a if input.opa.runtime == input.http.send\nb if input.time.now_ns\n")


@pytest.mark.parametrize(
    "rule",
    [
        "allow { input.a }",
        "allow = true { input.a }",
        "allow[x] { x := 1 }",
        "allow(x) { x == 1 }",
        "allow if { input.a } { input.b }",
        "allow if input.a\nelse = false { true }",
        "allow\n{\n input.a }",
    ],
)
def test_bodies_of_rego_v0_are_refused(rule: str) -> None:
    with pytest.raises(PolicyBroken, match="needs `if`"):
        read(rule)


@pytest.mark.parametrize(
    "rule",
    [
        'a := {"x": 1}',
        "a := {1, 2} | {3}",
        "a contains x if { some x in {1, 2} }",
        "a if { every x in [1] { x > 0 } }",
        "a if input.x in {1, 2}",
        'a := {"x": {"y": [1, {"z": 2}]}} if { true }',
        "a := 1 if { input.x } else := 2 if { input.y }",
        "f(x) := {x | x > 1}",
    ],
)
def test_bodies_of_rego_v1_and_objects_pass(rule: str) -> None:
    read(rule)


def test_a_zero_character_and_a_missing_package_are_refused() -> None:
    with pytest.raises(PolicyBroken, match="zero character"):
        read_module("a.rego", HEAD + "a := 1\0")
    for source in ("", "# nothing\n", "import rego.v1\npackage a\n"):
        with pytest.raises(PolicyBroken, match="package"):
            read_module("a.rego", source)


def test_the_input_of_a_test_becomes_a_rule_of_its_own() -> None:
    module = read('test_a if {\n\td := data.x with input as {"u": [1,\n\t\t2]}\n\td.allow\n}\n')
    assert module.tests == (Case("test_a", "input_of_test_a"),)
    assert "with" not in module.source
    assert module.source.endswith('input_of_test_a := {"u": [1,\n\t\t2]}\n')
    assert "d := data.x " in module.source
    assert module.source.count("\n") == (HEAD + module.source[len(HEAD) :]).count("\n")


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("test_a if data.x.allow with input as base", "base"),
        ("test_a if { not data.x.allow with input as f(base, 1); true }", "f(base, 1)"),
        ("test_a if { data.x.a with input as base\n data.x.b with input as base }", "base"),
        ("test_a if { data.x.a with input as object.union(base, {\n  1: 2}) }", "object.union(base, {\n  1: 2})"),
    ],
)
def test_an_input_ends_where_its_literal_ends(rule: str, value: str) -> None:
    assert f"\ninput_of_test_a := {value}\n" in read(rule).source


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("test_a if { data.x with input as 1\n data.x with input as 2 }", "more than one input"),
        ("test_a if data.x with input as 1\n\ntest_a if data.x with input as 2\n", "more than one input or body"),
        ("f(x) := d if { d := data.x with input as x }", "tests only"),
        ("test_a if { data.x with data.y as 1 }", "only as"),
        ("test_a if { data.x with input.user as 1 }", "only as"),
        ("test_a if { data.x with input as\n}", "nothing stands"),
    ],
)
def test_a_with_that_the_engine_would_get_wrong_is_refused(rule: str, words: str) -> None:
    with pytest.raises(PolicyBroken, match=words):
        read(rule)
