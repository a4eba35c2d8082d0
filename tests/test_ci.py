"""What a push is tried by is what ``.ci/run`` tries."""

import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
HERE = (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.fixture
def jobs():
    """Those of the workflow."""
    yaml = pytest.importorskip("yaml")
    text = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["jobs"]


def commands(job):
    return [step["run"] for step in job["steps"] if "run" in step]


def test_lint_and_types_are_the_same(jobs):
    """Nothing is asked of a pull request that was not asked at home, nor the other way round."""
    tools = r"uv run (?:ruff|pyright).*"
    assert commands(jobs["lint"]) == re.findall(tools, HERE)


def test_all_tests_are_run_with_the_oldest_dependencies(jobs):
    """Here and there."""
    (ran,) = (line for line in commands(jobs["oldest"]) if "pytest" in line)
    (_, _, at_home) = HERE.partition("oldest() {")
    assert ran.endswith("pytest")
    assert at_home.partition("}")[0].rstrip().endswith("pytest")


def test_every_python_that_is_promised_is_tried(jobs):
    """And no other one."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        classifiers = tomllib.load(file)["project"]["classifiers"]
    promised = [line for line in classifiers if re.search(r":: 3\.\d+$", line)]
    tried = jobs["test"]["strategy"]["matrix"]["python"]
    assert [line.rpartition(" ")[2] for line in promised] == tried


def test_a_bug_is_reported_with_the_bundle():
    """Which holds what would be asked for next."""
    yaml = pytest.importorskip("yaml")
    folder = ROOT / ".github" / "ISSUE_TEMPLATE"
    forms = {
        file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) for file in folder.glob("*.yml")
    }
    fields = {field["id"]: field for field in forms["bug"]["body"]}
    assert "nonebot_plugin_graceful bundle" in fields["bundle"]["attributes"]["description"]
    assert fields["bundle"]["validations"]["required"] is True
    for form in (forms["bug"], forms["feature"]):
        assert {"name", "description", "body"} <= form.keys()
