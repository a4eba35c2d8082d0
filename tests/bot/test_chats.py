"""Which chat an event came from, for the real events of each adapter."""

import pytest

from nonebot_plugin_graceful.bot.chats import chat_of, user_of
from tests.platforms import SAID, hear

GROUPS = {
    "onebot_v11": "30001",
    "onebot_v12": "30001",
    "onebot_v12_channel": "1",
    "qq": "GROUP30001",
    "satori": "30001",
    "satori_without_guild": "30001",
    "telegram": "-30001",
    "telegram_topic": "30001",
    "discord": "30001",
    "milky": "30001",
    "feishu": "oc_30001",
    "kaiheila": "30001",
    "minecraft": "server30001",
    "console": "room30001",
}
"""What a group, channel or server with the number 30001 is called."""
PRIVATE = [platform for platform in SAID if platform != "minecraft"]
"""A server of Minecraft is one room."""

platforms = pytest.mark.parametrize("platform", SAID)


@platforms
def test_a_group_is_one_chat_for_all_its_members(platform):
    """Not one for each of them, though many adapters put the user into their session's id."""
    first, second = (hear(platform, "/draw", user, 30001) for user in (1, 2))
    assert user_of(first) != user_of(second)
    assert chat_of(first) == chat_of(second)
    assert chat_of(first).id == GROUPS[platform]


@platforms
def test_another_group_is_another_chat(platform):
    """Also for the same member, whose cancel command is for one of them."""
    first, second = (hear(platform, "/draw", 1, chat) for chat in (30001, 30002))
    assert chat_of(first) != chat_of(second)


@pytest.mark.parametrize("platform", PRIVATE)
def test_whoever_talks_to_the_bot_in_private_has_a_chat_of_his_own(platform):
    """Not the bot's own, and not that of a group with the same number."""
    chats = [chat_of(hear(platform, "/draw", user)) for user in (1, 2)]
    chats.append(chat_of(hear(platform, "/draw", 1, 1)))
    assert len(set(chats)) == 3
    assert "10000" not in [chat.id for chat in chats]


@pytest.mark.parametrize("platform", PRIVATE)
def test_five_requests_of_four_chats_are_in_four_chats(platform):
    """Two members of one group, one of them in another as well, and in private."""
    said = [(1, 30001), (2, 30001), (1, 30002), (1, None), (2, None)]
    assert len({chat_of(hear(platform, "/draw", user, chat)) for user, chat in said}) == 4


class Unheard:
    """An event of an adapter that nobody here knows: there is only what NoneBot asks of each."""

    def __init__(self, user, session):
        self._user, self._session = user, session

    def get_user_id(self):
        if self._user is None:
            raise ValueError
        return self._user

    def get_session_id(self):
        if self._session is None:
            raise ValueError
        return self._session


@pytest.mark.parametrize(
    ("user", "session", "chat"),
    [
        ("u1", "room7_u1", (("session",), "room7")),
        ("u1", "u1@room7", (("session",), "room7")),
        ("7", "group_7_7", (("session",), "group_7")),
        ("7", "group_77_7", (("session",), "group_77")),
        ("u1", "private_u1", (("user",), "u1")),
        ("u1", "u1", (("user",), "u1")),
        ("u1", "owner/repo#3", (("session",), "owner/repo#3")),
        ("u1", None, (("user",), "u1")),
        (None, "live-3", (("session",), "live-3")),
        (None, None, None),
    ],
)
def test_elsewhere_the_session_without_its_user_is_the_chat(user, session, chat):
    """Nothing is known of the platform but what every adapter has to tell."""
    assert chat_of(Unheard(user, session)) == chat
