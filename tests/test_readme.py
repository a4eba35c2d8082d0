"""The READMEs: their code runs as printed, and they say the same in both languages.

``<!-- run: plugin -->`` before a block of code: it is a whole plugin, and a bot loads it.
``<!-- run: FILE -->``: it is that file of an author's project, whose tests are run.
Other blocks are run as befits their language (``CHECKS``), and commands one by one (``COMMANDS``).
What can not be run here is listed with the reason why; what is in neither is a failure.
"""

import asyncio
import io
import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import dotenv
import pytest
import tenacity

import nonebot_plugin_graceful as plugin
from nonebot_plugin_graceful import __all__ as public_names
from nonebot_plugin_graceful import spawn
from nonebot_plugin_graceful.config import Config, doubts, load
from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.ops import health

ROOT = Path(__file__).parents[1]
READMES = ["README.md", "README.en.md"]
BLOCK = re.compile(r"(?:<!-- run: (\S+) -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(
    r"`((?:cp|docker|git|kill|nb|pdm|pip|poetry|python|systemctl|taskkill|uv) [^`]+)`"
)
"""One in running text."""
LINK = re.compile(r"(?:\]\(|<img src=\")([^)\"]+)[)\"]")
HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
PATIENCE = 100
"""Seconds."""

BOT = """
import sys
import nonebot
from nonebot.adapters.onebot.v11 import Adapter

nonebot.init(driver="~none", localstore_use_cwd=True)
nonebot.get_driver().register_adapter(Adapter)
for name in {plugins}:
    assert nonebot.load_plugin(name), name
nonebot.run()
"""


STOP = """
import asyncio
from nonebot import get_driver
from nonebot_plugin_graceful import shutdown

@get_driver().on_bot_connect
async def _(): ...

@get_driver().on_startup
async def _():
    asyncio.get_running_loop().call_later(0.1, shutdown)
"""


@dataclass(frozen=True)
class Block:
    """A block of code."""

    readme: str
    line: int
    run: str
    """What is said before it; empty: nothing."""
    language: str
    code: str

    def __str__(self):
        return f"{self.readme}:{self.line}"


def blocks(readme):
    text = (ROOT / readme).read_text(encoding="utf-8")
    return [
        Block(readme, text.count("\n", 0, found.start(2)) + 1, found[1] or "", found[2], found[3])
        for found in BLOCK.finditer(text)
    ]


ALL = [block for readme in READMES for block in blocks(readme)]
PYTHON = [block for block in ALL if block.language == "python"]
PLUGINS = [block for block in ALL if block.run == "plugin"]
readmes = pytest.mark.parametrize("readme", READMES)


def run(*arguments, cwd):
    """Run Python in a process of its own, and return what it wrote."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_compiles(block):
    """Also what is only a part of something."""
    compile(block.code, str(block), "exec")


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_what_is_imported_from_the_plugin_is_there(block):
    """No name of an older or a future version is advertised."""
    for names in re.findall(
        r"^from nonebot_plugin_graceful import (.*)$", block.code, re.MULTILINE
    ):
        assert set(names.split(", ")) <= {*public_names, "testing"}


@pytest.mark.parametrize("block", PLUGINS, ids=str)
def test_plugins_load(block, tmp_path):
    """Into a bot that has nothing else; their start-up hooks run."""
    (tmp_path / "printed.py").write_text(block.code, encoding="utf-8")
    (tmp_path / "stop.py").write_text(STOP, encoding="utf-8")
    (tmp_path / "bot.py").write_text(BOT.format(plugins=["printed", "stop"]), encoding="utf-8")
    log = run("bot.py", cwd=tmp_path)
    assert 'Succeeded to load plugin "printed"' in log
    assert "Stopped (shutdown())" in log
    assert "Traceback" not in log, log


@readmes
def test_the_project_of_an_author_passes_its_tests(readme, tmp_path):
    """With nothing but pytest and pytest-asyncio; ``bot.py`` is any bot."""
    files = {each.run: each.code for each in blocks(readme) if each.run not in ("", "plugin")}
    assert sorted(files) == ["conftest.py", "pyproject.toml", "test_stopping.py"]
    (tmp_path / "bot.py").write_text(BOT.format(plugins=["nonebot_plugin_graceful"]))
    (tmp_path / "pyproject.toml").write_text(files.pop("pyproject.toml"))
    (tmp_path / "tests").mkdir()
    for name, code in files.items():
        (tmp_path / "tests" / name).write_text(code, encoding="utf-8")
    unwanted = [f"-pno:{name}" for name in ("nonebug", "xdist", "cacheprovider", "timeout")]
    log = run("-m", "pytest", *unwanted, cwd=tmp_path)
    assert "2 passed" in log, log


# blocks that are no whole plugin


async def request(prompt):
    """Stand for what an author's loop asks."""
    return prompt.upper()


