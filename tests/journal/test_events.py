"""Every adapter's events come back from JSON as they were."""

import asyncio
from collections import deque

import pytest
from nonebot.adapters.onebot.v11 import Adapter, Bot
from pydantic import BaseModel, SecretBytes, SecretStr

from nonebot_plugin_graceful.journal import codec
from nonebot_plugin_graceful.journal.identity import key_of

from .conftest import message
from .events import EVENTS


@pytest.mark.parametrize("adapter", EVENTS)
def test_an_event_comes_back_equal(adapter):
    """In its class, its fields, its messages, and what the adapter has derived or taken away."""
    event = EVENTS[adapter]()
    text, exact = codec.dump(event)
    again = codec.load(text)
    assert exact
    assert type(again) is type(event)
    assert again == event
    assert again.get_message() == event.get_message()
    assert type(again.get_message()) is type(event.get_message())
    assert [type(each) for each in again.get_message()] == [type(e) for e in event.get_message()]
    assert again.get_session_id() == event.get_session_id()
    assert again.get_user_id() == event.get_user_id()
    assert again.is_tome() == event.is_tome()
    assert again.get_event_description() == event.get_event_description()
    original = getattr(event, "original_message", None)
    assert getattr(again, "original_message", None) == original


@pytest.mark.parametrize("adapter", EVENTS)
def test_a_second_delivery_has_the_same_key(adapter, app):
    """Parsed anew from the same payload; another message of the same person has another."""
    import nonebot

    bot = Bot(nonebot.get_adapter(Adapter), "10000")
    key = key_of(bot, EVENTS[adapter]())
    assert key
    assert key_of(bot, EVENTS[adapter]()) == key
    assert key_of(Bot(nonebot.get_adapter(Adapter), "2"), EVENTS[adapter]()) != key


def test_the_keys_of_all_are_different(app):
    """Of each event its own."""
    import nonebot

    bot = Bot(nonebot.get_adapter(Adapter), "10000")
    keys = {key_of(bot, make()) for name, make in EVENTS.items() if name != "onebot_v11_reply"}
    assert len(keys) == len(EVENTS) - 1
    assert key_of(bot, message("a")) != key_of(bot, message("a"))


def test_what_cannot_be_written_is_told_and_left_out():
    """The rest comes back: it is enough to tell whoever asked."""
    event = message("hello")
    event.sender.lock = asyncio.Lock()  # OneBot's models allow further fields
    text, exact = codec.dump(event)
    assert not exact
    assert codec.load(text).get_plaintext() == "hello"


def test_what_contains_itself_is_no_endless_loop():
    """Neither is it taken for something that can be written."""
    loop = []
    loop.append(loop)
    assert not codec.dump(loop)[1]


def test_a_class_with_further_fields_is_not_filled_with_holes():
    """An adapter's update may ask for what was not written."""
    text, _ = codec.dump(message("hello"))
    with pytest.raises(codec.CannotReadError, match="further fields: font"):
        codec.load(text.replace('"font":0,', ""))


class Account(BaseModel):
    """What a plugin knows of a service."""

    key: SecretStr


SECRETS = {
    "text": SecretStr,
    "bytes": lambda text: SecretBytes(text.encode()),
    "in a model": lambda text: Account(key=text),
    "in a deque": lambda text: deque([SecretStr(text)]),
}


@pytest.mark.parametrize("case", SECRETS)
def test_a_secret_is_told_and_not_written_as_stars(case):
    """All secrets would read the same, and whoever reads it would use the stars."""
    with pytest.raises(TypeError, match="cannot be written"):
        codec.encode({"key": SECRETS[case]("secret")})


@pytest.mark.parametrize("name", ["nonebot.gone:Event", "os:system", "os:path.join"])
def test_only_classes_are_looked_up(name):
    """A function is not, whoever has written its name into the file."""
    with pytest.raises(codec.CannotReadError):
        codec.decode({"$": "object", "c": name, "f": {}})
