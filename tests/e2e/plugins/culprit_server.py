"""A plugin with a web page of its own: a second uvicorn in the bot's loop.

It takes the signals when it starts, and delivers them again when it has ended.
"""

import asyncio

import uvicorn
from mark import mark
from nonebot import get_driver


async def app(scope, receive, send):
    pass


server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off"))
tasks = []


async def announce():
    while not server.started:
        await asyncio.sleep(0.01)
    mark("second_server begins")


@get_driver().on_startup
async def _():
    tasks.extend([asyncio.create_task(server.serve()), asyncio.create_task(announce())])
