"""What redaction costs: the same logger with and without it, in the same run.

Run it with ``python benchmarks/logs.py`` from the root of the repository.
"""

import base64
import io
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loguru import logger
from nonebot.log import default_filter, default_format
from nonebot.utils import escape_tag, logger_wrapper

from nonebot_plugin_graceful.logs import wrap_sinks
from nonebot_plugin_graceful.redaction import redact

ROUNDS = 41
LINES = [
    "OneBot V11 2233445566 | [message.group.normal]: Message 1838477731 from 10001@[群:20002] '今天画了一只猫'",
    "Event will be handled by Matcher(type='message', module=nonebot_plugin_draw, lineno=12)",
    "Matcher(type='message', module=nonebot_plugin_draw, lineno=12) running complete",
    '127.0.0.1:43210 - "GET /onebot/v11/status HTTP/1.1" 200',
    'Running job "refresh (trigger: interval[0:01:00], next run at: 2024-01-01 00:00:00 CST)"',
    "正在为用户 10001 绘制：一只戴着帽子的猫，坐在窗台上，窗外下着雨（排队 2 人，预计 35 秒）",
    'HTTP Request: POST https://api.example.com/v1/images/generations "HTTP/1.1 200 OK"',
    "Calling API send_group_msg",
    'Succeeded to load plugin "nonebot_plugin_graceful" from "nonebot_plugin_graceful"',
    "Bot 2233445566 connected",
]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def blobs() -> None:
    noise = random.Random(1).randbytes
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n" + noise(3_750_000)).decode()
    samples = {
        "data URI": f"got data:image/png;base64,{picture} from x",
        "bare base64": f"got '{picture}' from x",
        "base64 in lines": f"got\n{base64.encodebytes(noise(3_700_000)).decode()}from x",
        "repr of bytes": f"got {noise(1_750_000)!r} from x",
        "hex": f"got {noise(2_500_000).hex()} from x",
    }
    print(f"\n{'a blob':28}{'MB':>8}{'ms':>9}{'MB/s':>9}")
    for name, text in samples.items():
        best = min(seconds(lambda text=text: redact(text)) for _ in range(7))
        size = len(text) / 1e6
        print(f"{name:28}{size:8.1f}{best * 1e3:9.1f}{size / best:9.0f}")


def almost_blobs() -> None:
    noise = random.Random(2).randbytes
    runs = [base64.b64encode(noise(189)).decode()[:250] for _ in range(400)]
    samples = {
        "runs of 250, the limit is 256": ".".join(runs),
        "CamelCase runs of 300": ("FooBarBazQuux" * 23 + " ") * 330,
        "base64 of changing width": "\n".join(
            base64.b64encode(noise(45 + n % 30)).decode() for n in range(1250)
        ),
        "one run of 'a'": "a" * 100_000,
        "slashes and backslashes": "\\/" * 50_000,
        "a traceback's lines": '  File "/usr/lib/python3/x/y.py", line 3, in foo\n' * 2000,
    }
    print(f"\n{'100 kB of almost base64':28}{'kB':>8}{'ms':>9}{'MB/s':>9}{'x logging it':>14}")
    for name, text in samples.items():
        assert redact(text) == text
        best = min(seconds(lambda text=text: redact(text)) for _ in range(7))
        without, with_redaction = ratio(lambda text=text: logger.info(text), rounds=15)
        print(
            f"{name:28}{len(text) / 1e3:8.0f}{best * 1e3:9.2f}{len(text) / best / 1e6:9.0f}"
            f"{with_redaction / without:14.1f}"
        )


def ratio(work: Callable[[], object], rounds: int = ROUNDS) -> tuple[float, float]:
    """Give the median seconds without and with redaction, measured in turns."""
    without: list[float] = []
    with_redaction: list[float] = []
    for _ in range(rounds):
        without.append(seconds(work))
        uninstall = wrap_sinks(256)
        with_redaction.append(seconds(work))
        uninstall()
    return statistics.median(without), statistics.median(with_redaction)


def ordinary_lines(folder: Path) -> None:
    def log() -> None:
        for _ in range(100):
            for line in LINES:
                logger.info(line)

    def log_as_adapters_do() -> None:
        say = logger_wrapper("OneBot V11")
        for _ in range(100):
            for line in LINES:
                say("INFO", escape_tag(line))

    assert all(redact(line) == line for line in LINES)
    print(f"\n{'1,000 ordinary lines':34}{'ms':>8}{'with':>9}{'ratio':>9}{'µs/line':>14}")
    console: dict[str, Any] = {
        "sink": (folder / "console").open("w", encoding="utf-8"),
        "filter": default_filter,
        "colorize": True,
    }
    rows: list[tuple[str, Callable[[], None], dict[str, Any]]] = [
        ("NoneBot's console", log, console),
        ("NoneBot's console, by an adapter", log_as_adapters_do, console),
        ("a file", log, {"sink": folder / "file.log"}),
        ("a function that does nothing", log, {"sink": lambda _: None}),
    ]
    for name, work, options in rows:
        logger.remove()
        logger.add(format=default_format, **options)
        without, with_redaction = ratio(work)
        print(
            f"{name:34}{without * 1e3:8.2f}{with_redaction * 1e3:9.2f}"
            f"{with_redaction / without:9.3f}{(with_redaction - without) * 1e3:14.2f}"
        )


if __name__ == "__main__":
    print(sys.version)
    logger.remove()
    logger.configure(extra={"nonebot_log_level": "INFO"})  # as nonebot.init() does
    logger.add(io.StringIO(), format=default_format)
    blobs()
    almost_blobs()
    with tempfile.TemporaryDirectory() as folder:
        ordinary_lines(Path(folder))
        logger.remove()
