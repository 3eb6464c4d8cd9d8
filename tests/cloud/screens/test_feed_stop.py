"""A stream that is stopped in the very moment in which its screen is given up does stop."""

import asyncio
import random

from cloud.kit.clock import SystemClock
from cloud.notify.journal import Head
from cloud.people.model import Principal, Role
from cloud.screens.api import FeedResponse
from cloud.screens.feed import Feed

TRIES = 300


async def test_a_cancellation_in_the_moment_of_a_lost_screen_is_obeyed() -> None:
    luck = random.Random(7)

    async def replay(_after: int, _upto: int) -> None:
        return None

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    in_time = 0
    for _ in range(TRIES):
        feed = Feed(Head(1, 0), clock=SystemClock(), replay=replay)
        stream = feed.open(Principal("u", "u", "u", Role.DUTY), "")
        gone, sending, obeyed = asyncio.Event(), asyncio.Event(), False

        async def send(
            _message: object, gone: asyncio.Event = gone, sending: asyncio.Event = sending
        ) -> None:
            sending.set()
            await gone.wait()
            raise OSError("the screen is gone")

        async def serve(response: FeedResponse) -> None:
            nonlocal obeyed
            try:
                await response({}, receive, send)
            except asyncio.CancelledError:
                obeyed = True
                raise

        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(serve(FeedResponse(stream)), name="serve")
            await sending.wait()
            gone.set()
            for _ in range(luck.randrange(5)):
                await asyncio.sleep(0)
            was_done = serving.done()
            in_time += not was_done
            serving.cancel()
        assert obeyed or was_done
        assert not feed.streams
    assert in_time > TRIES // 10
