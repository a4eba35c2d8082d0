"""Redaction in loguru: every text, every sink, nothing else changed."""

import asyncio
import base64
import copy
import hashlib
import io
import json
import logging
import pickle
import sys
import types

import pytest
from loguru import logger

from nonebot_plugin_graceful.logs import wrap_sinks
from nonebot_plugin_graceful.redaction import redact

PNG = b"\x89PNG\r\n\x1a\n" + hashlib.shake_256(b"1").digest(100_000)
BLOB = base64.b64encode(PNG).decode()
LABEL = f"<image/png base64, 100.0 kB, sha1 {hashlib.sha1(PNG).hexdigest()[:8]}>"
BYTES_LABEL = LABEL.replace("base64", "bytes")
KEY = "sk-a1B2c3D4e5F6g7H8i9J0"
SECRET = "a1B2c3D4e5F6"


class Sink:
    """Keeps what was written, and the records."""

    def __init__(self):
        self.messages = []

    def __call__(self, message):
        self.messages.append(message)

    @property
    def text(self):
        return "".join(self.messages)

    @property
    def records(self):
        return [message.record for message in self.messages]


def add(**options):
    sink = Sink()
    options = {"format": "{level} {message}", "level": 0, **options}
    logger.add(sink, **options)
    return sink


@pytest.fixture
def redaction():
    uninstall = wrap_sinks(256)
    yield uninstall
    uninstall()


def test_sinks_from_before_and_after(redaction):
    """It does not matter when a sink was added."""
    redaction()
    before = add()
    uninstall = wrap_sinks(256)
    after = add()
    logger.info("got {} of {}", BLOB, KEY)
    uninstall()

    assert before.text == after.text == f"INFO got {LABEL} of sk-***\n"


def test_record_is_clean_too(redaction):
    """A sink that goes by the record, as web panels do, gets no blob either."""
    sink = add()
    logger.bind(data=BLOB).info("got {}", PNG)

    assert sink.records[0]["message"] == f"got {BYTES_LABEL}"
    assert sink.records[0]["extra"] == {"data": LABEL}


def test_record_is_clean_when_the_text_does_not_show_it(redaction):
    """A format may leave out what the sink then takes from the record."""
    sink = add(format="{level}")
    logger.info(BLOB)

    assert sink.text == "INFO\n"
    assert sink.records[0]["message"] == LABEL


def test_record_is_clean_however_deep(redaction):
    """Bound values and arguments by name; the author's own objects stay what they are."""
    sink = add()
    settings = {"h": {"Authorization": f"Bearer {KEY}"}, "l": [KEY], "p": (PNG, BLOB)}
    before = copy.deepcopy(settings)
    logger.bind(settings=settings, api_key="abcdef").info("x")
    logger.info("{what[0]}", what=[KEY])

    assert settings == before
    assert sink.records[0]["extra"] == {
        "settings": {
            "h": {"Authorization": "Bearer sk-***"},
            "l": ["sk-***"],
            "p": (BYTES_LABEL.encode(), LABEL),
        },
        "api_key": "***",
    }
    assert sink.records[1]["extra"] == {"what": ["sk-***"]}


def test_values_without_a_secret_are_the_authors_own(redaction):
    """A sink may go by what they are."""
    sink = add()
    settings = {"h": {"a": "b"}}
    logger.bind(settings=settings).info("x")

    assert sink.records[0]["extra"]["settings"] is settings


def test_extra_in_the_format(redaction):
    """Bound values are text when a format asks for them, however deep they lie."""
    sink = add(format="{message} {extra}")
    logger.bind(deep={"image": [PNG], "api_key": "abcdef"}).info("x")
    with logger.contextualize(image=BLOB):
        logger.info("y")

    assert sink.text == (
        f"x {{'deep': {{'image': [{BYTES_LABEL}], 'api_key': '***'}}}}\ny {{'image': '{LABEL}'}}\n"
    )


def raise_chain():
    try:
        try:
            raise ValueError(f"first {BLOB}")
        except ValueError as first:
            raise RuntimeError(f"second {PNG!r}") from first
    except RuntimeError:
        raise KeyError(BLOB)  # noqa: B904


