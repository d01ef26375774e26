"""Putting a value at a place in JSON."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.errors import InvalidInput
from multiagent.core.pointer import assignment, parts, put

DOCUMENT = {"a": {"b": [1, {"c": 2}]}, "x/y": 0, "m~n": 1, "": 3}


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/a/b/0", lambda d: d["a"]["b"][0]),
        ("a.b.1.c", lambda d: d["a"]["b"][1]["c"]),
        ("/x~1y", lambda d: d["x/y"]),
        ("/m~0n", lambda d: d["m~n"]),
        ("/", lambda d: d[""]),
        ("a.new", lambda d: d["a"]["new"]),
        ("/a/b/-", lambda d: d["a"]["b"][2]),
        ("", lambda d: d),
    ],
)
def test_a_path_names_one_place_and_the_original_stays(path: str, where: object) -> None:
    before = msgspec.json.encode(DOCUMENT)
    assert where(put(DOCUMENT, path, "new")) == "new"  # type: ignore[operator]
    assert msgspec.json.encode(DOCUMENT) == before


@pytest.mark.parametrize("path", ["/a/z/q", "/a/b/2", "/a/b/x", "/a/b/0/deep", "a.b.-.c"])
def test_a_path_that_fits_nothing_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match="fits nothing"):
        put(DOCUMENT, path, 1)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("amount=3", "amount", 3),
        ('/rows/0="x=y"', "/rows/0", "x=y"),
        ("to=Ada Lovelace", "to", "Ada Lovelace"),
        ("ok=true", "ok", True),
        ("list=[1, 2]", "list", [1, 2]),
        ("empty=", "empty", ""),
    ],
)
def test_an_assignment_is_a_path_and_json_or_text(text: str, path: str, value: object) -> None:
    assert assignment(text) == (path, value)


@pytest.mark.parametrize("text", ["", "amount", "=3"])
def test_what_is_no_assignment_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="PATH=VALUE"):
        assignment(text)


@given(st.dictionaries(st.text(), st.integers(), min_size=1), st.data())
def test_any_member_is_reached_by_its_pointer(document: dict[str, int], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(document)))
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    assert parts(pointer) == [name]
    assert put(document, pointer, None) == {**document, name: None}
