"""What steps keep in memory."""

from multiagent.agents.memo import Memo, link
from multiagent.core.messages import message_hash, says


def test_the_least_recently_used_goes_first() -> None:
    memo: Memo[int] = Memo(2)
    memo.put("t", "a", 1)
    memo.put("t", "b", 2)
    assert memo.get("t", "a") == 1
    memo.put("t", "c", 3)
    assert memo.get("t", "b") is None
    assert memo.get("t", "a") == 1


def test_tenants_do_not_see_each_other() -> None:
    memo: Memo[int] = Memo(2)
    memo.put("one", "a", 1)
    assert memo.get("two", "a") is None


def test_linked_messages_carry_their_parents_hash_up_to_the_head() -> None:
    head, (first, second) = link("", says("system", "s"), says("user", "u"))
    assert first.parent == ""
    assert second.parent == message_hash(first)
    assert head == message_hash(second)


def test_the_same_words_after_another_past_have_another_hash() -> None:
    assert link("", says("user", "u"))[0] != link(link("", says("user", "x"))[0], says("user", "u"))[0]