@pytest.mark.parametrize(
    "options",
    [
        {"diagnose": False},
        {"diagnose": True},
        {"diagnose": True, "colorize": True},
        {"backtrace": True},
    ],
)
def test_exceptions_causes_and_contexts(redaction, options):
    """A traceback holds no blob, whichever exception of a chain has it in its text."""
    sink = add(**options)
    try:
        raise_chain()
    except KeyError as error:
        raised = error
        logger.exception("failed")

    assert len(sink.text) < 20_000
    for part in (f"first {LABEL}", f"second {BYTES_LABEL}", LABEL, "raise_chain", "ValueError"):
        assert part in sink.text
    assert sink.records[0]["exception"].value is raised
    assert sink.records[0]["exception"].type is KeyError
    assert raised.args == (BLOB,)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="no exception groups")
def test_exception_groups(redaction):
    """What several tasks failed with is no place to hide."""
    sink = add(diagnose=False)
    errors = [ValueError(f"one {BLOB}"), RuntimeError(base64.encodebytes(PNG).decode())]
    group = __builtins__["ExceptionGroup"](f"all {BLOB}", errors)
    logger.opt(exception=group).error("failed")

    assert len(sink.text) < 5_000
    assert sink.text.count(LABEL) == 3


def test_values_of_variables(redaction):
    """With diagnose=True loguru shows what variables hold: keys, too."""
    sink = add(diagnose=True)

    def call(api_key):
        return {}[api_key]

    try:
        call(KEY)
    except KeyError:
        logger.exception("failed")

    assert "api_key" in sink.text
    assert KEY not in sink.text
    assert "'sk-***'" in sink.text


def test_serialized(redaction):
    """A sink of JSON gets JSON, with the exception's text redacted in it."""
    sink = add(serialize=True)
    try:
        raise ValueError(BLOB)
    except ValueError:
        logger.bind(raw=[PNG]).exception('quoted "{}"', BLOB)

    assert len(sink.text) < 20_000
    document = json.loads(sink.text)
    assert document["record"]["message"] == f'quoted "{LABEL}"'
    assert document["record"]["exception"]["value"] == LABEL
    assert "escaped bytes, " in document["record"]["extra"]["raw"][0]


def test_every_way_to_log(redaction):
    """opt(), patch(), raw, lazy, colours, arguments by name."""
    sink = add(format="{message}")
    logger.opt(lazy=True).info("lazy {}", lambda: BLOB)
    logger.opt(raw=True).info(f"raw {BLOB}\n")
    logger.opt(colors=True).info(f"<red>colour</red> {BLOB}")
    logger.opt(record=True).info("record {record[line]} {x}", x=BLOB)
    logger.patch(lambda record: record.update(message=f"patched {BLOB}")).info("x")
    logger.log(35, f"number {BLOB}")

    lines = sink.text.splitlines()
    assert [line.split()[0] for line in lines] == [
        "lazy",
        "raw",
        "colour",
        "record",
        "patched",
        "number",
    ]
    assert all(line.endswith(LABEL) for line in lines)


def test_colours_of_ordinary_messages_stay(redaction):
    """Only a message that is changed loses its markup."""
    sink = add(format="{message}", colorize=True)
    logger.opt(colors=True).info("<red>hot</red>")

    assert sink.text == "\x1b[31mhot\x1b[0m\n"


def test_standard_logging_through_nonebot(redaction):
    """Openai's and httpx's loggers are covered where they are led to loguru."""
    from nonebot.log import LoguruHandler

    sink = add()
    library = logging.getLogger("openai._base_client")
    library.addHandler(LoguruHandler())
    library.setLevel("DEBUG")
    try:
        library.debug("Request options: %s", {"json_data": {"image": BLOB}, "api_key": "abcdef"})
        try:
            raise ValueError(BLOB)
        except ValueError:
            library.exception("failed")
    finally:
        library.handlers.clear()

    assert f"{{'json_data': {{'image': '{LABEL}'}}, 'api_key': '***'}}" in sink.text
    assert f"ValueError: {LABEL}" in sink.text
    assert len(sink.text) < 20_000


def test_users_patcher_runs(redaction):
    """A patcher that was configured before goes on, and what it adds is redacted."""
    redaction()
    logger.configure(patcher=lambda record: record["extra"].update(mine=BLOB))
    uninstall = wrap_sinks(256)
    sink = add(format="{message} {extra[mine]}")
    logger.info("x")
    uninstall()

    assert sink.text == f"x {LABEL}\n"


