"""What a suspended coroutine has yet to do."""

import dis
from types import FrameType

__all__ = ["awaits_more"]

_LEAVE = 2
"""``GET_AWAITABLE``'s argument, from 3.11 on, for what leaves an ``async with``."""
_ENDS = ("RETURN", "RAISE", "RERAISE")
_JUMPS_ALWAYS = ("JUMP_FORWARD", "JUMP_ABSOLUTE", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT")


def awaits_more(frame: FrameType) -> bool:
    """Whether a suspended frame may come to another await, if nothing is raised.

    Leaving an ``async with`` is none: that closes what was used, and does nothing new. (Before 3.11
    it looks as any other await.)
    """
    instructions = {each.offset: each for each in dis.get_instructions(frame.f_code)}
    after = dict(zip(instructions, list(instructions)[1:], strict=False))
    seen: set[int] = set()
    look = [after.get(frame.f_lasti)]
    while look:
        offset = look.pop()
        if offset is None or offset in seen:
            continue
        seen.add(offset)
        each = instructions[offset]
        if each.opname == "GET_ANEXT" or (each.opname == "GET_AWAITABLE" and each.arg != _LEAVE):
            return True
        if each.opname.startswith(_ENDS):
            continue
        if each.opname not in _JUMPS_ALWAYS:
            look.append(after.get(offset))
        # what SETUP_FINALLY and its like name is where exceptions go
        jumps = each.opcode in dis.hasjrel or each.opcode in dis.hasjabs
        if jumps and not each.opname.startswith("SETUP_"):
            look.append(each.argval)
    return False
