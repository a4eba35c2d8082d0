"""Chat platforms of our own on loopback: as much of each as its adapter needs to connect and talk."""

import asyncio
import json
import time
from dataclasses import dataclass

from aiohttp import ClientConnectorError, ClientSession, WSMsgType, web

from examples.sandbox.changes import Changes
from examples.sandbox.onebot import RETRY_INTERVAL
from tests import platforms
from tests.platforms import BOT

SOON = 60
"""Seconds within which what is waited for has to happen. With old pydantics a bot takes its time."""


@dataclass(frozen=True)
class Sent:
    """A message of the bot's."""

    chat: str
    text: str
    quotes: str
    """The number of the message it replies to; empty: it is no reply."""
    time: float
    """Of ``time.monotonic``."""


class Platform:
    """A platform with one bot. As an async context manager it closes itself."""

    adapter = ""
    """The module of ``nonebot.adapters``."""
    tweak = ""
    """What is done to the adapter when it has been registered: ``{url}`` is where we are."""
    server = False
    """Whether the bot has to be a server, since we push to it."""

    def __init__(self):
        self.sent = []
        self.connected = False
        self.latency = 0.0
        """Seconds that sending takes."""
        self._sockets = []
        self._changes = Changes()

    async def __aenter__(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_):
        for socket in self._sockets:
            await socket.close()
        await self._runner.cleanup()

    # what tests do

    async def wait_for_connection(self):
        await self._changes.until(lambda: self.connected, "a connection", SOON)

    async def wait_for_message(self, count=1):
        await self._changes.until(lambda: len(self.sent) >= count, f"{count} messages", SOON)

    async def say(self, text, user, chat=None):
        """Let somebody say something; gives what is written on the wire."""
        payload = self.payload(text, user, chat)
        await self.push(payload)
        return payload

    async def push(self, payload):
        await self._sockets[-1].send_str(json.dumps(payload))

    # what platforms do

    async def _serve(self, request):
        if request.headers.get("Upgrade", "").lower() == "websocket":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            self._sockets.append(socket)
            await self.greet(socket)
            async for frame in socket:
                if frame.type == WSMsgType.TEXT:
                    await self.hear(socket, json.loads(frame.data))
            return socket
        kind = request.headers.get("Content-Type", "")
        if kind.startswith("application/json"):
            data = await request.json()
        else:
            data = dict(await request.post())
        return web.json_response(await self.answer(request.path, data))

    def online(self):
        self.connected = True
        self._changes.tell()

    async def take(self, chat, text, quotes=""):
        """Take a message of the bot's."""
        self.sent.append(Sent(str(chat), text, str(quotes or ""), time.monotonic()))
        self._changes.tell()
        await asyncio.sleep(self.latency)

    async def greet(self, socket):
        """Say the first word of a connection."""

    async def hear(self, socket, data):
        """Hear what the bot says on a connection."""

    async def answer(self, path, data):
        """Answer a call of the HTTP API."""

    @staticmethod
    def settings_at(url, port):
        """Give the settings of a bot that is to connect."""

    @property
    def settings(self):
        return self.settings_at(self.url, self.port)


class OneBotV12(Platform):
    adapter = "onebot.v12"
    payload = staticmethod(platforms.onebot_v12)

    @staticmethod
    def settings_at(url, port):
        return {"onebot_v12_ws_urls": [f"ws://127.0.0.1:{port}/"]}

    async def greet(self, socket):
        version = {"impl": "test", "version": "1", "onebot_version": "12"}
        me = {"platform": "qq", "user_id": str(BOT)}
        status = {"good": True, "bots": [{"self": me, "online": True}]}
        for number, kind in enumerate(
            (
                {"detail_type": "connect", "version": version},
                {"detail_type": "status_update", "status": status},
            )
        ):
            meta = {"id": str(number), "time": 1700000000.0, "type": "meta", "sub_type": ""}
            await socket.send_str(json.dumps(meta | kind))
        self.online()

    async def hear(self, socket, data):
        params = data["params"]
        parts = {part["type"]: part["data"] for part in params.get("message", ())}
        if data["action"] == "send_message":
            await self.take(
                params.get("group_id") or params["user_id"],
                parts["text"]["text"],
                parts.get("reply", {}).get("message_id"),
            )
        answer = {"status": "ok", "retcode": 0, "message": "", "echo": data["echo"]}
        await socket.send_str(json.dumps(answer | {"data": {"message_id": "1", "time": 1.0}}))

    @staticmethod
    def number_of(payload):
        return payload["message_id"]


