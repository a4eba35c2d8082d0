"""A OneBot V11 implementation: the side a chat client such as NapCat plays for a bot."""

import asyncio
import contextlib
import itertools
import json
import socket
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import Self
from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from .changes import Changes

__all__ = ["Answer", "Call", "Closed", "FakeOneBot"]

SENDING = ("send_msg", "send_private_msg", "send_group_msg")
KEPT = 200
"""Messages that a history holds."""
RETRY_INTERVAL = 0.1
"""Seconds between two tries to reach a bot that is not up yet."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How the calls of one action are answered."""

    latency: float | None = 0.0
    """Seconds before the answer. None: there is none."""
    data: Any = None
    """Sent instead of the usual data."""
    retcode: int = 0
    """0 is success."""


@dataclass(slots=True)
class Call:
    """One API call of the bot's. All times are of ``time.monotonic``."""

    action: str
    params: dict[str, Any]
    received: float
    answered: float | None = None

    @property
    def text(self) -> str:
        """The words of a message that is being sent; pictures read ``[image]``."""
        return _text(self.params.get("message", ""))

    @property
    def chat(self) -> tuple[str, int]:
        """Where a message goes: ``("group", id)`` or ``("private", id)``."""
        if group := self.params.get("group_id"):
            return "group", int(group)
        return "private", int(self.params.get("user_id", 0))


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of a connection."""

    time: float
    """Of ``time.monotonic``."""
    code: int | None
    reason: str | None


class FakeOneBot:
    """One account on the chat platform, with the users and groups it hears of.

    ``dial`` it (reverse WebSocket, for bots with a server) or let it ``listen`` (forward
    WebSocket). As an async context manager it closes itself.
    """

    def __init__(
        self, self_id: int = 10000, *, heartbeat: float = 5.0, history: Path | None = None
    ) -> None:
        """Set up an account.

        Args:
            self_id: The account's number.
            heartbeat: Seconds between two heartbeats.
            history: A file that keeps what members have said for the next time: a platform does
                not forget it because a bot is restarted.

        """
        self.self_id = self_id
        self.calls: list[Call] = []
        """Every API call so far, oldest first."""
        self.closed: Closed | None = None
        """How the last connection ended. None: it has not."""
        self.connections = 0
        """How many there have been."""
        self.on_sent: Callable[[Call], object] | None = None
        """Called with each message the bot sends."""
        self._heartbeat = heartbeat
        self._answers: dict[str, Answer] = {}
        self._messages: dict[int, dict[str, Any]] = {}
        self._history = history
        self._withdrawn: set[int] = set()
        if history is not None:
            self._messages = _read(history)
        self._message_ids = itertools.count(max(self._messages, default=0) + 1)
        self._connection: Connection | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._exits = contextlib.AsyncExitStack()
        self._changes = Changes()

    # life

    def dial(self, url: str) -> None:
        """Connect to a bot (``ws://host:port/onebot/v11/ws``), retrying until it is up."""
        self._start(self._dial(url))

    async def listen(self) -> str:
        """Wait for bots on a free port of 127.0.0.1, and return the URL to give them."""
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        await self._exits.enter_async_context(
            serve(self._talk, sock=listener, max_size=None, ping_interval=None)
        )
        return f"ws://127.0.0.1:{port}"

    async def close(self) -> None:
        """Hang up, and stop dialling and listening."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._exits.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _dial(self, url: str) -> None:
        headers = {"X-Self-ID": str(self.self_id), "X-Client-Role": "Universal"}
        while True:
            try:
                async with connect(
                    url, additional_headers=headers, proxy=None, max_size=None, ping_interval=None
                ) as connection:
                    await self._talk(connection)
                    return
            except (OSError, InvalidHandshake):
                await asyncio.sleep(RETRY_INTERVAL)

    async def _talk(self, connection: Connection) -> None:
        """Hear what the bot wants, until the connection ends."""
        self.closed = None
        heart = self._start(self._beat(connection))
        try:
            await self._send(
                connection,
                post_type="meta_event",
                meta_event_type="lifecycle",
                sub_type="connect",
            )
            self._connection = connection
            self.connections += 1
            self._changes.tell()
            async for frame in connection:
                request = json.loads(frame)
                call = Call(request["action"], request["params"], time.monotonic())
                self.calls.append(call)
                self._changes.tell()
                if self.on_sent and call.action in SENDING:
                    self.on_sent(call)
                self._start(self._reply(connection, call, request.get("echo")))
        except ConnectionClosed:
            pass
        finally:
            heart.cancel()
            if self._connection in (connection, None):  # it may be the next one's already
                self._connection = None
                self.closed = Closed(
                    time.monotonic(), connection.close_code, connection.close_reason
                )
            self._changes.tell()

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # what happens in the chats

    async def say(
        self,
        user: int,
        text: str,
        group: int | None = None,
        image_url: str | None = None,
        reply_to: int | None = None,
    ) -> int:
        """Let a user say something, and return the message's id.

        Args:
            user: Who says it.
            text: What is said.
            group: In which group. None: to the bot alone.
            image_url: A picture that comes with it.
            reply_to: The id of a message this one replies to.

        """
        message: list[dict[str, Any]] = []
        if reply_to is not None:
            message.append({"type": "reply", "data": {"id": str(reply_to)}})
        message.append({"type": "text", "data": {"text": text}})
        if image_url is not None:
            name = image_url.rpartition("/")[2]
            message.append({"type": "image", "data": {"file": name, "url": image_url}})
        record = self._remember(user, message, group)
        sub_type = "friend" if group is None else "normal"
        await self._event(post_type="message", sub_type=sub_type, font=0, **record)
        return record["message_id"]

    async def recall(self, message_id: int, operator: int | None = None) -> None:
        """Let a message be recalled, by who said it or (in a group) by an ``operator``."""
        message = self._messages[message_id]
        self._withdrawn.add(message_id)
        notice = {"message_id": message_id, "user_id": message["user_id"]}
        if group := message.get("group_id"):
            notice |= {"group_id": group, "operator_id": operator or message["user_id"]}
        kind = "group_recall" if group else "friend_recall"
        await self._event(post_type="notice", notice_type=kind, **notice)

    def _remember(self, user: int, message: Any, group: int | None) -> dict[str, Any]:
        """Keep a message, so that it can be asked for and recalled."""
        message_id = next(self._message_ids)
        record = self._messages[message_id] = {
            "message_type": "private" if group is None else "group",
            "message_id": message_id,
            "real_id": message_id,
            "time": int(time.time()),
            "user_id": user,
            "sender": {"user_id": user, "nickname": f"用户{user}"},
            "message": message,
            "raw_message": _text(message),
        }
        if group is not None:
            record["group_id"] = group
        if self._history is not None and user != self.self_id:
            with self._history.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        return record

    async def _event(self, **event: Any) -> None:
        if self._connection is None:
            raise ConnectionError("no bot is connected")
        await self._send(self._connection, **event)

    async def _send(self, connection: Connection, **event: Any) -> None:
        event = {"time": int(time.time()), "self_id": self.self_id, **event}
        await connection.send(json.dumps(event))

    async def _beat(self, connection: Connection) -> None:
        status = {"online": True, "good": True}
        interval = int(self._heartbeat * 1000)
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(self._heartbeat)
                await self._send(
                    connection,
                    post_type="meta_event",
                    meta_event_type="heartbeat",
                    status=status,
                    interval=interval,
                )

    # what the bot asks for

    def on(self, action: str, answer: Answer | None) -> None:
        """Say how the calls of an action are answered from now on. None: as usual."""
        if answer is None:
            self._answers.pop(action, None)
        else:
            self._answers[action] = answer

    async def _reply(self, connection: Connection, call: Call, echo: Any) -> None:
        answer = self._answers.get(call.action, Answer())
        if answer.latency is None:
            return
        if answer.latency:
            await asyncio.sleep(answer.latency)
        retcode, data, wording = answer.retcode, answer.data, ""
        if data is None and retcode == 0:
            try:
                data = self._usual(call)
            except _WithdrawnError:
                retcode, wording = 1200, "消息已撤回"
            except LookupError:
                retcode = 1404
        status = "ok" if retcode == 0 else "failed"
        reply = {"status": status, "retcode": retcode, "data": data, "echo": echo}
        if wording:
            reply["wording"] = wording
        with contextlib.suppress(ConnectionClosed):
            await connection.send(json.dumps(reply))
            call.answered = time.monotonic()
            self._changes.tell()

    def _usual(self, call: Call) -> Any:
        """Answer as a real implementation would; LookupError if the action is not known."""
        params = call.params
        data: Any
        match call.action:
            case "send_msg" | "send_private_msg" | "send_group_msg":
                place, number = call.chat
                group = number if place == "group" else None
                sent = self._remember(self.self_id, params["message"], group)
                data = {"message_id": sent["message_id"]}
            case "get_msg" if int(params["message_id"]) in self._withdrawn:
                raise _WithdrawnError
            case "get_msg":
                data = self._messages[int(params["message_id"])]
            case "delete_msg":
                del self._messages[int(params["message_id"])]
                data = None
            case "get_login_info":
                data = {"user_id": self.self_id, "nickname": "沙盒机器人"}
            case "get_stranger_info" | "get_group_member_info":
                data = {"user_id": params["user_id"], "nickname": f"用户{params['user_id']}"}
            case "get_group_info":
                data = {"group_id": params["group_id"], "group_name": f"群{params['group_id']}"}
            case "get_status":
                data = {"online": True, "good": True}
            case "get_version_info":
                data = {"app_name": "sandbox", "app_version": "1", "protocol_version": "v11"}
            case action:
                raise LookupError(action)
        return data

    # looking

    @property
    def sent(self) -> list[Call]:
        """The messages the bot has sent so far, oldest first."""
        return [call for call in self.calls if call.action in SENDING]

    async def wait_for_connection(self, nth: int = 1, *, timeout: float = 30) -> None:
        """Wait until a bot is connected, be it for the nth time at least."""
        await self._changes.until(
            lambda: self._connection and self.connections >= nth, f"connection {nth}", timeout
        )

    async def wait_for_message(
        self, wanted: str | Callable[[Call], bool] = "", *, timeout: float = 30
    ) -> Call:
        """Wait until the bot has sent a certain message, and return the first such.

        Args:
            wanted: What it has to contain, or what it has to fulfil.
            timeout: Seconds to wait at most.

        """

        def fits(call: Call) -> bool:
            return wanted in call.text if isinstance(wanted, str) else wanted(call)

        return await self._changes.until(
            lambda: next(filter(fits, self.sent), None), f"a message ({wanted!r})", timeout
        )

    async def wait_for_messages(self, n: int, *, timeout: float = 30) -> list[Call]:
        """Wait until the bot has sent ``n`` messages, and return them."""
        return await self._changes.until(
            lambda: sent if len(sent := self.sent) >= n else None, f"{n} messages", timeout
        )

    async def wait_for_call(self, action: str, *, timeout: float = 30) -> Call:
        """Wait until the bot has called an action, and return the first such call."""
        return await self._changes.until(
            lambda: next((call for call in self.calls if call.action == action), None),
            action,
            timeout,
        )

    async def wait_closed(self, *, timeout: float = 30) -> Closed:
        """Wait until the connection has ended, and return how."""
        return await self._changes.until(lambda: self.closed, "the end of the connection", timeout)


class _WithdrawnError(Exception):
    """A message that its author has taken back is asked for."""


def _read(history: Path) -> dict[int, dict[str, Any]]:
    """Give the last messages that a file has kept, by their numbers."""
    history.parent.mkdir(parents=True, exist_ok=True)
    if not history.exists():
        return {}
    lines = history.read_text(encoding="utf-8").splitlines()[-KEPT:]
    history.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    messages: dict[int, dict[str, Any]] = {}
    for line in lines:
        with contextlib.suppress(ValueError):  # the last one, of a process that was killed
            message = json.loads(line)
            messages[message["message_id"]] = message
    return messages


def _text(message: str | list[dict[str, Any]]) -> str:
    if isinstance(message, str):
        return message
    return "".join(
        part["data"]["text"] if part["type"] == "text" else f"[{part['type']}]" for part in message
    )
