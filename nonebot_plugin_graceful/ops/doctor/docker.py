"""Dockerfile, Compose and Kubernetes: how the bot is started there, and how long it may take to end."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

from nonebot_plugin_graceful.config import Config

from .finding import Finding, Folder, needed, seconds_of, starts_by_a_shell, too_short

__all__ = ["check_compose", "check_dockerfiles", "check_kubernetes"]

COMPOSE = ("compose.yaml", "compose.yml", "docker-compose*.yaml", "docker-compose*.yml")
DOCKERFILES = ("Dockerfile*", "*.Dockerfile", "Containerfile*")
DOCKERS_GRACE = 10.0
KUBERNETES_GRACE = 30.0
INITS = ("tini", "dumb-init", "catatonit", "s6-overlay", "/init")
STARTS_A_BOT = re.compile(r"python|bot\.py|\bnb\b|\buv\b|nonebot", re.IGNORECASE)


def check_dockerfiles(config: Config, folder: Folder) -> Iterator[Finding]:
    """Find what keeps signals from the bot."""
    inits = [service.get("init") for _, _, service in _bots(folder)]
    for name, text in folder.texts(*DOCKERFILES):
        commands = _last_stage(text)
        start = [commands[each] for each in ("ENTRYPOINT", "CMD") if each in commands]
        if not start:
            continue
        folder.looked_at(name)
        for word, (argument, line) in commands.items():
            if word in ("ENTRYPOINT", "CMD") and _is_shell_form(argument):
                yield Finding(
                    f"{name}:{line}",
                    f"{word} in shell form: /bin/sh gets the signals, and the bot none",
                    f'{word} ["python", "bot.py"], as a list',
                )
            if word == "STOPSIGNAL":
                yield from _check_stop_signal(f"{name}:{line}", argument, config)
        first = start[0][0]
        if not any(init in first for init in INITS) and not any(inits):
            yield Finding(
                name,
                "the bot is process 1, and nothing collects the children that others leave",
                "init: true in compose.yaml, or docker run --init",
                wrong=False,
            )


def _last_stage(text: str) -> dict[str, tuple[str, int]]:
    """Give what the last stage says, by its words: the argument and the line."""
    commands: dict[str, tuple[str, int]] = {}
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        begin, line = number, lines[number].strip()
        while line.endswith("\\") and number + 1 < len(lines):
            number += 1
            following = lines[number].strip()
            line = line[:-1] + ("\\" if following.startswith("#") else following)
        number += 1
        word, _, argument = line.partition(" ")
        if word.upper() == "FROM":
            commands.clear()
        commands[word.upper()] = (argument.strip(), begin + 1)
    return commands


def _is_shell_form(argument: str) -> bool:
    with suppress(ValueError):
        listed = json.loads(argument)
        if isinstance(listed, list):
            return starts_by_a_shell([str(each) for each in cast("list[Any]", listed)])
    return not argument.startswith("exec ")


def _check_stop_signal(where: str, name: str, config: Config) -> Iterator[Finding]:
    name = name.strip().upper()
    signal = name if name.startswith("SIG") or name.isdigit() else f"SIG{name}"
    signal = {"2": "SIGINT", "15": "SIGTERM", "9": "SIGKILL"}.get(signal, signal)
    if signal not in config.graceful_signals:
        yield Finding(
            where,
            f"the bot is stopped by {signal}, which GRACEFUL_SIGNALS does not name",
            "STOPSIGNAL SIGTERM, which is the default",
        )


def check_compose(config: Config, folder: Folder) -> Iterator[Finding]:
    """Find a grace period that is too short, and what keeps signals from the bot."""
    for file, name, service in _bots(folder):
        where = f"{file}, service {name}"
        grace = service.get("stop_grace_period")
        seconds = DOCKERS_GRACE if grace is None else seconds_of(grace)
        what = "stop_grace_period" + " (default)" * (grace is None)
        advice = f"stop_grace_period: {needed(config):g}s or more"
        if finding := too_short(where, what, seconds, config, advice):
            yield finding
        for key in ("entrypoint", "command"):
            command = service.get(key)
            if isinstance(command, str | list) and starts_by_a_shell(
                cast("str | list[str]", command)
            ):
                yield Finding(
                    where,
                    f"{key} runs a shell: it gets the signals, and the bot none",
                    f'{key}: ["python", "bot.py"], or `exec` before the last command',
                )
        if service.get("stop_signal"):
            yield from _check_stop_signal(where, str(service["stop_signal"]), config)
        if config.graceful_restart == "exit" and service.get("restart", "no") in ("no", False):
            yield Finding(
                where,
                "GRACEFUL_RESTART=exit, and nobody starts the bot again",
                "restart: unless-stopped, or GRACEFUL_RESTART=exec",
            )


def _bots(folder: Folder) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give the services that are bots, as far as can be told: file, name, what is said of it."""
    for file, document in _yaml(folder, *COMPOSE):
        services = cast("dict[str, dict[str, Any] | None]", document.get("services") or {})
        built = [name for name, service in services.items() if _starts_a_bot(service or {})]
        for name in built or (services if len(services) == 1 else []):
            yield file, name, services[name] or {}


