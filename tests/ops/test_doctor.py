"""The command line that sees what does not fit, in folders as bots are run in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nonebot_plugin_graceful.ops.doctor import examine
from nonebot_plugin_graceful.ops.doctor import finding as findings_of
from nonebot_plugin_graceful.ops.doctor.finding import Folder, seconds_of, starts_by_a_shell

ROOT = Path(__file__).parents[2]
BOT = """
import nonebot
nonebot.init()
nonebot.load_plugin("nonebot_plugin_graceful")
nonebot.load_from_toml("pyproject.toml")
nonebot.run()
"""


@pytest.fixture
def doctor(tmp_path):
    """Examine a folder with these files: what is wrong, and what may be, as ``where: what``."""

    def doctor(files=None, *, bot=BOT, **settings):
        for name, text in {"bot.py": bot, **(files or {})}.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        doctor.folder = Folder(tmp_path)
        values = {f"graceful_{name}": value for name, value in settings.items()}
        found = examine(doctor.folder, {"driver": "~fastapi", **values}, {})
        assert all(each.advice for each in found)
        doctor.maybe = [f"{each.where}: {each.what}" for each in found if not each.wrong]
        return [f"{each.where}: {each.what}" for each in found if each.wrong]

    return doctor


def test_a_bot_that_fits_gets_a_clean_bill(doctor):
    """Nothing is wrong with the defaults."""
    assert doctor() == []
    assert doctor.maybe == []
    assert doctor.folder.read == ["bot.py"]


# -- settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"deadline": "soon"}, "GRACEFUL_DEADLINE"),
        ({"deadlien": 8}, "GRACEFUL_DEADLIEN is no setting. Is it GRACEFUL_DEADLINE?"),
        ({"kinds": {"image": {"grace": 30}}}, "GRACEFUL_KINDS[image][grace] is 30 s"),
        ({"plugin_kinds": {"nowhere": "image"}}, "no plugin with this id is loaded"),
        (
            {"plugin_kinds": {"painter": "imgae"}},
            "nothing is known of a kind 'imgae'. Is it image?",
        ),
        (
            {"plugin_kinds": {"nowhere:sub": "image"}},
            "GRACEFUL_PLUGIN_KINDS[nowhere:sub]: no plugin with this id is loaded",
        ),
        ({"resume": ["paintre"]}, "nothing is known of such a kind. Is it painter?"),
        ({"resume": ["imgae"]}, "nothing is known of such a kind. Is it image?"),
    ],
)
def test_settings_that_do_not_fit(settings, said, doctor):
    """As the log says at the start of the bot, only before."""
    files = {"plugins/painter.py": "", "pyproject.toml": "[tool.nonebot]\nplugin_dirs=['plugins']"}
    (wrong,) = doctor(files, **settings)
    assert said in wrong
    assert wrong.count("GRACEFUL_PLUGIN_KINDS") <= 1


def test_what_is_to_be_resumed_may_be_a_kind_of_a_plugins_own(doctor):
    """No plugin is loaded here, so nobody can tell."""
    assert doctor(resume=["video"]) == []
    (maybe,) = doctor.maybe
    assert maybe.startswith("GRACEFUL_RESUME[video]: no plugin with this id is loaded")


@pytest.mark.parametrize(
    "toml",
    [
        "plugins = ['shop.painter']",
        "plugin_dirs = ['plugins']",
        "[tool.nonebot.plugins]\nshop = ['painter']",
    ],
)
@pytest.mark.parametrize("plugin", ["painter", "painter:sub", "nonebot_plugin_apscheduler"])
def test_plugins_that_are_declared_or_installed_are_known(toml, plugin, doctor):
    """Their sub-plugins, too."""
    files = {"pyproject.toml": f"[tool.nonebot]\n{toml}", "plugins/painter/__init__.py": ""}
    assert doctor(files, plugin_kinds={plugin: "image"}, resume=[plugin, "image"]) == []
    assert doctor.maybe == []


def test_a_health_path_needs_a_server(doctor, tmp_path):
    """With ~none nobody answers."""
    found = examine(Folder(tmp_path), {"driver": "~httpx", "graceful_health_path": "/healthz"}, {})
    assert [each.where for each in found if each.wrong] == ["GRACEFUL_HEALTH_PATH"]


# -- loading


def test_a_plugin_that_nobody_loads(doctor):
    """It can do nothing."""
    (wrong,) = doctor(bot="import nonebot\nnonebot.load_plugins('plugins')\nnonebot.run()")
    assert wrong == "bot.py: nonebot_plugin_graceful is not loaded"


@pytest.mark.parametrize(
    ("bot", "files"),
    [
        ("nonebot.load_from_toml('pyproject.toml')", {}),
        ("nonebot.load_plugins('plugins')", {"plugins/a.py": "require('nonebot_plugin_graceful')"}),
        ("import shop", {}),
    ],
)
def test_there_are_several_ways_to_load_it(bot, files, doctor):
    """By pyproject.toml, by a plugin that needs it."""
    toml = "[tool.nonebot]\nplugins = ['nonebot_plugin_graceful']"
    assert doctor({"pyproject.toml": toml, **files}, bot=f"import nonebot\n{bot}") == []


def test_a_plugin_that_is_loaded_too_late(doctor):
    """After others, during whose imports a signal is lost."""
    bot = """import nonebot
