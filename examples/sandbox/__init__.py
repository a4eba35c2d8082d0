"""A chat platform and an AI service of one's own, on loopback: what ``bot.py`` and the tests run against."""

from .api import HANG, FakeOpenAI, Received, Rule
from .onebot import Answer, Call, Closed, FakeOneBot
from .ports import free_port

__all__ = [
    "HANG",
    "Answer",
    "Call",
    "Closed",
    "FakeOneBot",
    "FakeOpenAI",
    "Received",
    "Rule",
    "free_port",
]
