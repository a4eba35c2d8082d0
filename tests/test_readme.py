"""The READMEs: their code runs as printed, and they say the same in both languages.

``<!-- run: plugin -->`` before a block of code: it is a whole plugin, and a bot loads it.
``<!-- run: FILE -->``: it is that file of an author's project, whose tests are run.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from nonebot_plugin_graceful import __all__ as public_names
from nonebot_plugin_graceful.config import Config

ROOT = Path(__file__).parents[1]
READMES = ["README.md", "README.en.md"]
BLOCK = re.compile(r"(?:<!-- run: (\S+) -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)]+)\)")
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
    stop = (
        "from nonebot import get_driver\n"
        "from nonebot_plugin_graceful import shutdown\n"
        "@get_driver().on_bot_connect\n"
        "async def _(): ...\n"
        "@get_driver().on_startup\n"
        "async def _():\n"
        "    import asyncio\n"
        "    asyncio.get_running_loop().call_later(0.1, shutdown)\n"
    )
    (tmp_path / "stop.py").write_text(stop, encoding="utf-8")
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
