"""Metrics: what they tell, and what they never do."""

import asyncio
import json
import re
import shutil
import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.api import cancel, track
from nonebot_plugin_graceful.core.discovery import branches
from nonebot_plugin_graceful.core.errors import Refused
from nonebot_plugin_graceful.core.kinds import Kinds
from nonebot_plugin_graceful.core.meters import OUTCOMES
from nonebot_plugin_graceful.core.report import Report
from nonebot_plugin_graceful.core.stopping import Stopping
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.core.work import Section
from nonebot_plugin_graceful.core.world import PluginOrigin
from nonebot_plugin_graceful.journal.storage import Storage
from nonebot_plugin_graceful.ops import health
from nonebot_plugin_graceful.ops.prometheus import Metrics


class Scraped:
    """A tree of its own that is counted, in a registry of its own."""

    def __init__(self, folder, **kinds):
        self.tree = Tree(Kinds(kinds))
        self.report = folder / "last_shutdown.json"
        self.registry = CollectorRegistry()
        storage = Storage(folder / "journal.db")
        self.metrics = Metrics(self.tree, storage, self.report, self.registry)
        self.uninstall = self.metrics.install()

    def text(self):
        return generate_latest(self.registry).decode()

    def value(self, name, **labels):
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def scraped(tmp_path):
    """What Prometheus sees."""
    scraped = Scraped(tmp_path, image={"limit": 1})
    restore = installed.install(scraped.tree)
    yield scraped
    restore()
    scraped.uninstall()


async def test_work_is_in_flight_until_it_is_done(scraped):
    """What was there once, is there with a zero."""
    async with track("llm"):
        assert scraped.value("graceful_in_flight", kind="llm") == 1
    assert scraped.value("graceful_in_flight", kind="llm") == 0
    assert scraped.value("graceful_work_total", kind="llm", plugin="", outcome="done") == 1
    assert scraped.value("graceful_work_seconds_count", kind="llm") == 1
    assert scraped.value("graceful_queue_seconds_count", kind="llm") is None


async def test_who_waits_for_a_place_is_queued(scraped, within):
    """And his seconds are told when he has ended."""
    waiting = asyncio.create_task(track("image")(asyncio.sleep)(0))  # not inside of the first one
    async with track("image"):
        await asyncio.sleep(0)
        assert scraped.value("graceful_queued", kind="image") == 1
    await within(waiting)
    assert scraped.value("graceful_queue_seconds_count", kind="image") == 2


async def done(tree, within):
    async with track("llm"):
        pass


async def failed(tree, within):
    with pytest.raises(ValueError):
        async with track("llm"):
            raise ValueError


async def hangs(tree, end, within):
    begun = asyncio.Event()

    async def hang():
        async with track("llm"):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await within(begun.wait())
    end()
    await within(asyncio.wait([task]))


async def cancelled(tree, within):
    await hangs(tree, lambda: cancel(kind="llm"), within)


async def interrupted(tree, within):
    def shut_down():
        tree.lifecycle.begin("SIGINT")
        tree.lifecycle.announce()
        stopping = Stopping(tree, lambda: branches(tree), "SIGINT")
        running.append(tree.run_internal(stopping.run(), "stopping"))

    running = []
    await hangs(tree, shut_down, within)
    await within(asyncio.wait(running))


async def timed_out(tree, within):
    with pytest.raises(TimeoutError):
        async with track("llm", timeout=0.01):
            await asyncio.Event().wait()


async def refused(tree, within):
    tree.admission.refuse("drained")
    with pytest.raises(Refused):
        async with track("llm"):
            pass


async def no_place(tree, within):
    waiting = asyncio.create_task(track("image", timeout=0.01)(asyncio.sleep)(0))
    async with track("image"):  # before the task has its first turn
        with pytest.raises(Refused):
            await waiting


async def resumed(tree, within):
    async with track("handler"):
        tree.current().resumed = True
        async with track("llm"):
            pass


