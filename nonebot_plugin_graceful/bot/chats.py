"""Which chat an event came from, on whatever platform."""

import re
from typing import Any, NamedTuple

from nonebot.adapters import Event

__all__ = ["Chat", "chat_of", "user_of", "value_of"]

PLACES = (
    ("group_id",),  # OneBot, Kaiheila
    ("group_openid",),  # QQ
    ("guild_id", "channel_id"),  # OneBot V12, QQ, Discord
    ("channel_id",),
    ("guild.id", "channel.id"),  # Satori
    ("chat.id", "message_thread_id"),  # Telegram
    ("chat.id",),
    ("message.chat.id",),  # of its buttons
    ("data.message_scene", "data.peer_id"),  # Milky
    ("data.group_id",),
    ("event.message.chat_id",),  # Feishu
    ("event.chat_id",),
    ("server_name",),  # Minecraft
    ("guild_id",),
    ("chat_id",),
)
"""Where platforms say it: the last is the chat's own id, those before it say of what it is one."""
DIRECT = frozenset(
    ("private", "friend", "direct", "dm", "c2c", "p2p", "person", "user", "temp", "session")
)
"""What a session id says besides the user's own, if it is of nobody else."""

_WORD = re.compile(r"[^\W_]+")


class Chat(NamedTuple):
    """A group, a channel, or somebody whom the bot talks to in private."""

    place: tuple[str, ...]
    """What kind of id it is, and of what it is a part: a group may have the number of a person."""
    id: str


def chat_of(event: Event) -> Chat | None:
    """Tell the chat an event came from; None if it came from nowhere."""
    user = user_of(event)
    # What a direct message of Kaiheila's has for its group is the bot itself.
    if user is not None and "private" in (
        value_of(event, "message_type"),
        value_of(event, "detail_type"),
    ):
        return Chat(("user",), user)
    for paths in PLACES:
        values = [value_of(event, path) for path in paths]
        if None not in values:
            *within, own = map(str, values)
            return Chat((paths[-1], *within), own)
    return _by_session(event, user)


def user_of(event: Event) -> str | None:
    """Tell who sent an event; None if nobody did."""
    try:
        return event.get_user_id()
    except Exception:  # meta events are nobody's
        return None


def value_of(event: object, path: str) -> str | int | None:
    """Give what an event says at a path of attributes; None if it does not, or not in a word."""
    value: Any = event
    for name in path.split("."):
        value = getattr(value, name, None)
    return value if isinstance(value, str | int) and value else None


def _by_session(event: Event, user: str | None) -> Chat | None:
    """Tell it by the session's id, into which many adapters put the user."""
    try:
        session = event.get_session_id()
    except Exception:
        session = ""
    if user and session:
        *_, cut = ("", *re.finditer(rf"(?<![^\W_]){re.escape(user)}(?![^\W_])", session))
        if cut:
            others = f"{session[: cut.start()]}{session[cut.end() :]}".strip("_/:-.@")
            if DIRECT.issuperset(_WORD.findall(others.lower())):
                return Chat(("user",), user)
            return Chat(("session",), others)
    if session:
        return Chat(("session",), session)
    return Chat(("user",), user) if user else None
