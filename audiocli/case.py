"""Conductor's file on one job: what of it was heard, what is still awaited, and the Document that comes of it.

In go replies as they come, out comes a Document with its transcript. Knows records and how replies are merged; asks
nobody anything.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from audiocli import merge, windows
from audiocli.conclusion import Script
from audiocli.course import Options
from audiocli.errors import EngineError
from audiocli.intake import Listened
from audiocli.merge import Heard, Hearing
from audiocli.records import Document, Gap, Job, Note, Provenance, Reply, Waveform, Window
from audiocli.units import Packer, Unit


@dataclass(slots=True, eq=False)
class Case:
    """A job under way: what of it was heard, and what is still awaited."""

    job: Job
    duration_s: float | None = None
    language: str | None = None
    untold: bool = False
    """The model wrote words and did not say in which language: it is not waited for."""
    held: list[Spot] = field(default_factory=list)
    """Windows that wait until the first one tells the language."""
    asking_language: bool = False
    open: int = 0
    """Windows, units and questions not dealt with yet; one that sets others free counts until they do."""
    listened: bool = False
    """All of it was decoded."""
    heard: dict[int | None, list[Heard]] = field(default_factory=dict)
    ends: dict[int | None, Listened[Case]] = field(default_factory=dict)
    packers: dict[int | None, Packer] = field(default_factory=dict)
    awaited: Counter[tuple[int | None, int]] = field(default_factory=Counter)
    """Windows, by channel and index, whose words are still awaited."""
    units: list[tuple[int | None, Unit]] = field(default_factory=list)
    """Units that wait for the words of their windows."""
    notes: dict[str, list[Note]] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    retried: int = 0
    error: str | None = None
    settled: bool = False
    """All of it was heard and answered; what is left is the script's."""
    script: Script[Document] | None = None
    document: Document | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Spot:
    """One window of a case on its way to the engine, to be written down."""

    case: Case
    channel: int | None
    window: Window
    clip: Waveform
    temperature: float = 0.0
    """Above 0 once an earlier answer was not taken."""

    @property
    def name(self) -> tuple[int | None, int]:
        return self.channel, self.window.index


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A unit of a case on its way through the prompts."""

    case: Case
    channel: int | None
    unit: Unit
    got: dict[str, Reply | EngineError] = field(default_factory=dict)
    """By the prompt's name; filled as answers come."""


def said(case: Case, channel: int | None, unit: Unit) -> tuple[str, str | None]:
    """The words of a unit as its windows were written down, and their language where that was told.

    Without those that should not be trusted: a model believes what it reads.
    """
    indices = {window.index for window in unit.windows}
    told = [one for one in case.heard.get(channel, ()) if one.window.index in indices]
    told.sort(key=lambda one: one.window.start)
    believed = [one.reply for one in told if one.reply and one.reply.text.strip() and not one.reply.unreliable]
    language = next((reply.language for reply in believed if reply.language), None)
    return " ".join(reply.text.strip() for reply in believed), language


def whole(reply: Reply) -> Reply:
    """A reply that ran out of its budget, over audio too short to be cut further, is kept and not trusted."""
    if reply.stop == "end":
        return reply
    return replace(reply, unreliable=reply.unreliable or "the answer did not end within its token budget")


def document(case: Case, options: Options, provenance: Provenance) -> Document:
    """Number the windows of all channels in source order, and put their replies together."""
    every = [(heard, channel) for channel, list_ in case.heard.items() for heard in list_]
    every.sort(key=lambda pair: (pair[0].window.start, -1 if pair[1] is None else pair[1]))
    numbered = [
        (replace(heard, window=replace(heard.window, index=index)), channel)
        for index, (heard, channel) in enumerate(every)
    ]
    hearings = [
        Hearing(end.speech, tuple(heard for heard, of in numbered if of == channel), channel, only=end.only)
        for channel, end in case.ends.items()
    ]
    total = max(end.speech.total for end in case.ends.values())
    chunks = windows.chunk([heard.window for heard, _ in numbered], total)
    warnings = dict.fromkeys(text for end in case.ends.values() for text in end.warnings)
    made = merge.assemble(
        case.job, hearings, chunks, replace(provenance, windows=len(numbered), retried=case.retried), warnings
    )
    shown = [one for end in case.ends.values() for one in end.events if one.kind not in ("speech", "silence")]
    shown = sorted(shown, key=lambda one: one.start_s) if options.events else []
    made = replace(made, gaps=(*made.gaps, *case.gaps), events=tuple(shown))
    return made if options.word_timestamps else _without_words(made)


def _without_words(document: Document) -> Document:
    """Words that were timed only to place their segments are not given out: some segments would have them, some not."""
    return replace(document, segments=tuple(replace(segment, words=()) for segment in document.segments))