@pytest.mark.parametrize(
    ("become", "outcome"),
    [
        *((each, each.__name__) for each in (done, failed, cancelled, interrupted, timed_out)),
        *((each, each.__name__) for each in (refused, resumed)),
        (no_place, "refused"),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
async def test_each_outcome_is_counted(scraped, become, outcome, within):
    """As itself, once, and as nothing else."""
    await become(scraped.tree, within)
    await asyncio.sleep(0)
    kind = "image" if become is no_place else "llm"
    counted = {
        sample.labels["outcome"]: sample.value
        for family in text_string_to_metric_families(scraped.text())
        for sample in family.samples
        if sample.name == "graceful_work_total" and sample.labels["kind"] == kind
    }
    assert counted == {outcome: 1, **({"done": 1} if become is no_place else {})}
    assert set(counted) <= set(OUTCOMES)


def test_phase_and_acceptance_are_told(scraped):
    """Running, drained, stopping."""
    assert scraped.value("graceful_phase", phase="running") == 1
    assert scraped.value("graceful_accepting") == 1
    scraped.tree.admission.refuse("drained")
    assert scraped.value("graceful_accepting") == 0
    scraped.tree.lifecycle.begin("SIGINT")
    assert scraped.value("graceful_phase", phase="running") == 0
    assert scraped.value("graceful_phase", phase="draining") == 1


def test_the_last_shutdown_is_told(scraped):
    """None, one that was clean, and the next one."""
    assert scraped.value("graceful_last_shutdown_seconds") is None
    Report(phases={"work": 1.0, "hooks": 0.5}).save(scraped.report)
    assert scraped.value("graceful_last_shutdown_seconds") == 1.5
    assert scraped.value("graceful_last_shutdown_clean") == 1
    scraped.report.unlink()
    Report(phases={"work": 2.0}, forced="the deadline").save(scraped.report)
    assert scraped.value("graceful_last_shutdown_clean") == 0


def test_values_of_labels_are_bounded(scraped):
    """Users bring URLs of any host, and a host any status; the first ones keep their names."""
    for number in range(100, 900):
        scraped.metrics.answered("host0.example.com", str(number))
    assert scraped.text().count('{host="host0.example.com",status=') == 51
    for number in range(500):
        scraped.metrics.answered(f"host{number}.example.com", "200")
        scraped.metrics.retried(f"host{number}.example.com", "504")
    hosts = {
        sample.labels["host"]
        for family in text_string_to_metric_families(scraped.text())
        for sample in family.samples
        if "host" in sample.labels
    }
    assert len(hosts) == 51
    assert {"host0.example.com", "other"} < hosts
    other = scraped.value("graceful_http_requests_total", host="other", status="other")
    assert other == 450


async def test_half_a_surrogate_pair_costs_no_other_metric(scraped):
    """Nobody can be sent one."""
    async with track("half of \ud83d"):
        assert 'graceful_in_flight{kind="half of ?"} 1.0' in scraped.text()
    assert 'kind="half of ?",outcome="done"' in scraped.text()


def test_names_are_as_they_should_be(scraped):
    """A prefix, base units, counters end in ``_total``, and each has a help text."""
    scraped.metrics.blocked("plugin")
    scraped.metrics.throttled("host")
    for family in text_string_to_metric_families(scraped.text()):
        assert family.name.startswith("graceful_")
        assert family.documentation.endswith(".")
        assert not family.name.endswith(("_count", "_sum", "_bucket", "_total", "_ms"))
        samples = {sample.name for sample in family.samples}
        if family.type == "counter":
            assert samples <= {f"{family.name}_total"}


def test_uninstalling_leaves_nothing(tmp_path):
    """Neither in the registry nor in the tree."""
    scraped = Scraped(tmp_path)
    scraped.uninstall()
    assert scraped.text() == ""
    assert scraped.tree.world.meters == []


IDS = st.text(string.ascii_letters + string.digits, min_size=12, max_size=20)
ENDINGS = st.sampled_from(["done", "failed", "open", "refused", "queued"])


def all_of_health(tree):
    return [health._answer(tree, ready=ready).content for ready in (False, True)]


@settings(max_examples=60)
@given(st.lists(st.tuples(IDS, IDS, IDS, ENDINGS), max_size=8), st.booleans())
def test_no_metric_and_no_health_tells_a_user_or_chat(tmp_path_factory, works, draining):
    """Whatever they do, and whatever becomes of it."""

    async def run():
        scraped = Scraped(tmp_path_factory.mktemp("metrics"), image={"limit": 1})
        tree = scraped.tree
        restore = installed.install(tree)
        event = asyncio.Event()

        async def work(outcome, origin):
            section = Section(tree.kinds["image" if outcome == "queued" else "llm"], origin.user)
            opened = tree.open_work(section, asyncio.current_task(), origin)
            if outcome == "queued":
                await tree.places.take(section)
            if outcome == "refused":
                scraped.metrics.refused(section.kind, opened)
            if outcome == "failed":
                scraped.metrics.retried("api.example.com", "504")
                raise ValueError(origin.user)
            if outcome != "done":
                await event.wait()

        origins = [(PluginOrigin("p", None, b, u, c), how) for u, c, b, how in works]
        tasks = [asyncio.create_task(work(how, origin)) for origin, how in origins]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if draining:
            tree.admission.refuse("drained")
        said = [scraped.text(), *all_of_health(tree)]
        event.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)
        said += [scraped.text(), *all_of_health(tree)]
        restore()
        scraped.uninstall()
        for ids in works:
            for each in ids[:3]:
                assert all(each not in text for text in said)
        assert json.loads(said[1])["accepting"] is not draining

    asyncio.run(run())


def test_without_prometheus_client_nothing_is_counted(tmp_path):
    """And a path for metrics is warned about; the bot starts all the same."""
    code = """
import sys
from pathlib import Path
sys.modules["prometheus_client"] = None
import nonebot
nonebot.init(driver="~none", graceful_metrics_path="/metrics", localstore_use_cwd=True)
assert nonebot.load_plugin("nonebot_plugin_graceful")
from nonebot_plugin_graceful.core import installed
assert installed.tree.world.meters == []
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "no metrics without prometheus-client" in done.stdout + done.stderr


DASHBOARD = Path(__file__).parents[2] / "examples" / "deploy" / "grafana.json"


def test_the_dashboard_asks_for_what_there_is(scraped):
    """Five panels; each expression is of metrics and labels that exist."""
    scraped.metrics.answered("host", "200")
    scraped.metrics.retried("host", "504")
    scraped.metrics.throttled("host")
    scraped.metrics.refused(scraped.tree.kinds["image"], None)
    Report(phases={"work": 1.0}).save(scraped.report)
    known = {"graceful_work_seconds_bucket", "graceful_queue_seconds_bucket"}
    labels = {"job", "le", "kind"}
    for family in text_string_to_metric_families(scraped.text()):
        known.add(family.name)
        known |= {sample.name for sample in family.samples}
        labels |= {label for sample in family.samples for label in sample.labels}
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    assert len(dashboard["panels"]) == 5
    for panel in dashboard["panels"]:
        assert panel["title"] and panel["description"]
        for target in panel["targets"]:
            asked = re.findall(r"graceful_\w+", target["expr"])
            assert asked and set(asked) <= known
            for group in re.findall(r"by \(([\w, ]+)\)", target["expr"]):
                assert set(group.split(", ")) <= labels
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels


def lost(before, after, path=""):
    """Give what of a JSON is not there, or is something else, in another one."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            if name in after:
                yield from lost(value, after[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from lost(one, other, f"{path}[{number}]")
    elif before != after:
        yield f"{path}: {before!r} became {after!r}"


def test_the_dashboard_is_of_grafanas_schema():
    """Read and written by Grafana's own types, which leave out what they do not know, it is the same."""
    plugins = pytest.importorskip("grafana_foundation_sdk.cog.plugins")
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import common, dashboard, stat

    plugins.register_default_plugins()
    given = json.loads(DASHBOARD.read_text("utf-8"))
    read = dashboard.Dashboard.from_json(json.loads(DASHBOARD.read_text("utf-8")))
    assert list(lost(given, json.loads(JSONEncoder(sort_keys=True).encode(read)))) == []
    # those types take any text where there are but a few words
    for panel in given["panels"]:
        options = panel["options"]
        if panel["type"] == "stat":
            common.BigValueColorMode(options["colorMode"])
            common.BigValueGraphMode(options["graphMode"])
            common.BigValueTextMode(options["textMode"])
            common.BigValueJustifyMode(options["justifyMode"])
            common.VizOrientation(options["orientation"])
            assert stat.Options.from_json(options)
        else:
            assert panel["type"] == "timeseries"
            common.LegendDisplayMode(options["legend"]["displayMode"])
            common.LegendPlacement(options["legend"]["placement"])
            common.TooltipDisplayMode(options["tooltip"]["mode"])
            common.SortOrder(options["tooltip"]["sort"])
            stacking = panel["fieldConfig"]["defaults"]["custom"].get("stacking", {"mode": "none"})
            common.StackingMode(stacking["mode"])
    for variable in given["templating"]["list"]:
        dashboard.VariableType(variable["type"])


def test_the_panels_do_not_overlap():
    """And none sticks out of Grafana's 24 columns."""
    taken = set()
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus' own linter")
def test_prometheus_linter_finds_nothing(scraped):
    """Of names, units and help texts; whatever has been counted."""
    scraped.metrics.answered("host", "200")
    scraped.metrics.retried("host", "504")
    scraped.metrics.throttled("host")
    scraped.metrics.blocked("plugin")
    scraped.metrics.refused(scraped.tree.kinds["image"], None)
    Report(phases={"work": 1.0}).save(scraped.report)
    said = subprocess.run(
        ["promtool", "check", "metrics"],
        input=scraped.text(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stdout + said.stderr) == (0, "")