def shown():
    """What an author has imported already where a part of his code is shown."""
    from openai import AsyncOpenAI

    names = {name: getattr(tenacity, name) for name in tenacity.__all__}
    names |= {name: getattr(plugin, name) for name in public_names}
    return {**names, "request": request, "AsyncOpenAI": AsyncOpenAI, "key": "key"}


def run_part(code):
    """A part of a plugin: it is executed, and what it defines is called."""
    names = shown()
    exec(compile(code, "README", "exec"), names)
    if "draw" in names:
        assert asyncio.run(names["draw"]("cat")) in ("CAT", None)


def run_new_side(code):
    """A change: what it leads to is executed."""
    sides = {"+": "", "-": ""}
    for line in code.splitlines():
        sides[line[0]] += f"{line[1:]}\n"
    compile(sides["-"], "README", "exec")
    run_part(sides["+"])


def read_settings(code):
    """Settings are those of somebody who is neither told that they are wrong nor that they may be."""
    values = dotenv.dotenv_values(stream=io.StringIO(code))
    plugins = ["nonebot_plugin_novelai"]
    config = load({}, values)
    kinds = {*installed.tree.kinds, *config.graceful_kinds}
    assert list(doubts(config, values, kinds=kinds, plugins=plugins)) == []


def read_toml(code):
    """A part of ``[tool.nonebot]``: plugins that are there."""
    name, _, value = code.partition(" = ")
    assert name == "plugins"
    for each in json.loads(value):
        assert each in sys.modules


def read_health(code):
    """What a bot answers with two pictures in flight."""

    async def answer():
        one, other = (spawn(asyncio.sleep(1000), kind="image") for _ in range(2))
        try:
            return health._answer(installed.tree, ready=False)
        finally:
            one.cancel()
            other.cancel()

    answered = json.loads(asyncio.run(answer()).content)
    assert answered == json.loads(code)


CHECKS = {
    "python": run_part,
    "diff": run_new_side,
    "dotenv": read_settings,
    "toml": read_toml,
    "json": read_health,
}
"""By language, for blocks before which nothing else is said."""
NOT_RUN = {
    "SIGINT: stopping": "what example 02 has logged; tests/e2e/test_examples.py compares it",
    "管理员": "a conversation of tests/e2e/test_chat.py's sort, with made-up names",
    "admin ": "a conversation of tests/e2e/test_chat.py's sort, with made-up names",
    "RUNNING": "a drawing",
}
"""Blocks by how they begin, and why they are not run."""
PARTS = [block for block in ALL if not block.run and block.language != "bash"]


@pytest.mark.parametrize("block", PARTS, ids=str)
def test_parts_are_run(block):
    """As befits their language, or there is a reason why not."""
    if block.language == "text":
        assert [reason for start, reason in NOT_RUN.items() if block.code.startswith(start)]
    else:
        CHECKS[block.language](block.code)


