"""What every keeper of schedules promises, whichever engine it stands on."""

from itertools import pairwise

import msgspec
import pytest

from multiagent.core.errors import InvalidInput, NotFound
from multiagent.core.schedule import Span, run_key
from multiagent.engines.schedules.book import found
from multiagent.testing.scheduling import REFUSED, TENANT, Board, after, every, made, reach


class ScheduleTimes:
    """Runs come at their times, each once."""

    async def test_each_time_is_run_once_as_a_task_under_its_key(self, board: Board) -> None:
        begun = board.now()
        await board.schedules.create(TENANT, every(board), "c1")
        ran = await after(board, 3)
        step = board.every * 1000
        assert [run.planned % step for run in ran] == [0] * len(ran)
        assert all(later.planned - earlier.planned == step for earlier, later in pairwise(ran))
        assert begun < ran[0].planned <= begun + 2 * step
        for run in ran:
            keyed = await board.reader.keyed_tasks(TENANT, run_key("often", run.planned))
            assert [one.id for one in keyed] == [run.task]

    async def test_a_name_is_taken_once_and_the_same_command_again_changes_nothing(self, board: Board) -> None:
        await board.schedules.create(TENANT, every(board), "c1")
        await board.schedules.create(TENANT, every(board), "c1")
        with pytest.raises(InvalidInput, match="already"):
            await board.schedules.create(TENANT, every(board), "c2")

    async def test_what_cannot_be_run_is_refused(self, board: Board) -> None:
        wrong = msgspec.structs.replace(every(board), every_s=0, cron="61 * * * *")
        with pytest.raises(InvalidInput, match="minute"):
            await board.schedules.create(TENANT, wrong, "c1")
        assert await found(board.reader, TENANT, "often") is None

    async def test_an_unknown_schedule_is_not_found_whatever_is_asked_of_it(self, board: Board) -> None:
        schedules = board.schedules
        for asked in (
            schedules.update(TENANT, every(board)),
            schedules.pause(TENANT, "often", ""),
            schedules.unpause(TENANT, "often", ""),
            schedules.trigger(TENANT, "often", board.now()),
            schedules.backfill(TENANT, "often", Span(0, 1)),
            schedules.delete(TENANT, "often"),
        ):
            with pytest.raises(NotFound, match="often"):
                await asked

    async def test_times_that_nobody_was_there_for_are_run_late(self, board: Board) -> None:
        await board.schedules.create(TENANT, every(board), "c1")
        before = await after(board, 1)
        await board.away(3 * board.every)
        ran = await after(board, len(before) + 3)
        assert all(later.planned - earlier.planned == board.every * 1000 for earlier, later in pairwise(ran))

    async def test_a_run_that_cannot_be_accepted_is_noted_and_stops_no_later_one(self, board: Board) -> None:
        await board.schedules.create(TENANT, every(board, query=REFUSED), "c1")

        async def noted() -> bool:
            there = await found(board.reader, TENANT, "often")
            return there is not None and "cannot be run" in there.state.error

        await board.until(noted)
        await board.schedules.update(TENANT, every(board))
        assert await after(board, 1)


