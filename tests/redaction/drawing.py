"""Made-up secrets, drawn when a test runs: none is in the repository for a code host to find."""

import base64
import hashlib
import random
import re
import string
import uuid

BETWEEN = re.compile("⟦(.+?)⟧")
LETTERS = {
    "b62": string.ascii_letters + string.digits,
    "hex": "0123456789abcdef",
    "HEX": "0123456789ABCDEF",
    "low": string.ascii_lowercase,
    "num": string.digits,
    "b32": string.ascii_uppercase + "234567",
    "b64": string.ascii_letters + string.digits + "+/",
    "url": string.ascii_letters + string.digits + "-_",
}


def noise(seed: int, size: int) -> bytes:
    """Bytes as a compressed picture has them."""
    return hashlib.shake_256(seed.to_bytes(8, "big")).digest(size)


def draw(recipe: str, dice: random.Random) -> str:
    """Make a secret by a recipe of the corpus: ``=sk-+b62:48``."""
    return "".join(_draw_part(part, dice) for part in recipe.split("+"))


def _draw_part(part: str, dice: random.Random) -> str:
    if part.startswith("="):
        return part[1:]
    name, _, size = part.partition(":")
    if name == "uuid":
        return str(uuid.UUID(int=dice.getrandbits(128), version=4))
    if name == "b64" and int(size) % 4 == 0:
        return base64.b64encode(dice.randbytes(int(size) // 4 * 3)).decode()
    return "".join(dice.choices(LETTERS[name], k=int(size)))


def fill(line: str, dice: random.Random) -> tuple[str, str, list[str]]:
    """Draw the secrets of a line of the corpus.

    Returns:
        The line, the line as it has to be printed, and its secrets.

    """
    secrets = [draw(recipe, dice) for recipe in BETWEEN.findall(line)]
    drawn = iter(secrets)
    return BETWEEN.sub(lambda _: next(drawn), line), BETWEEN.sub("***", line), secrets