@readmes
def test_every_block_says_what_it_is(readme):
    """One without a language would not be looked at here."""
    fences = re.findall(r"^ *(?:```|~~~)", (ROOT / readme).read_text("utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(blocks(readme))


def test_whatever_is_not_run_is_there():
    """No reason outlives what it was given for."""
    for start in NOT_RUN:
        assert any(block.code.startswith(start) for block in ALL), start
    told = {command for readme in READMES for command in commands(readme)}
    assert {*COMMANDS, *NO_COMMANDS} == told


# commands


def commands(readme):
    """Give every command, be it in a block or in running text, without what is said about it."""
    lines = [
        line
        for block in blocks(readme)
        if block.language == "bash"
        for line in block.code.splitlines()
    ]
    text = BLOCK.sub("", (ROOT / readme).read_text(encoding="utf-8"))
    return [
        line.partition("  #")[0].strip()
        for line in [*lines, *COMMAND.findall(text)]
        if line.strip()
    ]


def run_in_the_folder_of_a_bot(command, tmp_path):
    """A bot was there, and is not any more."""
    (tmp_path / ".env").write_text("LOCALSTORE_USE_CWD=true\nDRIVER=~none\n")
    bot = BOT.format(plugins=["stop"]).replace(
        "for name", 'nonebot.load_plugin("nonebot_plugin_graceful")\nfor name'
    )
    (tmp_path / "bot.py").write_text(bot)
    (tmp_path / "stop.py").write_text(STOP)
    run("bot.py", cwd=tmp_path)
    python, *arguments = shlex.split(command)
    assert python == "python"
    return run(*arguments, cwd=tmp_path)


def report(command, tmp_path):
    assert "nothing was in flight" in run_in_the_folder_of_a_bot(command, tmp_path)


def doctor(command, tmp_path):
    assert "nothing wrong" in run_in_the_folder_of_a_bot(command, tmp_path)


def bundle(command, tmp_path):
    run_in_the_folder_of_a_bot(command, tmp_path)
    (packed,) = tmp_path.glob("*.zip")
    with zipfile.ZipFile(packed) as file:
        assert {"versions.txt", "recent.log"} <= set(file.namelist())


COMMANDS = {
    "python -m nonebot_plugin_graceful report": report,
    "python -m nonebot_plugin_graceful doctor": doctor,
    "python -m nonebot_plugin_graceful bundle": bundle,
}
"""Run in the folder of a bot."""
HERE = "git+https://github.com/nonebot-plugin-graceful/nonebot-plugin-graceful"
NETWORK = "installs from the network"
NO_COMMANDS = {
    f'uv add "nonebot-plugin-graceful @ {HERE}"': NETWORK,
    f'pdm add "nonebot-plugin-graceful @ {HERE}"': NETWORK,
    f'poetry add "{HERE}"': NETWORK,
    f'pip install "{HERE}"': NETWORK,
    "nb plugin install nonebot-plugin-graceful": "there is nothing published to install",
    "uv add --dev pytest pytest-asyncio": NETWORK,
    "pip install uv && uv run bot.py": "bot.py is run by tests/e2e/test_bot_py.py",
    "uv run bot.py --without": "is run by tests/e2e/test_bot_py.py",
    "uv run bot.py examples.01_track": "is run by tests/e2e/test_examples.py",
    "pip install uv && uv run pytest": "is what runs this; .ci/run begins with it",
    "python -m nonebot_plugin_graceful worker painting": "wants a PostgreSQL: tests/e2e/test_workers.py",
    "docker stop -t 40": "wants Docker",
    "systemctl status": "wants systemd",
    "kill -9": "names no process",
    "taskkill /F": "names no process, and is Windows'",
}
"""Commands that are not run here, and why."""


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_run(command, tmp_path):
    """As printed."""
    COMMANDS[command](command, tmp_path)


def test_other_tests_are_there():
    """Which are said to run what is not run here."""
    for reason in [*NOT_RUN.values(), *NO_COMMANDS.values()]:
        for file in re.findall(r"tests/[a-z0-9_/]+\.py", reason):
            assert (ROOT / file).is_file(), file


# both languages


def test_both_languages_show_the_same_code():
    """Block by block: the same languages, the same code but for comments and words."""

    def shape(readme):
        return [(each.language, each.run, each.code.count("\n")) for each in blocks(readme)]

    assert shape(READMES[0]) == shape(READMES[1])


def test_both_languages_have_the_same_chapters():
    """Chapter by chapter, and table by table."""

    def shape(readme):
        text = BLOCK.sub("", (ROOT / readme).read_text(encoding="utf-8"))
        tables = sum(line.startswith("|:") for line in text.splitlines())
        return [len(found[1]) for found in HEADING.finditer(text)], tables

    assert shape(READMES[0]) == shape(READMES[1])


@pytest.mark.parametrize("readme", [*READMES, "CONTRIBUTING.md", "benchmarks/README.md"])
def test_links_lead_somewhere(readme):
    """Files are there, and so are the chapters of the page itself."""
    path = ROOT / readme
    text = BLOCK.sub("", path.read_text(encoding="utf-8"))
    chapters = {_anchor(found[2]) for found in HEADING.finditer(text)}
    for link in LINK.findall(text):
        if link.startswith("#"):
            assert link[1:] in chapters
        elif "://" not in link:
            assert (path.parent / link.partition("#")[0]).exists(), link


def _anchor(heading):
    """Make what GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@readmes
def test_settings_that_are_mentioned_exist(readme):
    """Also in running text."""
    text = (ROOT / readme).read_text(encoding="utf-8")
    known = {name.upper() for name in Config.model_fields}
    assert set(re.findall(r"GRACEFUL_[A-Z_]+[A-Z]", text)) <= known


def test_every_setting_is_in_the_example():
    """With its default, behind a ``#``: the READMEs show only a few."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    shown = set(re.findall(r"^# (GRACEFUL_[A-Z_]+)=", text, re.MULTILINE))
    assert shown == {name.upper() for name in Config.model_fields}
