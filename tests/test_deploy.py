"""``examples/deploy``: each file is what it says, and fits the plugin's defaults."""

import configparser
import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from nonebot_plugin_graceful.bot.restart import EXIT_CODE
from nonebot_plugin_graceful.config import Config, load
from nonebot_plugin_graceful.ops.doctor import examine
from nonebot_plugin_graceful.ops.doctor.finding import Folder, needed, seconds_of

DEPLOY = Path(__file__).parents[1] / "examples" / "deploy"
LONG_ENOUGH = needed(Config())
STARTS_A_BOT = [
    "Dockerfile",
    "compose.yaml",
    "ecosystem.config.js",
    "graceful-bot.service",
    "kubernetes.yaml",
    "supervisor.conf",
]
BOT = 'import nonebot\nnonebot.load_plugin("nonebot_plugin_graceful")\n'


def read_yaml(name):
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def read_ini(name):
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read(DEPLOY / name, encoding="utf-8")
    return parser


@pytest.mark.parametrize("name", STARTS_A_BOT)
def test_the_doctor_finds_nothing(name, tmp_path):
    """Of each by itself it says neither wrong nor maybe, and it has understood it."""
    file = DEPLOY / name
    if file.suffix == ".yaml":
        pytest.importorskip("yaml")
    shutil.copy(file, tmp_path)
    if file.name == "Dockerfile":  # where the init comes from
        pytest.importorskip("yaml")
        shutil.copy(DEPLOY / "compose.yaml", tmp_path)
    (tmp_path / "bot.py").write_text(BOT)
    folder = Folder(tmp_path)
    values = {"driver": "~fastapi", "graceful_health_path": "/healthz"}
    assert examine(folder, values, {}) == []
    assert file.name in folder.read


def test_compose_waits_long_enough_and_has_an_init():
    """And sets what are settings."""
    service = read_yaml("compose.yaml")["services"]["bot"]
    assert seconds_of(service["stop_grace_period"]) >= LONG_ENOUGH
    assert service["init"] is True
    ours = {name for name in service["environment"] if name.startswith("GRACEFUL_")}
    assert load({}, service["environment"]).graceful_health_path == "/healthz"
    assert {name.lower() for name in ours} <= Config.model_fields.keys()


def test_kubernetes_asks_two_questions():
    """Alive is not ready; and it waits long enough."""
    pod = read_yaml("kubernetes.yaml")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    asked = {
        probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("liveness", "readiness")
    }
    (path,) = (each["value"] for each in container["env"] if each["name"] == "GRACEFUL_HEALTH_PATH")
    assert asked == {"liveness": path, "readiness": f"{path}?ready"}
    assert pod["terminationGracePeriodSeconds"] >= LONG_ENOUGH


def test_the_dockerfile_starts_python_itself():
    """As a list that JSON can read, and asks for the path that compose.yaml sets."""
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    (start,) = (line for line in lines if line.startswith("CMD "))
    assert json.loads(start.removeprefix("CMD ")) == ["python", "bot.py"]
    (asks,) = (line for line in lines if "urlopen" in line)
    assert "/healthz'" in json.loads(asks.strip().removeprefix("CMD "))[2]


def test_the_unit_listens_to_the_bot():
    """It is the main process, which says when it is ready; and it is waited for long enough."""
    unit = read_ini("graceful-bot.service")["Service"]
    assert unit["Type"] == "notify"
    assert unit["ExecStart"].endswith("/python bot.py")
    assert unit["KillMode"] == "mixed"
    assert seconds_of(unit["TimeoutStopSec"]) >= LONG_ENOUGH
    # a shutdown is no reason to take the bot for dead
    assert seconds_of(unit["WatchdogSec"]) > LONG_ENOUGH
    assert unit["RestartForceExitStatus"] == str(EXIT_CODE)


def test_supervisor_signals_everybody_and_waits():
    """And starts the bot again when it asks for it."""
    program = read_ini("supervisor.conf")["program:bot"]
    assert program.getboolean("stopasgroup")
    assert program.getboolean("killasgroup")
    assert program.getint("stopwaitsecs") >= LONG_ENOUGH
    assert f"SIG{program['stopsignal']}" in Config().graceful_signals
    assert hasattr(signal, f"SIG{program['stopsignal']}")
    assert str(EXIT_CODE) not in program["exitcodes"].split(",")


@pytest.mark.skipif(shutil.which("node") is None, reason="pm2's file is JavaScript")
def test_pm2_waits_long_enough():
    """Its file gives what pm2 is to know, in milliseconds."""
    told = subprocess.run(
        [
            "node",
            "-p",
            f"JSON.stringify(require({json.dumps(str(DEPLOY / 'ecosystem.config.js'))}))",
        ],
        capture_output=True,
        check=True,
    )
    (app,) = json.loads(told.stdout)["apps"]
    assert app["kill_timeout"] / 1000 >= LONG_ENOUGH
    assert app["script"] == "bot.py"
    assert EXIT_CODE not in app["stop_exit_codes"]
