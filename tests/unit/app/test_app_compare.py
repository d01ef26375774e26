"""Two runs beside each other."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.app.compare import compare, places
from multiagent.app.history import read
from multiagent.app.look import look
from multiagent.app.record import Record
from multiagent.app.travel import Walk
from multiagent.cli.diff import text
from multiagent.core.task import TaskResult
from multiagent.testing.places import place_at
from multiagent.testing.replayed import Register
from tests.replay import product_run

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
async def run(tmp_path: Path, register: Register) -> tuple[Walk, Record]:
    (tmp_path / "kept").mkdir()
    await product_run.record(tmp_path / "home", register, tmp_path / "kept")
    home = tmp_path / "home"
    return Walk(await read(place_at(home), product_run.ID)), await look(place_at(home), product_run.ID)


async def test_a_run_is_identical_with_itself(run: tuple[Walk, Record]) -> None:
    walk, record = run
    found = compare(walk, walk, record, record)
    assert found.identical
    assert found.same == len(walk.stops) - 1
    assert "identical" in text(found)


async def test_a_shorter_run_parts_where_it_ends(run: tuple[Walk, Record]) -> None:
    """What only the longer one did is listed, with its cost."""
    walk, record = run
    short = Walk(msgspec.structs.replace(walk.past, journal=walk.past.journal[:3]))
    found = compare(walk, short, record, record)
    assert found.parts is not None
    assert (found.parts.n, found.parts.b, found.parts.why) == (4, "", "only one goes on")
    assert {one.change for one in found.steps} == {"only_a"}
    assert sum(one.a_tokens for one in found.steps) > 0
    assert found.same == 3
    assert "they part at outcome 4" in text(found)


async def test_a_changed_result_is_told_by_its_place(run: tuple[Walk, Record]) -> None:
    """An edited result parts at its own outcome, and the pointer names what was edited."""
    walk, record = run
    last = walk.past.results["finish"]
    assert isinstance(last, bytes)
    edited = json.dumps(json.loads(last) | {"text": "another"}).encode()
    stops = tuple(msgspec.structs.replace(stop, output=edited) if stop.key == "finish" else stop for stop in walk.stops)
    other = Walk(walk.past)
    other.stops = stops
    record = msgspec.structs.replace(record, result=msgspec.json.decode(last, type=TaskResult))
    changed = msgspec.structs.replace(record, result=msgspec.json.decode(edited, type=TaskResult))
    found = compare(walk, other, record, changed)
    (step,) = found.steps
    assert (step.key, step.change, step.outputs) == ("finish", "output", ("/text",))
    assert found.parts is not None
    assert (found.parts.a, found.parts.why) == ("finish", "another result")
    told = text(found)
    assert "+another" in told
    assert "/text" in told


@given(JSON, JSON)
def test_places_name_what_differs_and_only_that(a: object, b: object) -> None:
    """Equal documents have no place; each place named leads to values that differ, as RFC 6901 reads it."""
    left, right = json.dumps(a).encode(), json.dumps(b).encode()
    found = places(left, right)
    assert bool(found) == (not same(a, b))
    for place in found:
        assert not same(at(a, place), at(b, place))


def same(a: object, b: object) -> bool:
    """As JSON values differ: null and missing are the same here, and so are true and 1 in Python."""
    return stripped(a) == stripped(b)


def stripped(value: object) -> object:
    if isinstance(value, dict):
        return {name: stripped(one) for name, one in value.items() if one is not None}
    return [stripped(one) for one in value] if isinstance(value, list) else value


def at(value: object, pointer: str) -> object:
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list):
            value = value[int(name)]
        else:
            return None
    return value
