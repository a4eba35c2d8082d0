"""Settings: what is refused, and where values are read from."""

import pytest

from nonebot_plugin_graceful.config import Config, ConfigError, load


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
        ({"graceful_plugin_kinds": {"p": ""}}, r"GRACEFUL_PLUGIN_KINDS\[p\]"),
        ({"graceful_retry_attempts": 0}, "GRACEFUL_RETRY_ATTEMPTS"),
        ({"graceful_health_path": "healthz"}, "GRACEFUL_HEALTH_PATH: has to start"),
        ({"graceful_log_compression": "rar"}, "GRACEFUL_LOG_COMPRESSION: has to be one of"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_setting(values, named):
    """And the message quotes the value."""
    with pytest.raises(ConfigError, match=named) as raised:
        load(values, {})
    assert "it is" in str(raised.value)


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