nonebot.load_plugins("plugins")
nonebot.load_plugin("nonebot_plugin_graceful")
"""
    (wrong,) = doctor(bot=bot)
    assert wrong.startswith("bot.py:3: nonebot_plugin_graceful is loaded after what line 2 loads")


# -- Docker


@pytest.mark.parametrize(
    ("start", "fine"),
    [
        ('CMD ["python", "bot.py"]', True),
        ("CMD python bot.py", False),
        ("ENTRYPOINT python bot.py", False),
        ("CMD exec python bot.py", True),
        ('CMD ["sh", "-c", "python bot.py"]', False),
        ('CMD ["sh", "-c", "alembic upgrade head && exec python bot.py"]', True),
        ("CMD python \\\n  bot.py", False),
        ('FROM python AS build\nCMD python x.py\nFROM python\nCMD ["nb", "run"]', True),
        ('STOPSIGNAL SIGQUIT\nCMD ["python", "bot.py"]', False),
        ('STOPSIGNAL 2\nCMD ["python", "bot.py"]', True),
    ],
)
def test_how_a_container_starts_the_bot(start, fine, doctor):
    """A shell gets the signals and passes none on."""
    wrong = doctor({"Dockerfile": f"FROM python\n{start}\n"})
    assert (wrong == []) == fine
    assert all(each.startswith("Dockerfile:") for each in wrong)


def test_process_1_without_an_init(doctor):
    """Somebody has to collect the children; with an init, here or in compose.yaml, all is well."""
    dockerfile = 'FROM python\n{}\nCMD ["python", "bot.py"]\n'
    doctor({"Dockerfile": dockerfile.format("")})
    assert len(doctor.maybe) == 1
    doctor({"Dockerfile": dockerfile.format('ENTRYPOINT ["tini", "--"]')})
    assert doctor.maybe == []
    doctor(
        {
            "Dockerfile": dockerfile.format(""),
            "compose.yaml": "services: {bot: {build: ., init: true}}",
        }
    )
    assert doctor.maybe == []


def test_inside_the_container(tmp_path):
    """There it can be seen who is process 1."""
    from nonebot_plugin_graceful.ops.doctor import _check_process_1

    file = tmp_path / "cmdline"
    for command, wrong in (
        (b"/usr/local/bin/python3\0bot.py\0", 1),
        (b"/sbin/docker-init\0--\0python\0bot.py\0", 0),
        (b"/sbin/init\0", 0),
        (b"python\0-m\0pytest\0", 0),
    ):
        file.write_bytes(command)
        assert len(list(_check_process_1(file))) == wrong, command
    assert list(_check_process_1(tmp_path / "none")) == []


@pytest.mark.parametrize(
    ("service", "deadline", "fine"),
    [
        ({}, 8, True),
        ({}, 9.5, False),
        ({"stop_grace_period": "1m30s"}, 38, True),
        ({"stop_grace_period": "30s"}, 38, False),
        ({"command": "sh -c 'python bot.py'"}, 8, False),
        ({"command": "python bot.py"}, 8, True),
        ({"stop_signal": "SIGHUP"}, 8, False),
    ],
)
def test_compose(service, deadline, fine, doctor):
    """Its grace period, its shell, its signal; other services are nobody's business."""
    pytest.importorskip("yaml")
    services = {"bot": {"build": ".", **service}, "napcat": {"stop_grace_period": "1s"}}
    wrong = doctor({"docker-compose.yml": json.dumps({"services": services})}, deadline=deadline)
    assert (wrong == []) == fine
    assert all(each.startswith("docker-compose.yml, service bot: ") for each in wrong)


