"""Where what stands in quotes ends, however often they are escaped."""

__all__ = ["QUOTE", "end_of_quoted"]

QUOTE = r"\\{0,8}[\"'`]"
"""A quote as a regular expression, in JSON that stands in JSON too."""
_MOST_ESCAPED = 16


def end_of_quoted(text: str, start: int, quote: str, longest: int) -> int:
    r"""Find the closing quote, on the same line.

    Args:
        text: What to look in.
        start: Where what is quoted begins.
        quote: The opening quote with the backslashes before it, as in ``\"``.
        longest: Characters that are looked at.

    Returns:
        Where the closing quote, or its first backslash, stands; -1 if there is none.

    """
    limit = min(len(text), start + longest)
    line_end = text.find("\n", start, limit)
    limit = limit if line_end < 0 else line_end
    end = text.find(quote, start, limit)
    for _ in range(_MOST_ESCAPED):
        if end < 0:
            break
        first = end
        while first > start and text[first - 1] == "\\":
            first -= 1
        # Of an even number, each stands for itself. Before an escaped quote there is none: with
        # more of them it is one of a deeper level.
        if not (end - first if len(quote) > 1 else (end - first) % 2):
            return end
        end = text.find(quote, end + 1, limit)
    return -1
