"""Ids, money, usage, principals, labels, messages, events and failures."""

import inspect
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core import errors
from multiagent.core.canonical import digest
from multiagent.core.errors import Cancelled, InvalidInput, PlatformError, VendorRateLimited
from multiagent.core.events import EventHeader, EventKind, commit, leaf
from multiagent.core.ids import ulid, ulid_time
from multiagent.core.label import join
from multiagent.core.messages import Message, Opaque, Text, ToolCall, ToolResult, message_hash, says
from multiagent.core.money import LARGEST, PICO, show_usd, usd
from multiagent.core.outcome import failure
from multiagent.core.principal import Principal, as_agent
from multiagent.core.tier import cheaper, tier
from multiagent.core.usage import Bill, Rates, Usage, cost
from multiagent.engines import base

TOKENS = st.integers(0, 10**7)


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**80 - 1))
def test_a_ulid_keeps_its_time_and_sorts_by_it(time_ms: int, randomness: int) -> None:
    """26 characters, the time reads back, later ones sort after."""
    made = ulid(time_ms, randomness)
    assert len(made) == 26
    assert ulid_time(made) == time_ms
    if time_ms < 2**48 - 1:
        assert made < ulid(time_ms + 1, 0)


@pytest.mark.parametrize("text", ["", "x", "0" * 25, "U" * 26, "8" + "0" * 25, "i" * 26])
def test_what_is_no_ulid_is_refused(text: str) -> None:
    """Wrong length, letters or range raise."""
    with pytest.raises(ValueError, match="not a ULID"):
        ulid_time(text)


@pytest.mark.parametrize(("time_ms", "randomness"), [(-1, 0), (2**48, 0), (0, -1), (0, 2**80)])
def test_ulid_parts_have_a_range(time_ms: int, randomness: int) -> None:
    """Out of range raises instead of wrapping round."""
    with pytest.raises(ValueError, match="ULID"):
        ulid(time_ms, randomness)


@given(st.integers(0, LARGEST))
def test_money_reads_back_to_the_pico(pico: int) -> None:
    """Dollars as exact decimals lose nothing."""
    assert usd(Decimal(pico).scaleb(-12)) == pico


