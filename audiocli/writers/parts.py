"""What a page for people is made of: a Document comes in, and which of its parts belong on the page goes out.

JSON has every part of every Document; pages have what was asked for. A page of a summary does not carry the transcript
that the summary was made from. How a part looks is known by each format's writer.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from audiocli.writers.said import line

if TYPE_CHECKING:
    from audiocli.records import Document

TRANSCRIPTS = frozenset({"transcribe", "translate"})
"""The tasks whose result is the transcript; provenance joins the names of several tasks by commas."""


def title(document: Document) -> str:
    """The name of the recording without its folders; the stem's where it came from standard input."""
    if "://" in document.source:
        name = Path(unquote(urlsplit(document.source).path)).name
    else:
        name = Path(document.source).name
    return name if line(name) and name != "-" else document.stem.rsplit("/", 1)[-1]


def transcript_asked(document: Document) -> bool:
    """Whether the words themselves are the result, or part of it."""
    return not TRANSCRIPTS.isdisjoint(task.strip() for task in document.provenance.task.split(","))


def transcript_shown(document: Document) -> bool:
    """Whether the words belong on the page: they were asked for, or nothing was made of them."""
    return transcript_asked(document) or not has_findings(document)


def has_findings(document: Document) -> bool:
    """Whether there is anything to show that was made of the words: a summary, an analysis, an answer."""
    return document.summary is not None or document.analysis is not None or bool(document.answers)