def test_later_patcher_does_not_switch_it_off(redaction):
    """A patcher that is configured later replaces none of ours."""
    logger.configure(patcher=lambda record: record["extra"].update(mine=1))
    sink = add(format="{message} {extra[mine]}")
    logger.info(BLOB)

    assert sink.text == f"{LABEL} 1\n"


def test_configure_with_new_handlers(redaction):
    """configure(handlers=...) takes out every sink and adds its own."""
    add()
    sink = Sink()
    logger.configure(handlers=[{"sink": sink, "format": "{message}"}])
    logger.info(BLOB)

    assert sink.text == f"{LABEL}\n"


def test_users_filter_decides(redaction):
    """What a filter drops is dropped, and costs no redaction."""
    seen = []
    sink = add(filter=lambda record: seen.append(record["message"]) or "keep" in record["message"])
    logger.info(BLOB)
    logger.info("keep {}", BLOB)

    assert seen == [BLOB, f"keep {BLOB}"]
    assert sink.text == f"INFO keep {LABEL}\n"


def test_uninstalling_restores():
    """Afterwards loguru is what it was, down to the objects."""

    def mine(record):
        return True

    add(filter=mine)
    add()
    core = logger._core
    before = [dict(vars(handler)) for handler in core.handlers.values()]
    uninstall = wrap_sinks(256)
    assert [dict(vars(handler)) for handler in core.handlers.values()] != before
    uninstall()
    uninstall()

    assert type(core.handlers) is dict
    assert [dict(vars(handler)) for handler in core.handlers.values()] == before
    sink = add()
    logger.info(BLOB)
    assert BLOB in sink.text


def test_installing_again_changes_the_limit(redaction):
    """Redaction is not stacked."""
    sink = add()
    wrap_sinks(4096)
    logger.info(BLOB[:3000])
    (handler,) = logger._core.handlers.values()

    assert BLOB[:3000] in sink.text
    assert not hasattr(handler._sink.original, "limit")


def test_picture_is_read_once_for_all_sinks(redaction, monkeypatch):
    """Text and record, console and file: the first of them has the work."""
    read = []

    def counting(text, limit):
        read.extend([text] * (len(text) > len(BLOB)))
        return redact(text, limit)

    monkeypatch.setattr("nonebot_plugin_graceful.logs.sinks.redact", counting)
    sinks = [add(), add(), add(colorize=True)]
    logger.info("got {} of {}", BLOB, KEY)

    assert [sink.text for sink in sinks] == [f"INFO got {LABEL} of sk-***\n"] * 3
    assert len(read) == 1


def test_removing_sinks(redaction):
    """Sinks go as they came."""
    sink = Sink()
    number = logger.add(sink)
    logger.remove(number)
    logger.info("x")

    assert sink.messages == []
    with pytest.raises(ValueError, match="no existing handler"):
        logger.remove(number)


async def test_coroutine_sinks(redaction):
    """Coroutine sinks are awaited by logger.complete(), as ever."""
    got = []

    async def sink(message):
        await asyncio.sleep(0)
        got.append(str(message))

    logger.add(sink, format="{message}")
    logger.info(BLOB)
    await logger.complete()

    assert got == [f"{LABEL}\n"]


def test_queued_sinks(redaction):
    """A sink with a queue writes in a thread; a traceback is redacted there."""
    sink = add(enqueue=True, diagnose=False)
    try:
        raise ValueError(BLOB)
    except ValueError:
        logger.exception(BLOB)
    logger.complete()

    assert sink.text.startswith(f"ERROR {LABEL}\n")
    assert f"ValueError: {LABEL}" in sink.text


def test_logging_handlers_as_sinks(redaction):
    """A handler of the standard library as a sink."""
    lines = []

    class Handler(logging.Handler):
        def emit(self, record):
            lines.append((record.levelname, self.format(record)))

    logger.add(Handler(), format="{message}")
    logger.info(BLOB)

    assert lines == [("INFO", LABEL + "\n")] or lines == [("INFO", LABEL)]


def test_what_logging_handlers_are_given_besides(redaction):
    """They get what was bound, though no format shows it."""
    extras = []

    class Handler(logging.Handler):
        def emit(self, record):
            extras.append(record.extra)

    logger.add(Handler(), format="{message}")
    logger.bind(settings={"key": [KEY]}, token=KEY).info("x")

    assert extras == [{"settings": {"key": ["sk-***"]}, "token": "sk-***"}]


