"""tenacity's own tests, from the source distribution of the version that is installed."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSION = importlib.metadata.version("tenacity")
EXCEPTIONS = {
    "test_asyncio.py::TestTrio": "waits end with the shutdown of an asyncio bot; Trio has none",
}
"""What is left out, and why."""


def download(folder):
    """Fetch the source distribution; None where that is not possible."""
    clients = [[sys.executable, "-m", "pip"], ["pip"], ["uvx", "pip"]]
    for client in clients:
        if shutil.which(client[0]) is None:
            continue
        command = [*client, "download", "--quiet", "--no-deps", "--no-binary", "tenacity"]
        command += ["--dest", str(folder), f"tenacity=={VERSION}"]
        subprocess.run(command, capture_output=True, check=False, timeout=120)
        for archive in folder.glob("tenacity-*.tar.gz"):
            return archive
    return None


def test_tenacitys_own_tests_pass_on_our_loops(tmp_path, capsys):
    """Whatever tenacity promises of its loops, ours keep, but for a short list of exceptions."""
    archive = download(tmp_path)
    if archive is None:
        reason = f"tenacity's own tests were not run: its source ({VERSION}) cannot be downloaded"
        warnings.warn(reason, stacklevel=1)  # to be seen without -rs
        pytest.skip(reason)
    with tarfile.open(archive) as source:
        for member in source.getmembers():
            if re.fullmatch(r"[^/]+/tests/\w+\.py", member.name) and member.isfile():
                target = tmp_path / "tests" / Path(member.name).name
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(source.extractfile(member).read())
    left_out = [f"--deselect=tests/{name}" for name in EXCEPTIONS]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "drop_in", "tests", *left_out],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                [str(ROOT), str(Path(__file__).with_name("tenacity_suite"))]
            ),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed = int(re.search(r"(\d+) passed", ran.stdout)[1])
    calls = int(re.search(r"drop-in: (\d+) calls", ran.stdout)[1])
    assert passed > 100
    assert calls > 50
    with capsys.disabled():
        print(f"\ntenacity {VERSION}: {passed} of its own tests pass, {calls} calls of our loops")  # noqa: T201
        for name, reason in EXCEPTIONS.items():
            print(f"  without {name}: {reason}")  # noqa: T201