@pytest.mark.parametrize(
    ("pod", "fine"),
    [
        ({}, True),
        ({"terminationGracePeriodSeconds": 5}, False),
        ({"live": "/healthz", "ready": "/healthz?ready"}, True),
        ({"live": "/healthz?ready"}, False),
        ({"ready": "/healthz"}, False),
    ],
)
def test_kubernetes(pod, fine, doctor):
    """Its patience, and which question each probe asks."""
    pytest.importorskip("yaml")
    live, ready = pod.pop("live", None), pod.pop("ready", None)
    container = {"name": "bot"}
    if live:
        container["livenessProbe"] = {"httpGet": {"path": live}}
    if ready:
        container["readinessProbe"] = {"httpGet": {"path": ready}}
    spec = {"template": {"spec": {"containers": [container], **pod}}}
    document = {"kind": "Deployment", "spec": spec}
    wrong = doctor({"deploy/bot.yaml": json.dumps(document)}, health_path="/healthz")
    assert (wrong == []) == fine
    assert all(each.startswith("deploy/bot.yaml, Deployment: ") for each in wrong)


def test_what_cannot_be_read_is_told(doctor):
    """It is no reason to say that all is well."""
    pytest.importorskip("yaml")
    assert doctor({"compose.yaml": "services: ["}) == []
    assert doctor.folder.unread[0].startswith("compose.yaml: ")


# -- systemd, supervisor, pm2


@pytest.mark.parametrize(
    ("lines", "settings", "fine"),
    [
        ("", {}, True),
        ("", {"deadline": 90}, False),
        ("TimeoutStopSec=5", {}, False),
        ("TimeoutStopSec=1min 30s", {"deadline": 60}, True),
        ("TimeoutStopSec=infinity", {"deadline": 600}, True),
        ("TimeoutSec=4", {}, False),
        ("KillMode=none", {}, False),
        ("ExecStart=/bin/sh -c 'python bot.py'", {}, False),
        ("ExecStart=/bin/sh -c 'exec python bot.py'", {}, True),
        ("ExecStart=/usr/bin/uv run bot.py", {}, True),
        ("Type=notify\nExecStart=/usr/bin/uv run bot.py", {}, False),
        ("Type=notify\nNotifyAccess=all\nExecStart=/usr/bin/uv run bot.py", {}, True),
        ("NotifyAccess=all\nWatchdogSec=30\nExecStart=nb run", {}, False),
        ("", {"restart": "exit"}, False),
        ("Restart=on-failure", {"restart": "exit"}, True),
        ("RestartForceExitStatus=3 75", {"restart": "exit"}, True),
    ],
)
def test_systemd(lines, settings, fine, doctor):
    """Time-outs, whom it listens to, whether the bot comes back."""
    unit = f"[Unit]\nDescription=50% bot\n[Service]\nEnvironment=A=1\nEnvironment=B=2\n{lines}\n"
    wrong = doctor({"deploy/bot.service": unit}, **settings)
    assert (wrong == []) == fine
    assert all(each.startswith("deploy/bot.service: ") for each in wrong)
    doctor({"deploy/bot.service": f"{unit}KillMode=mixed\n"})
    assert doctor.maybe == []


