"""What was said, made fit to stand in a line: text of a model or a file name comes in, one printable line goes out.

Models write line breaks where formats have none, and file names hold whatever bytes their makers liked. This room does
not know the formats: each writer escapes for itself what means something to it.
"""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def line(text: str) -> str:
    """One line without control characters: neither a line break nor a terminal escape survives. "" for blank text."""
    return " ".join(whole(_CONTROL.sub(" ", text)).split())


def whole(text: str) -> str:
    """Text that UTF-8 can hold: half a surrogate pair, as Python reads undecodable file names, becomes U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def clock(time_s: float) -> str:
    """A time for people, in whole seconds: 0:07, 12:34, 1:02:03."""
    minutes, second = divmod(int(time_s), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"
