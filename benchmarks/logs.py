"""What redaction costs: the same logger with and without it, in the same run.

Run it with ``python -m benchmarks.logs`` from the root of the repository.
"""

import base64
import io
import itertools
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

from benchmarks.shapes import SHAPES
from nonebot_plugin_graceful.logs import Recent, wrap_sinks
from nonebot_plugin_graceful.redaction import redact

ROUNDS = 150
SIZE = 5_000_000


def lines(turn: int) -> list[str]:
    """Make a bot's lines as they come: some say something new each time, more are the same few."""
    return [
        f"OneBot V11 2233445566 | [message.group.normal]: Message {1838477731 + turn} from 10001@[群:20002] '今天画了一只猫'",
        "Event will be handled by Matcher(type='message', module=nonebot_plugin_draw, lineno=12)",
        "Calling API send_group_msg",
        f"正在为用户 {10001 + turn} 绘制：一只戴着帽子的猫，坐在窗台上，窗外下着雨（排队 2 人，预计 35 秒）",
        'HTTP Request: POST https://api.example.com/v1/images/generations "HTTP/1.1 200 OK"',
        "Matcher(type='message', module=nonebot_plugin_draw, lineno=12) running complete",
        f'127.0.0.1:{40000 + turn % 20000} - "GET /onebot/v11/status HTTP/1.1" 200',
        f'Running job "refresh (trigger: interval[0:01:00], next run at: {turn} CST)"',
        'Succeeded to load plugin "nonebot_plugin_graceful" from "nonebot_plugin_graceful"',
        "Bot 2233445566 connected",
    ]


class Terminal(io.TextIOWrapper):
    """A file that is taken for a terminal, so that its last lines are kept."""

    name = "<stdout>"


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


def ratio(
    work: Callable[[], object], rounds: int = ROUNDS, recent: Recent | None = None
) -> tuple[float, float]:
    """Give seconds without and with redaction, measured in turns.

    The lower quartile of each: what the machine did besides is not to be counted.
    """
    without: list[float] = []
    with_redaction: list[float] = []
    for _ in range(rounds):
        without.append(seconds(work))
        unwrap = wrap_sinks(256, recent=recent)
        with_redaction.append(seconds(work))
        unwrap()
    return statistics.quantiles(without)[0], statistics.quantiles(with_redaction)[0]


def ordinary_lines(folder: Path) -> None:
    turns = itertools.count()
    say_as_adapters_do = logger_wrapper("OneBot V11")

    def log() -> None:
        for _ in range(10):
            for line in lines(next(turns)):
                logger.info(line)

    def log_as_adapters_do() -> None:
        for _ in range(10):
            for line in lines(next(turns)):
                say_as_adapters_do("INFO", escape_tag(line))

    def log_what_is_new() -> None:
        for turn in itertools.islice(turns, 100):
            logger.info(f"Event {turn} will be handled by Matcher(module=nonebot_plugin_draw)")

    seen = [*lines(0), *lines(1)]
    assert all(redact(line) == line for line in seen)
    same = 2 - len(set(seen)) / 10
    print(
        f"\n{f'100 ordinary lines, {same:.0%} the same each time':44}{'ms':>7}{'with':>8}{'ratio':>8}"
    )
    terminal = Terminal((folder / "console").open("wb"), encoding="utf-8")
    console: dict[str, Any] = {"sink": terminal, "filter": default_filter, "colorize": True}
    recent = Recent(folder, 2000)
    rows: list[tuple[str, Callable[[], None], dict[str, Any], Recent | None]] = [
        ("NoneBot's console", log, console, None),
        ("NoneBot's console, by an adapter", log_as_adapters_do, console, None),
        ("a file", log, {"sink": folder / "file.log"}, None),
        ("a function that does nothing", log, {"sink": lambda _: None}, None),
        ("NoneBot's console, and its last lines kept", log, console, recent),
        ("NoneBot's console, no line the same", log_what_is_new, console, None),
    ]
    for name, work, options, kept in rows:
        logger.remove()
        logger.add(format=default_format, **options)
        without, with_redaction = ratio(work, recent=kept)
        print(
            f"{name:44}{without * 1e3:7.2f}{with_redaction * 1e3:8.2f}{with_redaction / without:8.3f}"
        )
    recent.close()


def hostile_shapes() -> None:
    found: list[tuple[float, str]] = []
    for unit in SHAPES:
        text = unit * (SIZE // len(unit))
        start = time.process_time()
        redact(text)
        found.append(((time.process_time() - start) / len(text) * 1e6, unit))
    found.sort(reverse=True)
    print(f"\n{f'5 MB of each of {len(found)} hostile shapes':44}{'s/MB':>7}")
    for name, taken in (
        *((f"the slowest: {unit[:20]!r}", taken) for taken, unit in found[:3]),
        ("the median", statistics.median(taken for taken, _ in found)),
    ):
        print(f"{name:44}{taken:7.2f}")


if __name__ == "__main__":
    print(sys.version)
    logger.remove()
    logger.configure(extra={"nonebot_log_level": "INFO"})  # as nonebot.init() does
    logger.add(io.StringIO(), format=default_format)
    blobs()
    almost_blobs()
    hostile_shapes()
    with tempfile.TemporaryDirectory() as folder:
        ordinary_lines(Path(folder))
        logger.remove()