class Satori(Platform):
    adapter = "satori"
    payload = staticmethod(platforms.satori)

    @staticmethod
    def settings_at(url, port):
        return {"satori_clients": [{"host": "127.0.0.1", "port": port}]}

    async def hear(self, socket, data):
        if data["op"] == 3:
            login = platforms.satori("", 1)["login"]
            ready = {"op": 4, "body": {"logins": [login], "proxy_urls": []}}
            await socket.send_str(json.dumps(ready))
            self.online()
        elif data["op"] == 1:
            await socket.send_str(json.dumps({"op": 2, "body": {}}))

    async def push(self, payload):
        await super().push({"op": 0, "body": payload})

    async def answer(self, path, data):
        if not path.endswith("/message.create"):
            return []
        quote, _, text = data["content"].rpartition("/>")
        await self.take(data["channel_id"], text, quote.partition('id="')[2].rstrip('"'))
        return [{"id": "1", "content": data["content"]}]

    @staticmethod
    def number_of(payload):
        return payload["message"]["id"]


class Milky(Platform):
    adapter = "milky"
    payload = staticmethod(platforms.milky)

    @staticmethod
    def settings_at(url, port):
        return {"milky_clients": [{"host": "127.0.0.1", "port": port}]}

    async def answer(self, path, data):
        result = {}
        if path.endswith("/get_login_info"):
            result = {"uin": BOT, "nickname": "bot"}
            self.online()
        elif "/send_" in path:
            parts = {part["type"]: part["data"] for part in data["message"]}
            await self.take(
                data.get("group_id") or data["user_id"],
                parts["text"]["text"],
                parts.get("reply", {}).get("message_seq"),
            )
            result = {"message_seq": 1, "time": 1}
        return {"status": "ok", "retcode": 0, "data": result}

    @staticmethod
    def number_of(payload):
        return str(payload["data"]["message_seq"])


class Kaiheila(Platform):
    adapter = "kaiheila"
    payload = staticmethod(platforms.kaiheila)
    tweak = 'adapter.api_root = "{url}/api/v3/"'

    @staticmethod
    def settings_at(url, port):
        return {"kaiheila_bots": [{"token": "t"}]}

    async def greet(self, socket):
        await socket.send_str(json.dumps({"s": 1, "d": {"code": 0, "session_id": "s"}}))

    async def hear(self, socket, data):
        if data["s"] == 2:
            await socket.send_str(json.dumps({"s": 3}))
            self.online()

    async def answer(self, path, data):
        result = {}
        if path.endswith("/gateway/index"):
            result = {"url": f"ws://127.0.0.1:{self.port}/gateway"}
        elif path.endswith("/user/me"):
            result = {"id": str(BOT), "username": "bot"}
        elif path.endswith("message/create"):
            await self.take(data["target_id"], data["content"], data.get("quote"))
            result = {"msg_id": "1", "msg_timestamp": 1, "nonce": ""}
        return {"code": 0, "message": "", "data": result}

    @staticmethod
    def number_of(payload):
        return payload["d"]["msg_id"]


