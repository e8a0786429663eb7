"""What was said, made fit to stand in a line: text of a model or a file name comes in, one printable line goes out.

Models write line breaks where formats have none, and file names hold whatever bytes their makers liked. This room does
not know the formats: each writer escapes for itself what means something to it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def line(text: str) -> str:
    """One line without control characters: neither a line break nor a terminal escape survives. "" for blank text."""
    return " ".join(whole(_CONTROL.sub(" ", text)).split())


def lines(text: str) -> Iterator[tuple[int, str]]:
    """Every line of a longer text as `line` gives it, "" for blank ones, and the columns that it was indented by."""
    for raw in text.splitlines():
        widened = raw.expandtabs(4)
        yield len(widened) - len(widened.lstrip(" ")), line(raw)


def passage(text: str) -> str:
    """All lines of a longer text, each as far in as it was; without blank ones at both ends."""
    return "\n".join(" " * indent + said if said else "" for indent, said in lines(text)).strip("\n")


def whole(text: str) -> str:
    """Text that UTF-8 can hold: half a surrogate pair, as Python reads undecodable file names, becomes U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def clock(time_s: float) -> str:
    """A time for people, in whole seconds: 0:07, 12:34, 1:02:03."""
    minutes, second = divmod(int(time_s), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def clocks(start_s: float, end_s: float) -> str:
    """A stretch for people: 0:07–12:34."""
    return f"{clock(start_s)}–{clock(end_s)}"
