"""Source of bots that others wrote, with a loop, hooks and routes of their own."""

OWN_LOOP = """
import asyncio
import uvicorn
from mark import mark

async def end_all():
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

config = nonebot.get_driver().config
server = uvicorn.Server(
    uvicorn.Config(nonebot.get_asgi(), host=str(config.host), port=config.port, log_config=None)
)
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
try:
    loop.run_until_complete(server.serve())
except KeyboardInterrupt:
    mark("interrupted")
finally:
    loop.run_until_complete(end_all())
    loop.close()
mark("after its loop")
"""

OWN_SIGNALS = """
import asyncio
import contextlib
import signal
import uvicorn
from mark import mark

class Server(uvicorn.Server):
    def install_signal_handlers(self):
        pass

    @contextlib.contextmanager
    def capture_signals(self):
        yield

config = nonebot.get_driver().config
server = Server(
    uvicorn.Config(nonebot.get_asgi(), host=str(config.host), port=config.port, log_config=None)
)

async def main():
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    serving = asyncio.create_task(server.serve())
    while "when" == "after" and not server.started:
        await asyncio.sleep(0)
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    mark("has asked")
    await stop.wait()
    mark("told")
    server.should_exit = True
    await serving

asyncio.run(main())
mark("after its loop")
"""
"""A program that hears of signals from the event loop, be it asked ``before`` the bot starts or
``after``."""

UNDER_HYPERCORN = """
import asyncio
from hypercorn.asyncio import serve
from hypercorn.config import Config
from mark import mark

config = Config()
config.bind = [f"127.0.0.1:{{nonebot.get_driver().config.port}}"]
config.graceful_timeout = 0.2  # for which it waits for what is connected
asyncio.run(serve(nonebot.get_asgi(), config))
mark("after its loop")
"""

ASKING = """
import asyncio

import httpx
from nonebot import get_driver, on_command

base = get_driver().config.ai_base_url

async def ask():
    async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
        for _ in range(10):
            try:
                await client.post(f"{base}/paid")
            except httpx.HTTPError:
                pass

@on_command("ask").handle()
async def _():
    await ask()

@on_command("leave").handle()
async def _():
    global task
    task = asyncio.create_task(ask())
"""

WAITING = """
from mark import mark
from nonebot import get_driver, require

@get_driver().on_startup
async def fetches_its_models():
    mark("fetching")
    await ask()

ask = require("plugin_1").ask
"""

SYNC = """
import urllib.request

from mark import mark
from nonebot import get_driver, on_command

base = get_driver().config.ai_base_url
no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))

@on_command("sync").handle()
async def _():
    mark("sync begins")
    try:
        no_proxy.open(f"{base}/paid", data=b"", timeout=1000).read()
    except Exception:
        mark("sync failed")
"""

OPEN_RESPONSE = """
import asyncio

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from mark import mark
import nonebot

app: FastAPI = nonebot.get_app()

@app.get("/events")
async def events():
    async def stream():
        while True:
            yield "data: x\\n\\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(stream(), media_type="text/event-stream")

@app.get("/slow")
async def slow():
    mark("slow begins")
    await asyncio.sleep(60)
"""

OPEN_RESPONSE_OF_QUART = """
import asyncio

from mark import mark
import nonebot
from quart import Quart, Response

app: Quart = nonebot.get_app()

@app.route("/events")
async def events():
    async def stream():
        while True:
            yield b"data: x\\n\\n"
            await asyncio.sleep(0.05)

    response = Response(stream(), mimetype="text/event-stream")
    response.timeout = None
    return response

@app.route("/slow")
async def slow():
    mark("slow begins")
    await asyncio.sleep(60)
    return ""
"""
