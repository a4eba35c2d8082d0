"""Logs a picture of 2 MB in each of the ways pictures get into logs. Once a bot is connected."""

import base64
import hashlib
import json
import logging
import sys

from mark import mark
from nonebot import get_driver, logger
from nonebot.log import LoguruHandler

PNG = b"\x89PNG\r\n\x1a\n" + hashlib.shake_256(b"picture").digest(2_000_000)
BASE64 = base64.b64encode(PNG).decode()
KEY = "sk-a1B2c3D4e5F6g7H8i9J0"

library = logging.getLogger("openai._base_client")
library.addHandler(LoguruHandler())
library.setLevel("DEBUG")


def argument():
    logger.info("got {}", BASE64)


def data_uri():
    logger.info(f"got data:image/png;base64,{BASE64}")


def cq_code():
    logger.opt(colors=True).success(f"<m>OneBot</m> | [CQ:image,file=base64://{BASE64}]")


def base64url():
    logger.warning(base64.urlsafe_b64encode(PNG).decode())


def wrapped():
    logger.info(base64.encodebytes(PNG).decode())


def wrapped_in_json():
    logger.info(json.dumps({"image": base64.encodebytes(PNG).decode()}))


def phps_json():
    logger.info(json.dumps({"image": BASE64}).replace("/", "\\/"))


def hexadecimal():
    logger.info(PNG.hex())


def hex_pairs():
    logger.info(PNG.hex(" "))


def literal():
    logger.info("got {!r}", PNG)


def escapes():
    logger.info(json.dumps({"image": PNG.decode("latin-1")}))


def debug_of_an_answer():
    logger.debug("answer {}", {"data": [{"b64_json": BASE64}], "api_key": "topsecret"})


def bound():
    logger.bind(image=PNG).info("bound, and not shown")


def patched():
    logger.patch(lambda record: record.update(message=BASE64)).info("x")


def lazy():
    logger.opt(lazy=True).info("{}", lambda: BASE64)


def raw():
    logger.opt(raw=True).info(f"{BASE64}\n")


def standard_logging():
    library.debug("Request options: %s", {"json": {"image": BASE64}, "api_key": KEY})


def exception():
    try:
        try:
            raise ValueError(f"first {BASE64}")
        except ValueError as first:
            raise RuntimeError(f"second {PNG!r}") from first
    except RuntimeError:
        logger.exception("failed")


def exception_of_a_library():
    try:
        raise ValueError(BASE64)
    except ValueError:
        library.exception("Encountered Exception")


def exception_group():
    if sys.version_info >= (3, 11):
        errors = [ValueError(BASE64), ValueError(base64.encodebytes(PNG).decode())]
        logger.opt(exception=ExceptionGroup(f"group {BASE64}", errors)).error("failed")  # noqa: F821
    else:
        logger.info(BASE64)


def later_sink():
    logger.add(sys.stdout, level="INFO", format="{message}", diagnose=True)
    logger.error(f"{BASE64} {KEY}")


@get_driver().on_bot_connect
async def _():
    for way in (
        *(argument, data_uri, cq_code, base64url, wrapped, wrapped_in_json, phps_json),
        *(hexadecimal, hex_pairs, literal, escapes, debug_of_an_answer, bound, patched, lazy),
        *(raw, standard_logging, exception, exception_of_a_library, exception_group, later_sink),
    ):
        mark(f"way {way.__name__}")
        logger.info(f"{way.__name__} begins")
        way()
        logger.info(f"{way.__name__} ends")
    mark("all logged")