def _starts_a_bot(service: dict[str, Any]) -> bool:
    return "build" in service or bool(STARTS_A_BOT.search(str(service.get("command", ""))))


def check_kubernetes(config: Config, folder: Folder) -> Iterator[Finding]:
    """Find a pod that is killed too soon, or for draining."""
    for file, document in _yaml(folder, "*.yaml", "*.yml"):
        pod = _pod(document)
        if pod is None:
            continue
        where = f"{file}, {document.get('kind')}"
        seconds = seconds_of(pod.get("terminationGracePeriodSeconds", KUBERNETES_GRACE))
        name, advice = "terminationGracePeriodSeconds", f"at least {needed(config):g} of them"
        if finding := too_short(where, name, seconds, config, advice):
            yield finding
        path = config.graceful_health_path
        for container in cast("list[dict[str, Any]]", pod.get("containers") or []):
            probes = {probe: _path_of(container, probe) for probe in ("liveness", "readiness")}
            if "?ready" in probes["liveness"]:
                yield Finding(
                    where,
                    "livenessProbe asks ?ready: a bot that drains is killed for it",
                    f"livenessProbe: {probes['liveness'].partition('?')[0]}",
                )
            if path and path == probes["readiness"]:
                yield Finding(
                    where,
                    "readinessProbe asks whether the bot lives: it is sent work while it drains",
                    f"readinessProbe: {path}?ready",
                )


def _path_of(container: dict[str, Any], probe: str) -> str:
    asked: Any = container.get(f"{probe}Probe") or {}
    request: Any = asked.get("httpGet") or {}
    return str(request.get("path", ""))


def _pod(document: dict[str, Any]) -> dict[str, Any] | None:
    spec: Any = document.get("spec")
    if not isinstance(spec, dict) or "kind" not in document:
        return None
    template: Any = cast("dict[str, Any]", spec).get("template")
    if isinstance(template, dict):
        spec = cast("dict[str, Any]", template).get("spec")
    pod = cast("dict[str, Any]", spec) if isinstance(spec, dict) else {}
    return pod if "containers" in pod else None


def _yaml(folder: Folder, *patterns: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, text in folder.texts(*patterns):
        try:
            import yaml
        except ImportError:
            why = f"{name}: PyYAML is not installed"
            if why not in folder.unread:
                folder.unread.append(why)
            continue
        try:
            documents: list[Any] = list(yaml.safe_load_all(text))
        except yaml.YAMLError as error:
            why = f"{name}: {str(error).splitlines()[0]}"
            if why not in folder.unread:
                folder.unread.append(why)
            continue
        for document in documents:
            if isinstance(document, dict) and ("services" in document or "spec" in document):
                folder.looked_at(name)
                yield name, cast("dict[str, Any]", document)
