"""What an operator can ask and do from the chat; silent towards everybody else."""

# Matcher.finish() is not fully typed:
# pyright: reportUnknownMemberType=false

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from weakref import WeakValueDictionary

from nonebot import on_command
from nonebot.adapters import Bot, Event
from nonebot.log import logger
from nonebot.matcher import Matcher
from nonebot.permission import SUPERUSER

from nonebot_plugin_graceful.bot.matchers import MatcherOrigin
from nonebot_plugin_graceful.bot.process import Process
from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.core.failures import describe_failure
from nonebot_plugin_graceful.core.info import TaskInfo, describe, others_in_flight
from nonebot_plugin_graceful.core.orders import stop
from nonebot_plugin_graceful.core.report import Report, load_report
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.core.work import Section, Work
from nonebot_plugin_graceful.journal.requests import Requests
from nonebot_plugin_graceful.journal.rows import Row

from .emptying import STOP, Emptying, order_of, read_order
from .obeyed import FILE, Obeyed
from .saying import say
from .withdrawals import BY_OPERATOR
from .words import IS_WHOLE, Arguments, words_of

__all__ = ["Refusals", "install"]

LONGEST = 10
"""How many tasks a list shows."""
EVERYTHING = ("all", "全部")
RESTART = ("restart", "重启")
FORGET = ("forget", "忘记")
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
/graceful drain stop　做完手上的就停机
/graceful drain 5m　5 分钟后停机（s 秒、m 分、h 小时；可与 stop 同用）
/graceful resume　重新开始接
/graceful stop [原因]　停机
/graceful restart [原因]　停机，再启动
/graceful last　上次停机的情况
/graceful journal [forget <编号|all>]　重启后要继续的请求
中文：/停机管理 列表、取消、暂停、恢复、停机、重启、上次、待续"""

LIST = ("", "list", "列表")
LAST = ("last", "上次")
JOURNAL = ("journal", "待续")
QUESTIONS = (*LIST, *LAST, *JOURNAL)
"""Those that change nothing of the process they were said to."""
Answer = Callable[[str], Awaitable[str]]


def install(config: Config, process: Process, requests: Requests, folder: Path) -> None:
    """Offer ``/graceful`` to SUPERUSERS, if it is wanted."""
    if config.graceful_commands:
        emptying = Emptying(process, config.graceful_notice_timeout)
        _Commands(process, requests, emptying, Obeyed(folder / FILE))


class _Commands:
    """``/graceful`` and what may follow it.

    Args:
        process: What ``stop`` ends, and ``last`` tells of.
        requests: What ``journal`` tells of.
        emptying: What ``drain`` begins.
        obeyed: Commands that have ended a process before.

    """

    def __init__(
        self, process: Process, requests: Requests, emptying: Emptying, obeyed: Obeyed
    ) -> None:
        self._process = process
        self._requests = requests
        self._emptying = emptying
        self._obeyed = obeyed
        self._tree = process.tree
        answers: dict[tuple[str, ...], Answer] = {
            LIST: self._list,
            ("cancel", "取消"): self._cancel,
            ("drain", "暂停"): self._drain,
            ("resume", "恢复"): self._resume,
            LAST: self._last,
            JOURNAL: self._journal,
        }
        self._answers = {word: answer for words, answer in answers.items() for word in words}
        on_command(
            "graceful",
            IS_WHOLE,
            aliases={"停机管理"},
            permission=SUPERUSER,
            priority=1,
            block=True,
            handlers=[self.answer],
        )

    async def answer(self, bot: Bot, event: Event, matcher: Matcher, arguments: Arguments) -> None:
        """Do what is asked, and say what came of it."""
        word, _, rest = words_of(bot, arguments).partition(" ")
        word, rest = word.lower(), rest.strip()
        if word not in QUESTIONS and self._requests.is_replayed(event):
            logger.warning(f"Dropped a command ({word}) that was meant for the process before")
            return
        if word in (*STOP, *RESTART):
            if self._obeyed.is_new(bot, event):
                await self._end(matcher, rest, restart=word in RESTART)
            return
        answer = self._answers.get(word)
        await matcher.finish(USAGE if answer is None else await answer(rest))

    async def _end(self, matcher: Matcher, reason: str, *, restart: bool) -> None:
        reason = reason or ("/graceful restart" if restart else "/graceful stop")
        await matcher.send(f"开始{'重启' if restart else '停机'}：{reason}")
        (self._process.restart if restart else self._process.begin)(reason)

    async def _list(self, rest: str) -> str:
        if rest:
            return USAGE
        infos = self._in_flight()
        admission = self._tree.admission
        paused = f"已暂停接新的 AI 任务{order_of(admission)}。\n" if admission.refusing else ""
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
        chosen: list[tuple[TaskInfo, Section]] = []
        for work in others_in_flight(self._tree):
            section = _chosen(rest, work, info := describe(self._tree, work))
            if section is not None:
                chosen.append((info, section))
        if not chosen:
            return f"没有编号、类型或插件是“{rest}”的任务。"
        stop(self._tree, [section for _, section in chosen], BY_OPERATOR)
        return f"已取消 {len(chosen)} 项：\n" + "\n".join(
            _line(info) for info, _ in chosen[:LONGEST]
        )

    async def _drain(self, rest: str) -> str:
        order = read_order(rest)
        if order is None:
            return USAGE
        left = self._emptying.begin(order)
        return f"不再接新的 AI 任务；手上的 {left} 项会做完{order}。恢复：/graceful resume"

    async def _resume(self, rest: str) -> str:
        if rest:
            return USAGE
        if not self._tree.admission.refusing:
            return "没有暂停过。"
        self._tree.admission.resume()
        self._emptying.end()
        return "重新开始接 AI 任务。"

    async def _last(self, rest: str) -> str:
        if rest:
            return USAGE
        report = load_report(self._process.report_file)
        if report is None:
            return "没有上次停机的记录。"
        elsewhere = report.elsewhere(self._process.folder)
        note = f"（来自在 {elsewhere} 运行的机器人）\n" if elsewhere else ""
        return note + _describe(report)

    async def _journal(self, rest: str) -> str:
        word, _, which = rest.partition(" ")
        rows = self._requests.waiting()
        if word.lower() in FORGET and which.strip():
            chosen = [row for row in rows if which.strip() in (str(row.id), *EVERYTHING)]
            for row in chosen:
                self._requests.strike_out(row)
            return f"已忘记 {len(chosen)} 项。" if chosen else "没有符合的请求。"
        if word:
            return USAGE
        if not rows:
            return "没有等待继续的请求。"
        lines = [f"等待继续 {len(rows)} 项：", *(_waiting_line(row) for row in rows[:LONGEST])]
        return "\n".join(lines + ([f"……还有 {len(rows) - LONGEST} 项"] * (len(rows) > LONGEST)))

    def _in_flight(self) -> list[TaskInfo]:
        """Give everything but the command that asks."""
        return [describe(self._tree, work) for work in others_in_flight(self._tree)]


class Refusals:
    """Says so to those whose AI work is not taken on: once for each request.

    Args:
        tree: Whose tasks of ours say it.

    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._told: WeakValueDictionary[int, Event] = WeakValueDictionary()

    def tell(self, work: Work) -> None:
        """Tell whoever asked."""
        origin = work.origin
        if not isinstance(origin, MatcherOrigin) or origin.user is None:
            return
        event = origin.event
        if self._told.get(id(event)) is not event:
            self._told[id(event)] = event
            self._tree.run_internal(_say_paused(origin), "refusal")


