"""What a suspended coroutine has yet to do."""

import asyncio
import contextlib
import sys

import pytest

from nonebot_plugin_graceful.core.frames import frame_of
from nonebot_plugin_graceful.core.rest import awaits_more


class Client:
    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await asyncio.sleep(0)


async def says(wait):
    await wait


async def says_and_counts(wait):
    await wait
    return sum(range(3))


async def says_if_all_went_well(wait):
    try:
        await wait
    except Exception:
        await asyncio.sleep(0)
    else:
        return 1


async def says_with_a_client(wait):
    async with Client():
        await wait


async def says_and_goes_on(wait):
    await wait
    await asyncio.sleep(0)


async def may_go_on(wait):
    if await wait:
        return
    await asyncio.sleep(0)


async def says_again_and_again(wait):
    for _ in range(3):
        await wait


async def says_and_begins_anew(wait):
    await wait
    async with Client():
        pass


async def says_and_reads(wait):
    await wait
    async for _ in wait:
        pass


async def says_and_cleans_up(wait):
    try:
        await wait
    finally:
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("function", "more"),
    [
        (says, False),
        (says_and_counts, False),
        (says_if_all_went_well, False),
        pytest.param(
            says_with_a_client,
            False,
            marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="told from 3.11 on"),
        ),
        (says_and_goes_on, True),
        (may_go_on, True),
        (says_again_and_again, True),
        (says_and_begins_anew, True),
        (says_and_reads, True),
        (says_and_cleans_up, True),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
async def test_whether_it_comes_to_another_await(function, more):
    """As it stands in its code, if nothing is raised."""
    coro = function(asyncio.get_running_loop().create_future())
    future = coro.send(None)
    while not asyncio.isfuture(future):  # entering the client
        future = coro.send(None)
    assert awaits_more(frame_of(coro)) is more
    for _ in range(2):  # some await something on their way out
        with contextlib.suppress(RuntimeError):
            coro.close()
