"""The typed question: its bytes, its check, and the document that rules see."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.decision import Ask, CodeFacts, EgressAsk, ModelAsk, ToolAsk
from multiagent.core.errors import InvalidInput
from multiagent.core.principal import Principal
from multiagent.policy.facts import decode, document, encode

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
TEXTS = st.lists(NAMES, max_size=3).map(tuple)
PRINCIPALS = st.builds(
    Principal, NAMES, NAMES, st.sampled_from(["guest", "user", "admin"]), st.booleans(), TEXTS, st.just("") | NAMES
)
CODES = st.none() | st.builds(CodeFacts, NAMES, NAMES, st.integers(0, 1 << 40), TEXTS)
ASKS = st.one_of(
    st.builds(ToolAsk, PRINCIPALS, NAMES, NAMES, st.booleans(), NAMES, TEXTS, CODES),
    st.builds(ModelAsk, PRINCIPALS, NAMES, NAMES, st.sampled_from(["small", "large"]), st.integers(0, 1 << 40), TEXTS),
    st.builds(EgressAsk, PRINCIPALS, NAMES, st.integers(1, 65535), NAMES, TEXTS),
)
ASK = ToolAsk(Principal("acme", "ada"), "calculator", "basic", True, "ab")


@given(ASKS)
def test_a_well_formed_question_comes_back_equal(ask: Ask) -> None:
    assert decode(encode(ask)) == ask


@given(ASKS, ASKS)
def test_different_questions_have_different_bytes(one: Ask, other: Ask) -> None:
    assert (encode(one) == encode(other)) == (one == other)


@given(ASKS)
def test_the_document_is_json_without_nulls(ask: Ask) -> None:
    text = msgspec.json.encode(document(ask)).decode()
    assert msgspec.json.decode(text) == document(ask)
    assert "null" not in msgspec.json.encode(document(ASK)).decode()


@given(ASKS, st.sampled_from(["labels", "principal"]), st.none() | st.floats() | st.integers() | st.binary())
def test_a_field_of_another_type_is_refused(ask: Ask, field: str, value: object) -> None:
    with pytest.raises(InvalidInput):
        decode(encode(msgspec.structs.replace(ask, **{field: value})))


@given(st.binary(max_size=64))
def test_bytes_that_are_no_question_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode(data)


def test_a_record_of_another_kind_is_refused() -> None:
    for wrong in (ASK.principal, {"ask": "tool"}, None, "x"):
        with pytest.raises(InvalidInput):
            encode(wrong)  # type: ignore[arg-type]


def test_rules_see_the_names_of_the_seed() -> None:
    ask = msgspec.structs.replace(ASK, code=CodeFacts("python", "cd", 3, ("eval",)), labels=("private",))
    assert document(ask) == {
        "labels": ["private"],
        "user": {
            "id": "ada",
            "tenant": "acme",
            "role": "user",
            "authenticated": True,
            "permissions": [],
            "agent": "",
        },
        "tool": {"name": "calculator", "group": "basic", "idempotent": True},
        "arguments": {"hash": "ab"},
        "code": {"language": "python", "sha256": "cd", "length": 3, "flags": ["eval"]},
    }
    assert "code" not in document(ASK)