@pytest.mark.parametrize(
    ("pico", "text"), [(0, "$0.00"), (PICO, "$1.00"), (12_500_000_000, "$0.0125"), (-PICO // 2, "-$0.50")]
)
def test_money_is_shown_short(pico: int, text: str) -> None:
    """At least two decimals, no trailing zeros."""
    assert show_usd(pico) == text


@pytest.mark.parametrize("text", ["", "abc", "-1", "NaN", "Infinity", "1e30", "0x1"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    """Bad money is a clear error, not zero."""
    with pytest.raises(InvalidInput):
        usd(text)


def test_part_of_a_pico_is_rounded_up() -> None:
    """A limit is never made smaller than nothing by rounding, and never loses a cheap token."""
    assert usd("0.0000000000001") == 1


@given(TOKENS, TOKENS, TOKENS, TOKENS)
def test_cost_of_parts_is_cost_of_the_whole(prompt: int, cached: int, written: int, completion: int) -> None:
    """Each token is priced once at its own rate."""
    rates = Rates(prompt=3, completion=7, cached=1, written=4, call=11)
    usage = Usage(prompt + cached + written, completion, cached, written)
    assert cost(usage, rates) == 3 * prompt + cached + 4 * written + 7 * completion + 11
    assert cost(usage, rates) <= usage.prompt * rates.dearest_prompt + completion * rates.completion + rates.call


def test_bills_add_up() -> None:
    """A sum of bills sums every column."""
    one = Bill(Usage(1, 2, 3, 4, 5), 6, 7, 8, 9, 10, 11)
    assert one + one == Bill(Usage(2, 4, 6, 8, 10), 12, 14, 16, 18, 20, 22)


@given(st.sets(st.sampled_from("abcd")), st.sets(st.sampled_from("abcd")))
def test_an_agent_never_has_more_than_its_user_and_its_grant(own: set[str], grant: set[str]) -> None:
    """Permissions are the intersection; the admin role never flows into an agent."""
    admin = Principal("t", "u", "admin", permissions=tuple(sorted(own)))
    agent = as_agent(admin, "a1", tuple(sorted(grant)))
    assert set(agent.permissions) == own & grant
    assert agent.role == "user"
    assert (agent.name, agent.on_behalf_of) == ("agent/a1", "user/u")
    assert as_agent(Principal("t", "g", "guest"), "a1", ()).role == "guest"


def test_labels_join_sorted_without_repeats() -> None:
    """What is made of several things carries all their marks."""
    assert join(("b", "a"), (), ("a",)) == ("a", "b")


def test_tiers_have_names_and_an_order() -> None:
    """Unknown names are refused with the known ones."""
    assert (tier("large"), cheaper("large"), cheaper("small")) == ("large", "medium", "small")
    with pytest.raises(InvalidInput, match="small, medium, large"):
        tier("huge")


def test_a_message_is_addressed_by_content_and_parent() -> None:
    """Any change of content or of parent is another address."""
    root = says("system", "be brief")
    child = says("user", "hi", message_hash(root))
    assert message_hash(child) == message_hash(says("user", "hi", message_hash(root)))
    assert message_hash(child) != message_hash(says("user", "hi"))
    rich = Message("assistant", (Text("x"), ToolCall("1", "t", "{}"), Opaque("v", "m", "k", b"\x00\xff")))
    assert message_hash(rich) != message_hash(Message("assistant", rich.parts[:-1]))
    assert (rich.text, [call.name for call in rich.calls]) == ("x", ["t"])


TEXTS = st.text(st.characters() | st.sampled_from('"\\/\n\x00\x1f\x7f\u2028\ud800\udfff\U0001f600'), max_size=20)
PARTS = (
    st.builds(Text, TEXTS)
    | st.builds(ToolCall, TEXTS, TEXTS, TEXTS)
    | st.builds(ToolResult, TEXTS, TEXTS, TEXTS, st.booleans())
    | st.builds(Opaque, TEXTS, TEXTS, TEXTS, st.binary(max_size=20))
)


@given(
    st.builds(
        Message,
        st.sampled_from(["system", "user", "assistant", "tool"]),
        st.lists(PARTS, max_size=4).map(tuple),
        TEXTS,
        st.lists(TEXTS, max_size=3).map(tuple),
    )
)
def test_a_message_is_hashed_over_its_canonical_json(message: Message) -> None:
    """Whatever it holds: half surrogate pairs, control characters, bytes."""
    assert message_hash(message) == digest("multiagent.message.v1", message)


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=8), st.binary(max_size=8))
def test_a_commitment_binds_salt_and_payload(salt: bytes, payload: bytes, salt2: bytes, payload2: bytes) -> None:
    """Moving a byte from salt to payload changes the commitment."""
    if (salt, payload) != (salt2, payload2):
        assert commit(salt, payload) != commit(salt2, payload2)


def test_a_leaf_is_canonical() -> None:
    """Header bytes have sorted keys and no spaces."""
    header = EventHeader(1, "t", "i", "k", 1, "w/1", EventKind.TASK_STARTED, 5, "user/u", "", "", "", "c")
    assert leaf(header).startswith(b'{"cause":"","commitment":"c","id":"i","key":"w/1","kind":"task.started"')


def _tree(kind: type[PlatformError]) -> list[type[PlatformError]]:
    return [kind] + [deeper for child in kind.__subclasses__() for deeper in _tree(child)]


@pytest.mark.requirement("S.errors.layers")
def test_the_docstring_draws_the_whole_error_tree() -> None:
    """Every class of the tree, with its code and whether it is retryable, is in the drawing."""
    drawn = {
        match[0]: (match[1], match[2] == "retryable")
        for match in re.findall(r"(\w+) +([A-Z_]{5,}) *(retryable)?", inspect.getdoc(errors) or "")
    }
    classes = [kind for kind in _tree(PlatformError) if kind.__module__ in {errors.__name__, base.__name__}]
    classes.remove(errors.StepFailed)
    assert drawn == {kind.__name__: (kind.code, kind.retryable) for kind in classes}
    assert len({kind.code for kind in classes}) == len(classes)


def test_errors_become_data_and_come_back() -> None:
    """A failure keeps code, message, retryable and details; strangers become INTERNAL."""
    told = failure(VendorRateLimited("slow down", details={"retry_after_s": 3}))
    assert (told.code, told.retryable, told.details) == ("VENDOR_RATE_LIMITED", True, {"retry_after_s": 3})
    back = told.error()
    assert (back.code, back.retryable, back.message) == ("VENDOR_RATE_LIMITED", True, "slow down")
    assert failure(KeyError("x")).code == "INTERNAL"
    assert failure(Cancelled()).code == "CANCELLED"