def test_copied_logger_leaves_it_behind(redaction, tmp_path):
    """A logger that is copied or pickled for another process needs nothing of this plugin there."""
    number = logger.add(tmp_path / "x.log", format="{message}", delay=True)
    core = pickle.dumps(logger._core.handlers)
    assert b"nonebot_plugin_graceful" not in core
    (handler,) = pickle.loads(core).values()
    assert type(pickle.loads(core)) is dict
    assert type(handler._sink).__name__ == "FileSink"
    assert handler._sink._path == str(tmp_path / "x.log")
    logger.remove(number)
    assert copy.deepcopy(logger) is not logger


def test_unknown_loguru_is_one_warning(monkeypatch):
    """A loguru with other insides is left alone, and it is said."""
    sink = add()
    handlers = types.MappingProxyType(logger._core.handlers)
    monkeypatch.setattr(logger._core, "handlers", handlers)
    uninstall = wrap_sinks(256)
    uninstall()

    assert logger._core.handlers is handlers
    (message,) = sink.messages
    assert message.startswith("WARNING loguru 0.")
    assert "logs are not redacted (GRACEFUL_REDACT)" in message


class Console(io.StringIO):
    """What stands in the place of a terminal."""

    name = "<stderr>"


@pytest.fixture
def console():
    stream = Console()
    logger.add(stream, format="{message}")
    return stream


LINKS = [
    "http://127.0.0.1:6099/webui?token={}",
    "http://localhost:8080/#/login?token={}&theme=dark",
    "https://192.168.1.5/panel/?access_token={}",
    "http://[::1]:8080/?key={}",
]


@pytest.mark.parametrize("link", LINKS)
def test_the_link_of_a_web_console_can_be_opened_from_the_terminal(console, link, tmp_path):
    """While the bot starts, and nowhere else: files, functions and reports get it masked."""
    link = link.format(SECRET)
    unwrap = wrap_sinks(links_for=60)
    others = add()
    logger.add(tmp_path / "x.log", format="{message}")
    logger.info("面板：{} api_key={}", link, KEY)
    unwrap()

    assert console.getvalue() == f"面板：{link} api_key=***\n"
    for text in (
        others.text,
        others.records[0]["message"],
        (tmp_path / "x.log").read_text("utf-8"),
    ):
        assert SECRET not in text
        assert "token=***" in text or "key=***" in text


def test_links_are_masked_later(console):
    """Who starts a bot reads what it prints then."""
    unwrap = wrap_sinks(links_for=0)
    logger.info(LINKS[0].format(SECRET))
    unwrap()

    assert console.getvalue() == LINKS[0].format("***") + "\n"


@pytest.mark.parametrize(
    "text",
    [
        "https://api.example.com/v1?token={}",
        '127.0.0.1:4321 - "GET /webui?token={} HTTP/1.1" 200',
        "ws://127.0.0.1:3001/?access_token={}",
        "http://user:{}@127.0.0.1:7890/",
    ],
)
def test_other_addresses_are_masked_from_the_beginning(console, text):
    """Services have names; access logs have no host; bots dial web sockets."""
    unwrap = wrap_sinks(links_for=60)
    logger.info(text.format(SECRET))
    unwrap()

    assert console.getvalue() == text.format("***") + "\n"


def test_ordinary_lines_are_handed_on_as_they_are(monkeypatch):
    """They cost a glance: nothing is searched, copied or looked up."""
    monkeypatch.setattr("nonebot_plugin_graceful.logs.sinks.redact", None)
    unwrap = wrap_sinks(256)
    sinks = [add(), add(format="{message} {extra}"), add(format=lambda record: "{message}\n")]
    logger.info("Event will be handled by Matcher(type='message', lineno={})", 12)
    unwrap()

    assert [len(sink.messages) for sink in sinks] == [1, 1, 1]


def test_a_format_that_is_made_anew_for_each_line(redaction):
    """Its text may hold what is not in the message."""
    sink = add(format=lambda record: f"{{message}} {KEY}\n")
    logger.info("x")

    assert sink.text == "x sk-***\n"


def test_short_messages_of_long_lines(redaction):
    """What a format adds is no blob of the message's."""
    sink = add(format="-" * 300 + " {message} {name}")
    logger.info("x")

    assert sink.text == "-" * 300 + f" x {__name__}\n"
