"""Settings: what is refused, and where values are read from."""

import pytest

from nonebot_plugin_graceful.config import Config, ConfigError, doubts, load
from nonebot_plugin_graceful.core.kinds import Kinds


def test_nothing_has_to_be_set():
    """Each setting has a default."""
    assert load({}, {}) == Config()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"graceful_deadline": 0}, "GRACEFUL_DEADLINE"),
        ({"graceful_deadline": "soon"}, "GRACEFUL_DEADLINE"),
        ({"graceful_deadline": float("inf")}, "GRACEFUL_DEADLINE"),
        ({"graceful_cancel_timeout": -1}, "GRACEFUL_CANCEL_TIMEOUT"),
        ({"graceful_signals": ["SIGNOPE"]}, "GRACEFUL_SIGNALS"),
        ({"graceful_signals": ["INT"]}, "GRACEFUL_SIGNALS"),
        ({"graceful_kinds": {"image": {"limit": 0}}}, r"GRACEFUL_KINDS\[image\]\[limit\]"),
        ({"graceful_kinds": {"image": {"grase": 1}}}, r"GRACEFUL_KINDS\[image\]\[grase\]"),
        ({"graceful_kinds": {"image": {"grace": None}}}, r"GRACEFUL_KINDS\[image\]\[grace\]"),
        ({"graceful_kinds": {"llm": {"tier": None}}}, r"GRACEFUL_KINDS\[llm\]\[tier\]"),
        ({"graceful_kinds": {"image": {"grace": -1}}}, r"GRACEFUL_KINDS\[image\]\[grace\]"),
        ({"graceful_kinds": {"image": {"timeout": 0}}}, r"GRACEFUL_KINDS\[image\]\[timeout\]"),
        ({"graceful_kinds": {"": {}}}, r"GRACEFUL_KINDS\[\]"),
        ({"graceful_kinds": ["image"]}, "GRACEFUL_KINDS"),
        ({"graceful_plugin_kinds": {"p": ""}}, r"GRACEFUL_PLUGIN_KINDS\[p\]"),
        ({"graceful_retry_attempts": 0}, "GRACEFUL_RETRY_ATTEMPTS"),
        ({"graceful_health_path": "healthz"}, "GRACEFUL_HEALTH_PATH: has to start"),
        *(
            ({"graceful_page_path": path}, "GRACEFUL_PAGE_PATH: may have")
            for path in ("/{x}", "/<int:x>", "/a b", "/x?y", "/x#y", "//evil", "/a//b")
        ),
        ({"graceful_log_compression": "rar"}, "GRACEFUL_LOG_COMPRESSION: has to be one of"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_setting(values, named):
    """And the message quotes the value."""
    with pytest.raises(ConfigError, match=named) as raised:
        load(values, {})
    assert "it is" in str(raised.value)


@pytest.mark.parametrize(
    "values",
    [
        {"graceful_page_token": "hush hush"},
        {"graceful_page_token": "hush"},
        {"graceful_database_url": "mysql://user:hush@host/database"},
    ],
)
def test_what_is_secret_is_not_quoted(values):
    """What stops a bot from starting is in its log, which people show to others."""
    with pytest.raises(ConfigError, match="has to be") as raised:
        load(values, {})
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize("path", ["", "/", "/healthz", "/healthz/", "/bots/1/健康-check_v1.0"])
def test_a_path_is_as_one_would_write_it(path):
    """In letters of any language."""
    assert load({"graceful_health_path": path}, {}).graceful_health_path == path


def test_each_path_is_one_things_own():
    """Else one of them would not be there, and nobody be told; the page's counts if there is one."""
    values = {"graceful_health_path": "/graceful", "graceful_metrics_path": "/metrics"}
    assert load(values, {})
    with pytest.raises(
        ConfigError, match="GRACEFUL_HEALTH_PATH and GRACEFUL_PAGE_PATH are the same"
    ):
        load({**values, "graceful_page_token": "correct-horse"}, {})
    with pytest.raises(ConfigError, match="GRACEFUL_METRICS_PATH are the same, /metrics/"):
        load({"graceful_health_path": "/metrics", "graceful_metrics_path": "/metrics/"}, {})


def test_every_wrong_setting_is_named_at_once():
    """Nobody has to start his bot once for each."""
    with pytest.raises(ConfigError, match=r"(?s)GRACEFUL_DEADLINE.*GRACEFUL_RETRY_ATTEMPTS"):
        load({"graceful_deadline": 0, "graceful_retry_attempts": 0}, {})


def test_the_environment_is_seen_and_goes_first():
    """NoneBot alone would not see it; JSON in it is parsed."""
    config = load(
        {"graceful_deadline": 5, "graceful_cancel_timeout": 2},
        {
            "GRACEFUL_DEADLINE": "9.5",
            "GRACEFUL_SIGNALS": '["SIGINT"]',
            "GRACEFUL_KINDS": '{"image": {"grace": 30, "limit": 2}}',
            "GRACEFUL_NOTICE": "bye",
        },
    )
    assert config.graceful_deadline == 9.5
    assert config.graceful_cancel_timeout == 2
    assert config.graceful_signals == ["SIGINT"]
    assert config.kind_overrides == {"image": {"grace": 30, "limit": 2}}
    assert config.graceful_notice == "bye"


def test_a_wrong_value_in_the_environment_is_refused():
    """As one in a file."""
    with pytest.raises(ConfigError, match="GRACEFUL_DEADLINE"):
        load({}, {"GRACEFUL_DEADLINE": "soon"})


def test_a_limit_or_a_timeout_may_be_none():
    """There is none then, which is what one may want of a kind."""
    config = load({"graceful_kinds": {"image": {"limit": None, "timeout": None}}}, {})
    assert config.kind_overrides == {"image": {"limit": None, "timeout": None}}


def told(values, names=(), plugins=("painter", "painter:brush")):
    """Tell the doubts about settings."""
    config = load(values, {})
    return list(
        doubts(config, [*values, *names], kinds=Kinds(config.kind_overrides), plugins=plugins)
    )


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"graceful_plugin_kinds": {"painter": "image", "painter:brush": "llm"}},
        {
            "graceful_plugin_kinds": {"painter": "video"},
            "graceful_kinds": {"video": {"limit": 1}},
        },
        {"graceful_kinds": {"image": {"grace": 5.5}}},
        {"graceful_resume": ["image", "painter", "painter:brush", "handler"]},
        {"graceful_resume": ["video"], "graceful_kinds": {"video": {}}},
        {"graceful_kinds": {"image": {"limit": 2}}, "graceful_deadline": 0.5},
        {"other_plugins_setting": 1, "grace": 2},
    ],
)
def test_what_is_meant_is_not_doubted(values):
    """Nobody is warned of settings that are as they should be."""
    assert told(values, ["GRACEFUL_REPORT_FILE", "GRACEFUL_DEADLINE", "PATH"]) == []


