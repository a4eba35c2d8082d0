"""Values that nobody who reads a log may learn: keys, tokens, passwords."""

from .carriers import mask_cookies, mask_curl, mask_pem, mask_user_info
from .looks import mask_jwt, mask_looks, mask_parts
from .named import mask_named

__all__ = ["mask"]


def mask(text: str) -> str:
    """Put ``***`` in the place of every secret."""
    if "PRIVATE KEY" in text:
        text = mask_pem(text)
    if "eyJ" in text:
        text = mask_jwt(text)
    if "://" in text and "@" in text:
        text = mask_user_info(text)
    if "ookie" in text or "COOKIE" in text:
        text = mask_cookies(text)
    if "curl" in text:
        text = mask_curl(text)
    text = mask_looks(mask_named(text))
    return mask_parts(text) if "." in text else text
