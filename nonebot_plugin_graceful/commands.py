"""What an operator can ask and do from the chat; silent towards everybody else."""

# Matcher.finish() is not fully typed:
# pyright: reportUnknownMemberType=false

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from weakref import WeakValueDictionary

from nonebot import on_command
from nonebot.adapters import Event, Message
from nonebot.log import logger
from nonebot.matcher import Matcher
from nonebot.params import CommandArg
from nonebot.permission import SUPERUSER

from .config import Config
from .core.control import stop
from .core.failures import describe_failure
from .core.registry import Record, TaskInfo, registry
from .core.report import Report, load_report
from .matchers import MatcherOrigin
from .notices import say
from .shutdown import Shutdown

__all__ = ["install"]

LONGEST = 10
"""How many tasks a list shows."""
EVERYTHING = ("all", "全部")
STATES = {
    "queued": "排队中",
    "running": "进行中",
    "shielded": "收尾中",
    "stopping": "正在停止",
}
OUTCOMES = {"finished": "完成", "cancelled": "取消", "abandoned": "放弃"}
PAUSED = "机器人暂时不接新的 AI 任务，请稍后再试。"
USAGE = """用法：
/graceful　进行中的任务
/graceful cancel <编号|类型|插件|all>　取消任务
/graceful drain　做完手上的，不接新的 AI 任务
/graceful resume　重新开始接
/graceful stop [原因]　停机
/graceful last　上次停机的情况
中文：/停机管理 列表、取消、暂停、恢复、停机、上次"""

Answer = Callable[[str], Awaitable[str]]
Arguments = Annotated[Message[Any], CommandArg()]


def install(config: Config, shutdown: Shutdown) -> None:
    """Offer ``/graceful`` to SUPERUSERS, if it is wanted."""
    if not config.graceful_commands:
        return
    _Commands(shutdown)
    registry.on_refuse.append(_Refusals().tell)


class _Commands:
    """``/graceful`` and what may follow it.

    Args:
        shutdown: What ``stop`` begins, and ``last`` tells of.

    """

    def __init__(self, shutdown: Shutdown) -> None:
        self._shutdown = shutdown
        answers: dict[tuple[str, ...], Answer] = {
            ("", "list", "列表"): self._list,
            ("cancel", "取消"): self._cancel,
            ("drain", "暂停"): self._drain,
            ("resume", "恢复"): self._resume,
            ("last", "上次"): self._last,
        }
        self._answers = {word: answer for words, answer in answers.items() for word in words}
        on_command(
            "graceful",
            aliases={"停机管理"},
            permission=SUPERUSER,
            force_whitespace=True,
            priority=1,
            block=True,
            handlers=[self.answer],
        )

    async def answer(self, matcher: Matcher, arguments: Arguments) -> None:
        """Do what is asked, and say what came of it."""
        word, _, rest = arguments.extract_plain_text().strip().partition(" ")
        word, rest = word.lower(), rest.strip()
        if word in ("stop", "停机"):
            reason = rest or "/graceful stop"
            await matcher.send(f"开始停机：{reason}")
            self._shutdown.begin(reason)
            return
        answer = self._answers.get(word)
        await matcher.finish(USAGE if answer is None else await answer(rest))

    async def _list(self, rest: str) -> str:
        if rest:
            return USAGE
        infos = sorted((info for _, info in _in_flight()), key=lambda info: -info.age)
        paused = "已暂停接新的 AI 任务。\n" if registry.refusing else ""
        if not infos:
            return f"{paused}没有进行中的任务。"
        lines = [f"{paused}进行中 {len(infos)} 项："]
        lines += [_line(info) for info in infos[:LONGEST]]
        if len(infos) > LONGEST:
            kinds = Counter(info.kind for info in infos[LONGEST:])
            counts = "，".join(f"{kind} {count}" for kind, count in kinds.most_common())
            lines.append(f"……还有 {len(infos) - LONGEST} 项（{counts}）")
        return "\n".join(lines)

    async def _cancel(self, rest: str) -> str:
        if not rest or " " in rest:
            return USAGE
        chosen = [
            (record, info)
            for record, info in _in_flight()
            if rest in EVERYTHING or rest in (str(info.id), info.kind, info.plugin)
        ]
        if not chosen:
            return f"没有编号、类型或插件是“{rest}”的任务。"
        stop({record for record, _ in chosen}, "cancelled by the operator")
        return f"已取消 {len(chosen)} 项：\n" + "\n".join(
            _line(info) for _, info in chosen[:LONGEST]
        )

    async def _drain(self, rest: str) -> str:
        if rest:
            return USAGE
        registry.refuse("no new AI work is taken on")
        return f"不再接新的 AI 任务；手上的 {len(_in_flight())} 项会做完。恢复：/graceful resume"

    async def _resume(self, rest: str) -> str:
        if rest:
            return USAGE
        if not registry.refusing:
            return "没有暂停过。"
        registry.refusing = ""
        return "重新开始接 AI 任务。"

    async def _last(self, rest: str) -> str:
        if rest:
            return USAGE
        report = load_report(self._shutdown.report_file)
        return "没有上次停机的记录。" if report is None else _describe(report)


class _Refusals:
    """Says so to those whose AI work is not taken on: once for each request."""

    def __init__(self) -> None:
        self._told: WeakValueDictionary[int, Event] = WeakValueDictionary()

    def tell(self, record: Record) -> None:
        """Tell whoever asked."""
        origin = record.origin
        if not isinstance(origin, MatcherOrigin) or origin.user is None:
            return
        event = origin.event
        if self._told.get(id(event)) is not event:
            self._told[id(event)] = event
            registry.run_internal(self._say(origin), "refusal")

    async def _say(self, origin: MatcherOrigin) -> None:
        try:
            await say(origin.bot_object, origin.event, PAUSED)
        except Exception as error:
            logger.warning(f"{origin.chat} does not hear of the pause: {describe_failure(error)}")


def _in_flight() -> list[tuple[Record, TaskInfo]]:
    """Give everything but the command that asks."""
    current = registry.current()
    return [
        (family.record, registry.info(family.record))
        for family in registry.families()
        if family.record is not current
    ]


def _line(info: TaskInfo) -> str:
    whose = f"用户 {info.user}" if info.user else ""
    if info.chat and info.chat != info.user:
        whose += f"@{info.chat}"
    state = STATES[info.state]
    parts = (info.kind, info.plugin, whose, state, f"{info.age:.0f} 秒", info.note, info.where)
    return f"#{info.id} " + "｜".join(part for part in parts if part)


def _describe(report: Report) -> str:
    how = "正常" if report.clean else "不正常"
    lines = [
        f"上次停机：{report.at}（{report.reason}），{how}，{sum(report.phases.values()):.1f} 秒"
    ]
    for kind, counts in report.kinds.items():
        outcomes = "，".join(f"{OUTCOMES[name]} {count}" for name, count in counts.items())
        lines.append(f"{kind}：{outcomes}")
    lines += [
        f"停不下来：{straggler.kind}｜{straggler.plugin or '无插件'}｜{straggler.where}"
        for straggler in report.stragglers[:LONGEST]
    ]
    lines += [f"on_shutdown 钩子 {name}：{what}" for name, what in report.hooks.items()]
    if report.forced:
        lines.append(f"强制结束：{report.forced}")
    return "\n".join(lines)
