"""What is installed: the package with what it reads, and nothing else."""

import shutil
import subprocess
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "nonebot_plugin_graceful"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of this tree. Who builds it fetches what that takes, where it is not there already."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("builds with uv, which is not here")
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [uv, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT],
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
    if done.returncode and "build-system.requires" in done.stderr:
        pytest.skip(f"what builds it cannot be fetched here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as opened:
        yield opened


def test_it_holds_the_package_and_nothing_else(wheel):
    """No tests, no examples; whatever lies beside the code and is read, lies there, too."""
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    ours = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == ours
    assert {
        "nonebot_plugin_graceful/py.typed",
        "nonebot_plugin_graceful/ops/page/page.html",
    } <= names


def test_it_says_what_it_is(wheel):
    """As the plugin store and its visitors look for it."""
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    said = Parser().parsestr(wheel.read(metadata).decode())
    assert said["Name"] == "nonebot-plugin-graceful"
    assert {"nonebot", "nonebot2"} <= set(said["Keywords"].split(","))
    assert "Framework :: AsyncIO" in said.get_all("Classifier")
    assert said["Description-Content-Type"] == "text/markdown"
    needed = " ".join(said.get_all("Requires-Dist"))
    for name in ("anyio", "nonebot2", "nonebot-plugin-apscheduler", "nonebot-plugin-localstore"):
        assert name in needed
