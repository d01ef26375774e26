"""What becomes of an answer before a model reads it."""

from hypothesis import given
from hypothesis import strategies as st

from multiagent.tools.answer import cut, finish
from multiagent.tools.base import ToolOutput

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=600)


@given(TEXTS, st.integers(16, 400))
def test_an_answer_is_whole_or_cut_around_a_note(text: str, most: int) -> None:
    found = cut(text, most)
    size = len(text.encode())
    if size <= most:
        assert found == text
    else:
        begin, _, rest = found.partition("\n[… ")
        note, _, end = rest.partition(" …]\n")
        assert text.startswith(begin)
        assert text.endswith(end)
        assert f"of {size} bytes" in note
        assert len((begin + end).encode()) <= most


@given(TEXTS, st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("bcd")), st.sampled_from(["basic", "network"]))
def test_labels_are_joined_and_never_lost(text: str, own: list[str], given_: list[str], group: str) -> None:
    output = finish(ToolOutput(text, True, tuple(own), ("a.csv",)), group, tuple(given_))
    assert set(output.labels) == {*own, *given_, *(["untrusted"] if group == "network" else [])}
    assert list(output.labels) == sorted(set(output.labels))
    assert (output.is_error, output.sources) == (True, ("a.csv",))