async def _say_paused(origin: MatcherOrigin) -> None:
    try:
        await say(origin.bot_object, origin.event, PAUSED)
    except Exception as error:
        logger.warning(f"{origin.chat} does not hear of the pause: {describe_failure(error)}")


def _chosen(rest: str, work: Work, info: TaskInfo) -> Section | None:
    """Find what of some work is to be cancelled, if any: by a kind, only what is of it."""
    if rest in EVERYTHING or rest in (str(info.id), info.plugin):
        return work.sections[0]
    return next((section for section in work.sections if section.kind.name == rest), None)


def _line(info: TaskInfo) -> str:
    whose = f"用户 {info.user}" if info.user else ""
    if info.chat and info.chat != info.user:
        whose += f"@{info.chat}"
    state = STATES[info.state] + (f"第 {info.position} 位" if info.position else "")
    part_of = f"属于 #{info.parent}" if info.parent else ""
    waits = f"等待 {info.waits_for}" if info.waits_for else ""
    parts = (
        "重启前的请求" if info.resumed else "",
        info.kind,
        info.plugin,
        whose,
        state,
        f"{info.age:.0f} 秒",
        waits,
        info.note,
        part_of,
        info.where,
    )
    return f"#{info.id} " + "｜".join(part for part in parts if part)


def _waiting_line(row: Row) -> str:
    whose = f"用户 {row.user}" if row.user else ""
    if row.chat and row.chat != row.user:
        whose += f"@{row.chat}"
    state = "不能继续，将告知" if row.unfit else f"已重试 {row.attempts} 次" if row.attempts else ""
    age = f"{time.time() - row.asked:.0f} 秒前"
    return f"#{row.id} " + "｜".join(filter(None, (row.kind, row.plugin, whose, age, state)))


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
