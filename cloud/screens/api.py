"""Routes of screens: the event stream and the receipts of what was displayed."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import override

from cloud.kit.web import ERRORS
from cloud.people.permission import AnyRole, OnDuty
from cloud.screens.feed import Stream
from cloud.screens.service import ScreenService

router: Final = APIRouter(prefix="/api", tags=["screens"], responses=ERRORS)
SEND_TIMEOUT_S: Final = 30.0
_HEADERS: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]


def _screens(request: Request) -> ScreenService:
    return cast("ScreenService", request.app.state.screens)


Screens = Annotated[ScreenService, Depends(_screens)]


class Displayed(BaseModel):
    """A screen has displayed everything up to `seq`."""

    model_config = ConfigDict(extra="forbid")

    seq: int = Field(ge=0, le=2**62)
    epoch: int | None = Field(default=None, ge=0, le=2**62)
    screen: str = Field(
        default="",
        max_length=64,
        pattern=r"^[A-Za-z0-9._\-]*$",
        description="The screen's own name; empty stands for the session.",
    )


class ReceiptView(BaseModel):
    """What one screen has displayed; `at` is Unix ms."""

    screen: str
    user_id: str
    epoch: int
    seq: int
    at: int


class ReceiptList(BaseModel):
    """Receipts, latest first."""

    receipts: list[ReceiptView]


class FeedResponse(Response):
    """Sends a stream: one task waits for the other side to go, one sends; nothing is queued per screen."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(headers=dict(_HEADERS))
        del self.headers["content-length"]
        self._stream = stream

    @override
    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve the stream until it ends, the screen goes, or takes nothing for 30 s."""
        stream = self._stream
        try:
            async with asyncio.TaskGroup() as tasks:
                waiting = tasks.create_task(_until_gone(receive, stream), name="feed-gone")
                # The group sees no error: before Python 3.13 one that ends by an error of its own
                # forgets a cancellation that comes at the same moment.
                try:
                    await self._send_all(send)
                except (TimeoutError, OSError):
                    stream.ending = "too_slow"
                waiting.cancel()
        finally:
            stream.leave()

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        chunk = await self._stream.begin()
        while chunk:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            chunk = await self._stream.following()
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive, stream: Stream) -> None:
    with suppress(OSError):
        while (await receive())["type"] != "http.disconnect":
            pass
    stream.leave()


@router.get(
    "/feed",
    operation_id="openFeed",
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events: alert, device, edge, unseen, beat, resync, end.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def open_feed(
    principal: AnyRole,
    screens: Screens,
    after: Annotated[str, Query(max_length=40, description="Go on after this id.")] = "",
    last_event_id: Annotated[str, Header(max_length=40)] = "",
) -> Response:
    """Open the stream of changes. `Last-Event-ID` (a reconnecting browser) comes before `after`."""
    return FeedResponse(screens.feed.open(principal, last_event_id or after))


@router.post("/feed/displayed", operation_id="confirmDisplayed", status_code=204)
def confirm_displayed(principal: OnDuty, body: Displayed, screens: Screens) -> None:
    """Confirm that a screen displays everything up to `seq`; 422 when the stream is not so far."""
    screens.displayed(principal, seq=body.seq, screen=body.screen, epoch=body.epoch)


@router.get("/feed/receipts", operation_id="listReceipts")
def list_receipts(_principal: AnyRole, screens: Screens) -> ReceiptList:
    """List what each screen has displayed."""
    return ReceiptList(
        receipts=[
            ReceiptView(
                screen=item.screen, user_id=item.user_id, epoch=item.epoch, seq=item.seq, at=item.at
            )
            for item in screens.receipts()
        ]
    )
