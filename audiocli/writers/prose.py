"""Text from outside as Markdown: what a model or a file name says comes in, Markdown that shows just that goes out.

`escape` is for one line, where everything is text. `prose` is for an answer of several lines, which a model will have
written as Markdown: paragraphs, lists and words in bold stay what they are, since nothing can be hidden in them, and
all else (HTML, links, images, headings, code, tables) stays text. No CommonMark or GitHub renderer takes it for markup.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import groupby

from audiocli.writers.said import line, lines

# An underscore between letters is none of Markdown's business, and file names are full of them.
_INLINE = re.compile(r"[\\`*\[\]~$|]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_ENTITY = re.compile(r"&(?=#?\w+;)")
_BLOCK = re.compile(r"^(\d+)(?=[.)])|^(?=[#>+\-=:])")
_CLOSING = re.compile(r"(#+)$")
_CLOCK = r"\\\[(\d+(?::\d\d){1,2}(?:[-–]\d+(?::\d\d){1,2})?)\\\]"
_TIME = re.compile(rf"(?<=.){_CLOCK}(?!\()|^{_CLOCK}(?![(:])")
"""[0:07] and [0:07-0:12], escaped: answers are full of them. Brackets are a link only before "(", and the name of one
only at the start of a line and before ":"; what has no name cannot be referred to."""

_ITEM = re.compile(r"(?:[-*+•]|(\d{1,3})[.)]) (?=.)")
"""What opens an item of a list; longer numbers are years."""
_BOLD = re.compile(r"\\\*\\\*(?! )([^*]+)(?<! )\\\*\\\*")
"""Two stars on both sides, escaped, and no star between."""
_DEEPEST = 3
"""Lists in lists; what is further in stands with these."""
_STEP = " " * 4
"""Indents an inner list: enough behind "99.", and not so much that it would be code behind "-"."""


def escape(text: str) -> str:
    """Text as Markdown that reads as that text, on one line, wherever it stands in a line; "" for blank text."""
    escaped = _INLINE.sub(r"\\\g<0>", _ENTITY.sub("&amp;", line(text)))
    escaped = _CLOSING.sub(r"\\\1", escaped.replace("<", "&lt;"))
    return _BLOCK.sub(r"\1\\", _TIME.sub(r"[\1\2]", escaped))


def prose(text: str) -> str:
    """Text of several lines as blocks of Markdown with the same lines; "" for blank text."""
    blocks = []
    for (kind, _), group in groupby(_pieces(text), key=lambda piece: (piece.kind, piece.block)):
        pieces = list(group)
        if kind == "item":
            blocks.append("\n".join(_listed(pieces)))
        else:
            blocks.append("  \n".join(_inline(piece.text) for piece in pieces))
    return "\n\n".join(blocks)


@dataclass(frozen=True, slots=True)
class _Piece:
    """One line of a paragraph, or one item of a list."""

    kind: str
    block: int
    """How many blank lines came before: pieces of one kind on both sides of a blank line stay apart."""
    indent: int
    mark: str
    text: str


def _pieces(text: str) -> list[_Piece]:
    """The lines that are not blank; an indented one right behind an item goes on with that item."""
    pieces: list[_Piece] = []
    block = 0
    for indent, said in lines(text):
        item = _ITEM.match(said)
        last = pieces[-1] if pieces and pieces[-1].block == block else None
        if not said:
            block += 1
        elif item:
            mark = f"{item[1]}." if item[1] else "-"
            pieces.append(_Piece("item", block, indent, mark, said[item.end() :]))
        elif last and last.kind == "item" and indent > last.indent:
            pieces[-1] = replace(last, text=f"{last.text} {said}")
        else:
            pieces.append(_Piece("line", block, indent, "", said))
    return pieces


def _listed(items: list[_Piece]) -> list[str]:
    """The items of one list, each as far in as it has items around it."""
    around: list[int] = []
    written = []
    for item in items:
        while around and item.indent <= around[-1]:
            around.pop()
        written.append(f"{_STEP * min(len(around), _DEEPEST)}{item.mark} {_inline(item.text)}")
        around.append(item.indent)
    return written


def _inline(text: str) -> str:
    return _BOLD.sub(r"**\1**", escape(text))