class Telegram(Platform):
    adapter = "telegram"
    payload = staticmethod(platforms.telegram)
    webhook = False

    def __init__(self):
        super().__init__()
        self._updates = []
        self.confirmed = 0
        """The number of the last update that the bot has said it is done with."""
        self._offered = 0
        self.secret = ""

    @classmethod
    def settings_at(cls, url, port):
        bot = {"token": f"{BOT}:t", "api_server": f"{url}/", "is_webhook": cls.webhook}
        return {"telegram_bots": [bot], "telegram_webhook_url": "http://127.0.0.1"}

    async def push(self, payload):
        self._updates.append(payload)
        self._changes.tell()

    async def answer(self, path, data):
        api = path.rpartition("/")[2]
        result = True
        if api == "getMe":
            result = {"id": BOT, "is_bot": True, "first_name": "bot", "username": "cat_bot"}
        elif api == "setWebhook":
            self.secret = data["secret_token"]
            self.online()
        elif api == "getUpdates":
            self.online()
            result = await self._poll(int(data.get("offset") or 0))
        elif api == "sendMessage":
            quoted = data.get("reply_parameters", "{}")
            quoted = json.loads(quoted) if isinstance(quoted, str) else quoted
            await self.take(data["chat_id"], data["text"], quoted.get("message_id"))
            result = self.payload(data["text"], BOT)["message"]
        return {"ok": True, "result": result}

    async def _poll(self, offset):
        self.confirmed = max(self.confirmed, offset - 1)
        self._updates = [each for each in self._updates if each["update_id"] >= offset]
        if not self._updates:
            try:
                await self._changes.until(lambda: self._updates, "an update", 30)
            except TimeoutError:
                return []
        self._offered = self._updates[-1]["update_id"]
        self._changes.tell()
        return self._updates

    async def wait_until_offered(self, payload):
        """Wait until the bot has been given an update."""
        number = payload["update_id"]
        await self._changes.until(lambda: self._offered >= number, "an offer", SOON)

    @staticmethod
    def number_of(payload):
        return str(payload["message"]["message_id"])


class TelegramWebhook(Telegram):
    webhook = True
    server = True

    def __init__(self):
        super().__init__()
        self.bot_port = 0
        self.answers = []
        """What the bot has answered to each update, by HTTP's status."""

    async def push(self, payload):
        headers = {"X-Telegram-Bot-Api-Secret-Token": self.secret}
        url = f"http://127.0.0.1:{self.bot_port}/telegram"
        async with ClientSession() as session:
            while True:
                try:
                    answer = await session.post(url, json=payload, headers=headers)
                except ClientConnectorError:  # its hooks run before it listens
                    await asyncio.sleep(RETRY_INTERVAL)
                else:
                    self.answers.append(answer.status)
                    return


class Discord(Platform):
    adapter = "discord"
    payload = staticmethod(platforms.discord)
    # Its first heartbeat comes after five seconds.
    tweak = """
from nonebot.adapters.discord import adapter as module
from yarl import URL
adapter.base_url = URL("{url}/api")
class Hasty:
    def __getattr__(self, name):
        return getattr(asyncio, name)
    async def sleep(self, seconds):
        await asyncio.sleep(0 if seconds == 5 else seconds)
module.asyncio = Hasty()
"""

    @staticmethod
    def settings_at(url, port):
        return {"discord_bots": [{"token": "t"}]}

    async def greet(self, socket):
        await socket.send_str(json.dumps({"op": 10, "d": {"heartbeat_interval": 40000}}))

    async def hear(self, socket, data):
        if data["op"] == 1:
            await socket.send_str(json.dumps({"op": 11}))
        elif data["op"] == 2:
            ready = {
                "v": 10,
                "user": self._me(),
                "guilds": [],
                "session_id": "s",
                "resume_gateway_url": f"ws://127.0.0.1:{self.port}/gateway",
                "application": {"id": str(BOT), "flags": 0},
            }
            await socket.send_str(json.dumps({"op": 0, "s": 1, "t": "READY", "d": ready}))
            self.online()

    def _me(self):
        return platforms.discord("", BOT)["d"]["author"]

    async def answer(self, path, data):
        if path.endswith("/gateway/bot"):
            limit = {"total": 9, "remaining": 9, "reset_after": 1, "max_concurrency": 1}
            url = f"ws://127.0.0.1:{self.port}/gateway"
            return {"url": url, "shards": 1, "session_start_limit": limit}
        if path.endswith("/users/@me"):
            return self._me()
        if path.endswith("/messages"):
            chat = path.split("/")[-2]
            quoted = data.get("message_reference") or {}
            await self.take(chat, data["content"], quoted.get("message_id"))
            return platforms.discord(data["content"], BOT, int(chat))["d"]
        return []

    @staticmethod
    def number_of(payload):
        return payload["d"]["id"]


PLATFORMS = {
    kind.__name__.lower(): kind
    for kind in (OneBotV12, Satori, Milky, Kaiheila, Telegram, TelegramWebhook, Discord)
}
