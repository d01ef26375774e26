"""JSON Pointers (RFC 6901) of edits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.errors import InvalidInput
from multiagent.engines.pointer import parts, replaced

DOCUMENT = {
    "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8,
}  # fmt: skip
"""The example of RFC 6901, section 5."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("pointer", "path"),
    [
        ("/foo/0", ("foo", 0)), ("/", ("",)), ("/a~1b", ("a/b",)), ("/c%d", ("c%d",)), ("/m~0n", ("m~n",)),
        ("/ ", (" ",)), ('/k"l', ('k"l',)),
    ],
)  # fmt: skip
def test_the_examples_of_the_standard_are_found(pointer: str, path: tuple[str | int, ...]) -> None:
    changed = replaced(DOCUMENT, pointer, "new")
    for part in path:
        changed = changed[part]  # type: ignore[index] # the document is known
    assert changed == "new"
    assert replaced(DOCUMENT, "", "new") == "new"


@pytest.mark.parametrize(
    "pointer",
    ["foo", "/nothing", "/foo/2", "/foo/-", "/foo/01", "/foo/-1", "/foo/0/x", "/foo/1e0", "/m~n", "/foo/²"],
)
def test_what_fits_nothing_is_refused(pointer: str) -> None:
    with pytest.raises(InvalidInput):
        replaced(DOCUMENT, pointer, 1)


def places(value: object, at: str = "") -> list[tuple[str, object]]:
    """Every place of a document, with what stands there."""
    found = [(at, value)]
    if isinstance(value, dict):
        for name, inner in value.items():
            found += places(inner, f"{at}/{name.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            found += places(inner, f"{at}/{place}")
    return found


@given(JSON)
def test_every_place_is_replaced_alone_and_putting_back_restores(document: object) -> None:
    for pointer, before in places(document):
        changed = replaced(document, pointer, {"unique": True})
        assert dict(places(changed))[pointer] == {"unique": True}
        assert replaced(changed, pointer, before) == document


@given(st.text(max_size=12))
def test_any_text_is_a_pointer_or_refused(text: str) -> None:
    try:
        found = parts(text)
    except InvalidInput:
        return
    assert not text or len(found) == text.count("/")