class ScheduleOverlaps:
    """What becomes of a time that comes during a run."""

    async def test_with_skip_there_is_no_run_for_it(self, board: Board) -> None:
        await board.schedules.create(TENANT, every(board, overlap="skip"), "c1")
        first = (await after(board, 1))[0]
        await reach(board, first.planned + 2 * board.every * 1000 + 500)
        assert len(await made(board)) == 1
        ended = board.now()
        await board.end(first.task)
        assert (await after(board, 2))[1].planned >= ended - 1000

    async def test_with_buffer_one_the_first_of_them_is_run_after_the_end(self, board: Board) -> None:
        await board.schedules.create(TENANT, every(board, overlap="buffer_one"), "c1")
        first = (await after(board, 1))[0]
        step = board.every * 1000
        await reach(board, first.planned + 2 * step + step // 2)
        assert len(await made(board)) == 1
        await board.schedules.pause(TENANT, "often", "enough of them")
        await board.end(first.task)
        ran = await after(board, 2)
        assert [run.planned for run in ran] == [first.planned, first.planned + step]

    async def test_with_allow_all_runs_go_on_beside_each_other(self, board: Board) -> None:
        await board.schedules.create(TENANT, every(board), "c1")
        assert len(await after(board, 3, under_way=True)) >= 3

    async def test_with_cancel_other_the_earlier_run_is_cancelled_first(self, board: Board) -> None:
        await board.schedules.create(TENANT, every(board, overlap="cancel_other"), "c1")
        ran = await after(board, 2)
        assert ran[0].status == "cancelled"
        assert len(await made(board, under_way=True)) <= 1


class ScheduleHands:
    """What people ask of schedules."""

    async def test_a_paused_one_runs_nothing_and_what_it_missed_is_not_caught_up(self, board: Board) -> None:
        await board.schedules.create(TENANT, every(board), "c1")
        await after(board, 1)
        await board.schedules.pause(TENANT, "often", "the vendor is down")
        there = await found(board.reader, TENANT, "often")
        assert there is not None
        assert (there.schedule.paused, there.schedule.note) == (True, "the vendor is down")
        paused, before = board.now(), await made(board)
        await reach(board, paused + 3 * board.every * 1000)
        assert len(await made(board)) - len(before) in {0, 1}  # one may have been on its way
        before = await made(board)
        unpaused = board.now()
        await board.schedules.unpause(TENANT, "often", "")
        ran = await after(board, len(before) + 1)
        assert ran[len(before)].planned >= unpaused - 1000

    async def test_a_run_may_be_asked_for_by_hand_also_while_paused_and_is_one_by_its_time(self, board: Board) -> None:
        await board.schedules.create(TENANT, msgspec.structs.replace(every(board), every_s=86_400, paused=True), "c1")
        time = board.now()
        await board.schedules.trigger(TENANT, "often", time)
        await board.schedules.trigger(TENANT, "often", time)
        first = await after(board, 1)
        await board.schedules.trigger(TENANT, "often", time)
        await board.schedules.trigger(TENANT, "often", time + 1)
        assert [run.planned for run in await after(board, 2)] == [time, time + 1]
        assert [run.planned for run in first] in ([time], [time, time + 1])

    async def test_a_backfill_runs_past_times_one_after_another_and_none_again(self, board: Board) -> None:
        rare = msgspec.structs.replace(every(board, overlap="skip"), every_s=86_400, paused=True)
        await board.schedules.create(TENANT, rare, "c1")
        day = 86_400_000
        today = board.now() // day * day
        span = Span(today - 3 * day, today)
        await board.schedules.backfill(TENANT, "often", span)
        for count in (1, 2, 3):
            begun = await after(board, count)
            assert len(begun) == count
            await board.end(begun[-1].task)
        ran = await made(board)
        assert [run.planned for run in ran] == [today - 2 * day, today - day, today]
        await board.schedules.backfill(TENANT, "often", Span(today - 4 * day, today))
        again = await after(board, 4)
        assert [run.planned for run in again] == [today - 3 * day, *(run.planned for run in ran)]
        assert [run.task for run in again[1:]] == [run.task for run in ran]

    async def test_a_backfill_of_what_is_to_come_or_of_nothing_is_refused(self, board: Board) -> None:
        await board.schedules.create(TENANT, every(board), "c1")
        now = board.now()
        with pytest.raises(InvalidInput, match="passed"):
            await board.schedules.backfill(TENANT, "often", Span(now, now + 10**9))
        with pytest.raises(InvalidInput, match="no time"):
            await board.schedules.backfill(TENANT, "often", Span(1, 2))

    async def test_another_definition_counts_from_now_on(self, board: Board) -> None:
        await board.schedules.create(TENANT, msgspec.structs.replace(every(board), every_s=86_400), "c1")
        await board.schedules.update(TENANT, every(board, query="do another thing"))
        ran = await after(board, 1)
        row = await board.reader.task(TENANT, ran[0].task)
        assert row is not None
        assert row.query == "do another thing"

    async def test_a_deleted_one_runs_no_more_its_runs_stay_and_its_name_is_free(self, board: Board) -> None:
        await board.schedules.create(TENANT, every(board), "c1")
        first = (await after(board, 1))[0]
        await board.schedules.delete(TENANT, "often")
        assert await found(board.reader, TENANT, "often") is None
        deleted, before = board.now(), await made(board)
        await reach(board, deleted + 3 * board.every * 1000)
        assert len(await made(board)) - len(before) in {0, 1}  # one may have been on its way
        await board.end(first.task)
        with pytest.raises(NotFound):
            await board.schedules.delete(TENANT, "often")
        before = await made(board)
        await board.schedules.create(TENANT, every(board), "c2")
        assert len(await after(board, len(before) + 1)) > len(before)
