"""The cache of decisions."""

from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.decision import Decision
from multiagent.policy.cache import DecisionCache

YES, NO = Decision(True), Decision(False, ("no",))


def test_a_decision_is_found_for_its_bundle_and_question_only() -> None:
    cache = DecisionCache()
    cache.put("one", b"q", YES)
    assert cache.get("one", b"q") == YES
    assert cache.get("two", b"q") is None
    assert cache.get("one", b"r") is None
    assert (cache.hits, cache.misses) == (1, 2)


@given(st.lists(st.integers(0, 12), max_size=60))
def test_it_holds_the_questions_asked_last_and_no_more(asked: list[int]) -> None:
    cache = DecisionCache(4)
    order: list[int] = []
    for number in asked:
        question = bytes([number])
        found = cache.get("b", question)
        assert (found is not None) == (number in order)
        if found is None:
            cache.put("b", question, NO)
        order = [*[other for other in order if other != number][-3:], number]
        assert len(cache) == len(order)


def test_it_can_be_emptied() -> None:
    cache = DecisionCache()
    cache.put("b", b"q", YES)
    cache.clear()
    assert len(cache) == 0
