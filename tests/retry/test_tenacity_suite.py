"""tenacity's own tests, and itself, from the source distributions of two versions."""

import contextlib
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
VERSIONS = {
    "installed": f"tenacity=={importlib.metadata.version('tenacity')}",
    "newest": "tenacity",  # which need not be allowed beside everything else that is installed
}
EXCEPTIONS = {
    "test_asyncio.py::TestTrio": "waits end with the shutdown of an asyncio bot; Trio has none",
}
"""What is left out, and why."""


def download(folder, requirement):
    """Fetch a source distribution; None where that is not possible."""
    clients = [[sys.executable, "-m", "pip"], ["pip"], ["uvx", "pip"]]
    for client in clients:
        if shutil.which(client[0]) is None:
            continue
        command = [*client, "download", "--quiet", "--no-deps", "--no-binary", "tenacity"]
        command += ["--dest", str(folder), requirement]
        with contextlib.suppress(subprocess.TimeoutExpired):  # the network's fault, not ours
            subprocess.run(command, capture_output=True, check=False, timeout=120)
        for archive in folder.glob("tenacity-*.tar.gz"):
            return archive
    return None


def unpack(archive, folder):
    """Unpack tenacity and its tests, side by side."""
    with tarfile.open(archive) as source:
        for member in source.getmembers():
            inner = re.fullmatch(r"[^/]+/((?:tests|tenacity)/(?:\w+/)?\w+\.py)", member.name)
            if inner is not None and member.isfile():
                target = folder / inner[1]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.extractfile(member).read())


@pytest.mark.timeout(600)  # it downloads
@pytest.mark.parametrize("version", VERSIONS)
def test_tenacitys_own_tests_pass_on_our_loops(version, tmp_path, capsys):
    """Whatever tenacity promises of its loops, ours keep, but for a short list of exceptions."""
    archive = download(tmp_path, VERSIONS[version])
    if archive is None:
        reason = f"tenacity's own tests were not run: its source ({version}) cannot be downloaded"
        warnings.warn(reason, stacklevel=1)  # to be seen without -rs
        pytest.skip(reason)
    unpack(archive, tmp_path)
    left_out = [f"--deselect=tests/{name}" for name in EXCEPTIONS]
    ran = run(tmp_path, *left_out)
    assert f"drop-in: {tmp_path}" in ran.stdout, ran.stdout
    passed = int(re.search(r"(\d+) passed", ran.stdout)[1])
    calls = int(re.search(r"drop-in: (\d+) calls", ran.stdout)[1])
    if ran.returncode:
        # Some of them want to be done within a millisecond: on a busy machine they get three goes.
        for _ in range(2):
            again = run(tmp_path, "--last-failed", *left_out)
            if not again.returncode:
                break
        assert again.returncode == 0, ran.stdout + ran.stderr + again.stdout
    assert passed > 100
    assert calls > 50
    with capsys.disabled():
        name = archive.name.removesuffix(".tar.gz")
        print(f"\n{name}: {passed} of its own tests pass, {calls} calls of our loops")  # noqa: T201
        for name, reason in EXCEPTIONS.items():
            print(f"  without {name}: {reason}")  # noqa: T201


def run(folder, *arguments):
    """Run them in an interpreter of their own, in which tenacity's loops are ours."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "drop_in", "tests", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                [str(folder), str(ROOT), str(Path(__file__).with_name("tenacity_suite"))]
            ),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