@pytest.mark.parametrize("name", ["graceful_deadlien", "GRACEFUL_DEADLIEN"])
def test_a_name_that_is_nobodys_is_warned_about(name):
    """From a file or from the environment, with the name that may have been meant."""
    assert told({}, [name]) == ["GRACEFUL_DEADLIEN is no setting. Is it GRACEFUL_DEADLINE?"]


def test_a_name_like_no_other_is_warned_about():
    """Without a guess."""
    assert told({}, ["GRACEFUL_XYZ"]) == ["GRACEFUL_XYZ is no setting"]


@pytest.mark.parametrize(
    ("plugin", "guess"),
    [
        ("paintre", ". Is it painter?"),
        ("nonebot_plugin_painter", ". Is it painter?"),
        ("painter:brsh", ". Is it painter:brush?"),
        ("zzz", ""),
    ],
)
def test_a_plugin_that_does_not_exist_is_warned_about(plugin, guess):
    """One that is misspelt, or is not there any more."""
    assert told({"graceful_plugin_kinds": {plugin: "image"}}) == [
        f"GRACEFUL_PLUGIN_KINDS[{plugin}]: no plugin with this id is loaded{guess}"
    ]


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("paintre", ". Is it painter?"),
        ("nonebot_plugin_painter", ". Is it painter?"),
        ("painter:brsh", ". Is it painter:brush?"),
        ("imgae", ". Is it image?"),
        ("zzz", ". If a plugin names its work so, put it into GRACEFUL_KINDS as well"),
    ],
)
def test_what_is_to_be_resumed_and_is_nothing_is_warned_about(name, guess):
    """It is neither a plugin nor a kind, so that nothing would survive a restart."""
    (line,) = told({"graceful_resume": ["image", name, "painter", name]})
    assert line == (
        f"GRACEFUL_RESUME[{name}]: no plugin with this id is loaded,"
        f" and nothing is known of such a kind{guess}"
    )


def test_a_kind_of_which_nothing_is_known_is_warned_about():
    """It would be stopped as an ordinary handler, without a grace."""
    assert told({"graceful_plugin_kinds": {"painter": "imgae"}}) == [
        "GRACEFUL_PLUGIN_KINDS[painter]: nothing is known of a kind 'imgae'. Is it image?"
    ]


@pytest.mark.parametrize(
    ("grace", "others", "left", "enough"),
    [
        (30, {}, "5.5", "32.5"),
        (30, {"graceful_cancel_timeout": 3, "graceful_thread_timeout": 0.5}, "4", "34"),
        # half of a short deadline is the least that is left for hooks and graces
        (1, {"graceful_deadline": 2, "graceful_cancel_timeout": 0}, "1", None),
        (1.2, {"graceful_deadline": 2, "graceful_cancel_timeout": 0}, "1", "2.4"),
    ],
)
def test_a_grace_that_the_deadline_cuts_is_warned_about(grace, others, left, enough):
    """One line names both settings, the number, and the deadline that would be enough; it is."""
    values = {"graceful_kinds": {"image": {"grace": grace}}, **others}
    if enough is not None:
        (line,) = told(values)
        deadline = load(values, {}).graceful_deadline
        assert line == (
            f"GRACEFUL_KINDS[image][grace] is {grace:g} s, of which GRACEFUL_DEADLINE={deadline:g}"
            f" leaves {left} s: GRACEFUL_DEADLINE={enough} would leave all of it"
        )
        values["graceful_deadline"] = float(enough)
    assert told(values) == []