@pytest.mark.parametrize(
    ("lines", "deadline", "fine"),
    [
        ("", 8, True),
        ("", 10, False),
        ("stopwaitsecs=40 ; long", 38, True),
        ("command=uv run bot.py", 8, False),
        ("command=nb run\nstopasgroup=true", 8, True),
        ("command=python bot.py", 8, True),
    ],
)
def test_supervisor(lines, deadline, fine, doctor):
    """Its patience, and whom it signals."""
    text = f"[program:bot]\nenvironment=X='%(here)s'\n{lines}\n"
    wrong = doctor({"supervisor.conf": text}, deadline=deadline)
    assert (wrong == []) == fine


@pytest.mark.parametrize(
    ("line", "fine"),
    [
        ("", False),
        ("kill_timeout: 9000,", True),
        ("'kill_timeout': 1_000,", False),
        ("// kill_timeout: 9000", False),
    ],
)
def test_pm2(line, fine, doctor):
    """It kills after 1.6 s, if it is not told otherwise."""
    text = f"module.exports = {{ apps: [{{\n script: 'bot.py',\n {line}\n}}] }}"
    wrong = doctor({"ecosystem.config.js": text})
    assert (wrong == []) == fine


# -- small parts


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        (20, 20),
        ("1min 30s", 90),
        ("1m30s", 90),
        ("500ms", 0.5),
        ("2h", 7200),
        ("infinity", float("inf")),
        ("soon", None),
        ("5 parsecs", None),
        ("", None),
    ],
)
def test_times(text, seconds):
    """As systemd and Docker write them."""
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    ("command", "shell"),
    [
        ("bash -lc 'cd /bot; python bot.py'", True),
        ("/usr/bin/env sh -c python", True),
        ("/bin/sh -c 'cd /bot; exec python bot.py'", False),
        ("python -c pass", False),
        ("/opt/fish -c x", False),
        (["/bin/sh", "-c", "python bot.py"], True),
        (["python", "bot.py"], False),
        ([], False),
    ],
)
def test_shells(command, shell):
    """A shell that becomes the bot by ``exec`` is none."""
    assert starts_by_a_shell(command) == shell


def test_the_margin_is_what_systemd_is_asked_for():
    """One number, not two."""
    from nonebot_plugin_graceful.ops import systemd

    assert findings_of.MARGIN == systemd.MARGIN


# -- as people run it


@pytest.mark.parametrize(
    ("setting", "code"), [("GRACEFUL_DEADLINE=8", 0), ("GRACEFUL_DEADLIN=8", 1)]
)
def test_the_exit_code_says_whether_something_is_wrong(setting, code, tmp_path):
    """And the output what, and what to do; nothing is written."""
    (tmp_path / ".env").write_text(f"DRIVER=~fastapi\nLOCALSTORE_USE_CWD=true\n{setting}\n")
    (tmp_path / "bot.py").write_text(BOT)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("GRACEFUL_")
    }
    done = subprocess.run(
        [sys.executable, "-m", "nonebot_plugin_graceful", "doctor"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    if code:
        assert "WRONG  settings: GRACEFUL_DEADLIN is no setting" in done.stdout
        assert "1 wrong; looked at settings, bot.py" in done.stdout
    else:
        assert done.stdout == "nothing wrong; looked at settings, bot.py\n"
    assert {path.name for path in tmp_path.iterdir()} == {".env", "bot.py"}
