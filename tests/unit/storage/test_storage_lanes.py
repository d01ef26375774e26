"""What runs when, on PostgreSQL: lanes of tasks, and what is ahead of all of them."""

import asyncio

import pytest

from multiagent.core.messages import Message, Text
from multiagent.storage.sql.ops import Op, PutUser, StoreMessage
from multiagent.storage.sql.postgres.lanes import Lanes, Request
from multiagent.storage.sql.travel import ForkTask
from multiagent.testing.suites.sql import NOW, TENANT, appends

SAYS = StoreMessage(tenant=TENANT, message=Message("user", (Text("hello"),)), time=NOW)
PERSON = PutUser(tenant=TENANT, id="ada", time=NOW)


class Road:
    """Lanes, and what was told to run in them."""

    def __init__(self) -> None:
        self.lanes = Lanes()
        self.ready: list[Request] = []

    def commit(self, *ops: Op) -> Request:
        return self._add(Request(ops, [], asyncio.get_running_loop().create_future()))

    def queue(self, *ops: Op) -> Request:
        return self._add(Request(ops, [], None))

    def _add(self, request: Request) -> Request:
        if self.lanes.add(request):
            self.ready.append(request)
        return request

    def finish(self, request: Request) -> None:
        self.lanes.take(request, 1)
        self.ready.remove(request)
        self.ready += self.lanes.finish(request)


@pytest.fixture
async def road() -> Road:
    return Road()


async def test_requests_of_one_task_run_in_their_order_and_tasks_side_by_side(road: Road) -> None:
    first, second = road.commit(appends("a", "t1")), road.queue(appends("b", "t1"))
    other = road.commit(appends("a", "t2"))
    assert road.ready == [first, other]
    road.finish(first)
    assert road.ready == [other, second]


async def test_what_waits_in_a_lane_may_go_together(road: Road) -> None:
    batch = [road.commit(appends("a", "t1")), road.queue(appends("b", "t1")), road.commit(appends("c", "t1"))]
    road.commit(appends("a", "t2"))
    assert road.lanes.take(batch[0], 9) == batch
    assert road.lanes.take(batch[0], 2) == batch[:2]


async def test_a_request_of_two_tasks_waits_for_both_and_both_wait_for_it(road: Road) -> None:
    one, two = road.commit(appends("a", "t1")), road.commit(appends("a", "t2"))
    fork = road.commit(ForkTask(tenant=TENANT, id="t2", parent="t1", cut=0, seq=0, time=NOW, owner="o"))
    after = road.commit(appends("b", "t1"))
    road.finish(one)
    assert road.ready == [two]
    road.finish(two)
    assert road.ready == [fork]
    assert road.lanes.take(fork, 9) == [fork]
    road.finish(fork)
    assert road.ready == [after]


async def test_what_is_queued_about_no_task_is_ahead_of_all_that_comes_later(road: Road) -> None:
    before, says = road.commit(appends("a", "t1")), road.queue(SAYS)
    late, later = road.commit(appends("a", "t2")), road.commit(appends("b", "t1"))
    assert road.ready == [before, says]
    road.finish(before)
    assert road.ready == [says]
    road.finish(says)
    assert set(road.ready) == {late, later}


async def test_what_is_queued_about_no_task_goes_together_and_holds_nobody_longer_than_it_must(road: Road) -> None:
    first, second = road.queue(SAYS), road.queue(SAYS)
    between = road.commit(appends("a", "t1"))
    third = road.queue(SAYS)
    assert road.lanes.take(first, 2) == [first, second]
    road.ready += road.lanes.finish(first)
    road.ready += road.lanes.finish(second)
    assert set(road.ready) == {first, third, between}


async def test_a_commit_about_no_task_waits_for_all_that_was_queued_before(road: Road) -> None:
    queued, commit = road.queue(appends("a", "t1")), road.commit(PERSON)
    road.queue(appends("b", "t2"))
    assert commit not in road.ready
    road.finish(queued)
    assert commit in road.ready


async def test_commits_behind_a_queued_request_are_known(road: Road) -> None:
    queued = road.queue(appends("a", "t1"))
    behind, elsewhere = road.commit(appends("b", "t1")), road.commit(appends("a", "t2"))
    person = road.commit(PERSON)
    assert set(road.lanes.blocked_by(queued)) == {behind, person}
    assert elsewhere in road.ready
    says = road.queue(SAYS)
    after = road.commit(appends("c", "t3"))
    assert set(road.lanes.blocked_by(says)) == {after}


async def test_one_taken_out_of_the_middle_lets_nothing_pass(road: Road) -> None:
    held = road.queue(appends("a", "t1"))
    middle, last = road.commit(appends("b", "t1")), road.queue(appends("c", "t1"))
    assert list(road.lanes.finish(middle)) == []
    assert road.lanes.take(held, 9) == [held, last]
    assert road.lanes.open == 2
