"""The conductor: the order of steps, what is looked ahead, what is asked together, what is asked again.

In go Jobs, out come Outcomes, each the moment its last window is answered. One thread decodes ahead, bounded, while the
model works; windows of all files share batches; every reply is kept in the store before it is used, so that a killed
run resumes. Knows every stage and the engine's seam; nothing of terminals, formats or where results go.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from audiocli import __version__, audio, merge, prompts, sources, vad, windows
from audiocli.engines import Blueprint, Engine
from audiocli.errors import AudiocliError, EngineError, UsageError
from audiocli.languages import LANGUAGES
from audiocli.merge import Heard, Hearing
from audiocli.records import RATE, Document, Job, Provenance, Reply, Request, Speech, Task, Waveform, Window, seconds
from audiocli.road import Road, quietest
from audiocli.store import Store, key

LOOK_AHEAD = 2
"""Batches of windows that are decoded before they are asked."""
UNKNOWN = "the language spoken"
"""What a prompt says where no language was given."""
SHORTEST_SPLIT_S = 2.0
"""A window that overran its token budget is halved down to this length."""
PATIENCE_S = 1.0
"""How long the decoding thread may take to end when the run is over before it is left behind."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked of every job."""

    task: Task = "transcribe"
    language: str | None = None
    initial_prompt: str | None = None
    word_timestamps: bool = False
    vad: str = "webrtc"
    channels: Literal["mix", "split"] | int = "mix"
    """Mixed down, each on its own with a speaker label, or one of them, from 0."""
    offline: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """A job is done: with a Document, or with the reason why there is none."""

    job: Job
    document: Document | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """One window of a job was answered."""

    job: Job
    position_s: float
    """Where in the source the answered windows end."""
    duration_s: float | None
    """Of the source, where its header says."""
    heard_s: float
    """Audio in the window."""
    cached: bool


def run(
    jobs: Sequence[Job],
    blueprint: Blueprint,
    store: Store,
    options: Options,
    watch: Callable[[Progress], None] = lambda _: None,
) -> Iterator[Outcome]:
    """Hear every job; one Outcome each, in the order they are finished.

    Raises UsageError for what the model or the detector of speech cannot do, before anything is opened, and RunError
    when nothing more can succeed. Closing the iterator stops the decoding thread and lets the engine go.
    """
    _refuse(blueprint, options)
    vad.check(options.vad)
    yield from _Run(jobs, blueprint, store, options, watch).outcomes()


def _refuse(blueprint: Blueprint, options: Options) -> None:
    """Say at once what the model cannot do, with what can be done instead."""
    limits, model = blueprint.limits, blueprint.model
    if options.task not in limits.tasks:
        raise UsageError(f"model {model!r} cannot {options.task}; a multilingual Whisper can, such as --model small")
    if options.language and limits.languages and options.language not in limits.languages:
        known = ", ".join(limits.languages) if len(limits.languages) < 10 else f"{len(limits.languages)} others"
        raise UsageError(f"model {model!r} does not know language {options.language!r}; it knows {known}")
    if options.word_timestamps and not limits.word_timestamps:
        raise UsageError(f"model {model!r} gives no word timestamps; the Whisper models do")


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """One window on its way to the engine."""

    case: _Case
    channel: int | None
    window: Window
    clip: Waveform
    request: Request
    key: str


@dataclass(slots=True, eq=False)
class _Case:
    """A job under way: what of it was heard, and what is still awaited."""

    job: Job
    duration_s: float | None = None
    language: str | None = None
    held: list[_Asked] = field(default_factory=list)
    """Windows that wait until the first one tells the language."""
    asking_language: bool = False
    open: int = 0
    """Windows not dealt with yet; one that was split counts until its halves do."""
    listened: bool = False
    """All of it was decoded."""
    heard: dict[int | None, list[Heard]] = field(default_factory=dict)
    speech: dict[int | None, Speech] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    retried: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """From the decoding thread: a window of a case."""

    case: _Case
    channel: int | None
    window: Window
    clip: Waveform


@dataclass(frozen=True, slots=True, eq=False)
class _Listened:
    """From the decoding thread: a channel of a case has ended."""

    case: _Case
    channel: int | None
    speech: Speech
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Closed:
    """From the decoding thread: no more comes of this case; with the reason, if that is an error."""

    case: _Case
    error: str | None = None


_Message = _Found | _Listened | _Closed | None
"""None: every case is closed."""


class _Run:
    """One call of `run`."""

    def __init__(
        self,
        jobs: Sequence[Job],
        blueprint: Blueprint,
        store: Store,
        options: Options,
        watch: Callable[[Progress], None],
    ) -> None:
        self._blueprint, self._store, self._options, self._watch = blueprint, store, options, watch
        self._intake = _Intake(jobs, blueprint.limits.window_s, options, LOOK_AHEAD * blueprint.batch_size)
        self._engine: Engine | None = None
        self._prompt = prompts.load(options.task) if blueprint.limits.follows_prompts else None
        self._waiting: list[_Asked] = []
        self._held = 0
        self._done: list[_Case] = []

    def outcomes(self) -> Iterator[Outcome]:
        self._intake.start()
        try:
            for message in self._intake.messages():
                self._take(message)
                while self._due():
                    self._ask()
                yield from self._finished()
            while self._waiting:
                self._ask()
                yield from self._finished()
        finally:
            self._intake.stop()
            if self._engine:
                self._engine.close()

    def _due(self) -> bool:
        """A batch is full, or so much is held back until a language is known that it must be asked for now."""
        batch = self._blueprint.batch_size
        return len(self._waiting) >= batch or bool(self._waiting and self._held >= batch)

    def _take(self, message: _Found | _Listened | _Closed) -> None:
        case = message.case
        if isinstance(message, _Found):
            self._line_up(case, message.channel, message.window, message.clip)
        elif isinstance(message, _Listened):
            case.speech[message.channel] = message.speech
            case.warnings += [text for text in message.warnings if text not in case.warnings]
        else:
            case.listened, case.error = True, message.error
            self._settle(case)

    def _line_up(self, case: _Case, channel: int | None, window: Window, clip: Waveform) -> None:
        case.open += 1
        self._place(self._asked(case, channel, window, clip))

    def _place(self, asked: _Asked) -> None:
        """Answer a window from the store, or put it where it waits for the engine or for its language."""
        case = asked.case
        if self._language_unknown(case):
            if case.asking_language:
                case.held.append(asked)
                self._held += 1
                return
            case.asking_language = True
        known = self._store.get([asked.key])
        if asked.key in known:
            self._answered(asked, known[asked.key], cached=True)
        else:
            self._waiting.append(asked)

    def _asked(self, case: _Case, channel: int | None, window: Window, clip: Waveform) -> _Asked:
        options = self._options
        language = options.language or case.language
        system, prompt = self._wording(language)
        request = Request(
            clips=(clip,),
            prompt=prompt,
            system=system,
            task=options.task,
            language=language,
            initial_prompt=options.initial_prompt,
            word_timestamps=options.word_timestamps or self._needs_words(window),
        )
        return _Asked(case, channel, window, clip, request, key(self._blueprint.identity, request))

    def _needs_words(self, window: Window) -> bool:
        return self._blueprint.limits.word_timestamps and merge.has_long_silence(window)

    def _wording(self, language: str | None) -> tuple[str, str]:
        """System and user text for models that follow prompts; the others go by the task."""
        if self._prompt is None:
            return "", ""
        return self._prompt.rendered({"language": LANGUAGES.get(language or "", UNKNOWN)})

    def _language_unknown(self, case: _Case) -> bool:
        """A model of many languages finds out which it is from the first window; the others are told."""
        return len(self._blueprint.limits.languages) > 1 and not (self._options.language or case.language)

    def _ask(self) -> None:
        """Ask one batch, keep the replies, and hand them on."""
        if self._engine is None:
            self._engine = self._blueprint.load()
        size = self._blueprint.batch_size
        batch, self._waiting = self._waiting[:size], self._waiting[size:]
        replies = self._engine.generate([asked.request for asked in batch])
        self._store.put(
            {asked.key: reply for asked, reply in zip(batch, replies, strict=True) if isinstance(reply, Reply)}
        )
        for asked, reply in zip(batch, replies, strict=True):
            self._answered(asked, reply, cached=False)

    def _answered(self, asked: _Asked, reply: Reply | Exception, *, cached: bool) -> None:
        """Deal with one window. Only then is it no longer open: what it sets free may be answered at once."""
        case = asked.case
        if isinstance(reply, Reply):
            self._tell_language(case, reply)
            case.retried += reply.temperature > 0
            if reply.stop == "length" and len(asked.clip) > 2 * SHORTEST_SPLIT_S * RATE:
                self._split(asked)
            else:
                self._note(asked, Heard(asked.window, _whole(reply)), cached=cached)
        elif isinstance(reply, EngineError):
            self._tell_language(case, None)
            self._note(asked, Heard(asked.window, None, str(reply)), cached=cached)
        else:
            raise reply
        case.open -= 1
        self._settle(case)

    def _note(self, asked: _Asked, heard: Heard, *, cached: bool) -> None:
        case = asked.case
        case.heard.setdefault(asked.channel, []).append(heard)
        position_s, heard_s = seconds(asked.window.stop), seconds(len(asked.clip))
        self._watch(Progress(case.job, position_s, case.duration_s, heard_s, cached))

    def _tell_language(self, case: _Case, reply: Reply | None) -> None:
        """The first window has told the language: let the others go. Where it could not, the next one is asked."""
        if not case.asking_language:
            return
        case.asking_language = False
        case.language = reply.language if reply else None
        released, case.held = case.held, []
        self._held -= len(released)
        for asked in released:
            self._place(self._asked(case, asked.channel, asked.window, asked.clip))

    def _split(self, asked: _Asked) -> None:
        """A reply that ran out of its budget is not taken: both halves are asked anew, cut where it is quietest."""
        at = quietest(asked.clip)
        case = asked.case
        case.retried += 1
        left, right = windows.split(asked.window, at, asked.window.index)
        self._line_up(case, asked.channel, left, asked.clip[:at])
        self._line_up(case, asked.channel, right, asked.clip[at:])

    def _settle(self, case: _Case) -> None:
        if case.listened and not case.open:
            self._done.append(case)

    def _finished(self) -> Iterator[Outcome]:
        done, self._done = self._done, []
        for case in done:
            if case.error is not None:
                yield Outcome(case.job, None, case.error)
            else:
                yield Outcome(case.job, self._document(case))

    def _document(self, case: _Case) -> Document:
        """Number the windows of all channels in source order, and put their replies together."""
        every = [(heard, channel) for channel, list_ in case.heard.items() for heard in list_]
        every.sort(key=lambda pair: (pair[0].window.start, -1 if pair[1] is None else pair[1]))
        numbered = [
            (replace(heard, window=replace(heard.window, index=index)), channel)
            for index, (heard, channel) in enumerate(every)
        ]
        hearings = [
            Hearing(speech, tuple(heard for heard, of in numbered if of == channel), channel)
            for channel, speech in case.speech.items()
        ]
        total = max(speech.total for speech in case.speech.values())
        chunks = windows.chunk([heard.window for heard, _ in numbered], total)
        document = merge.assemble(case.job, hearings, chunks, self._provenance(case, len(numbered)), case.warnings)
        return document if self._options.word_timestamps else _without_words(document)

    def _provenance(self, case: _Case, count: int) -> Provenance:
        blueprint, options = self._blueprint, self._options
        asked = {"language": options.language, "initial_prompt": options.initial_prompt}
        return Provenance(
            audiocli=__version__,
            model=blueprint.model,
            revision=blueprint.revision,
            engine=blueprint.engine,
            task=options.task,
            settings={
                **blueprint.settings,
                **asked,
                "word_timestamps": options.word_timestamps,
                "vad": options.vad,
                "channels": options.channels,
            },
            libraries=blueprint.libraries,
            windows=count,
            retried=case.retried,
        )


class _Intake:
    """The decoding thread: walks the jobs ahead of the model, and no further than its queue is long."""

    def __init__(self, jobs: Sequence[Job], window_s: float, options: Options, ahead: int) -> None:
        self._jobs = jobs
        self._window_s, self._options = window_s, options
        self._queue: queue.Queue[_Message] = queue.Queue(max(ahead, 2))
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._walk, name="audiocli-intake", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end; what it still wants to hand over is dropped.

        It is not waited for when a read keeps it, from a pipe or the network, that may never return.
        """
        self._stopped.set()
        self._thread.join(PATIENCE_S)

    def messages(self) -> Iterator[_Found | _Listened | _Closed]:
        while (message := self._queue.get()) is not None:
            yield message

    def _walk(self) -> None:
        for job in self._jobs:
            if self._stopped.is_set():
                return
            case = _Case(job)  # not kept: all that was heard hangs on it
            self._put(_Closed(case, self._attempt(case)))
        self._put(None)

    def _attempt(self, case: _Case) -> str | None:
        """Hear one job. Returns why it failed: whatever one input does, the others go on."""
        try:
            self._hear(case)
        except AudiocliError as exc:
            return f"{case.job.shown}: {exc}"
        except Exception as exc:
            log.debug("unexpected error", exc_info=True)
            return f"{case.job.shown}: unexpected {type(exc).__name__}: {' '.join(str(exc).split())}"
        return None

    def _hear(self, case: _Case) -> None:
        with sources.local(case.job.source, offline=self._options.offline) as path:
            for channel in self._channels(path):
                road = Road(
                    path,
                    channel=channel,
                    detector=self._options.vad,
                    window_s=self._window_s,
                    stopped=self._stopped.is_set,
                )
                for window, clip in road:
                    case.duration_s = road.info.duration_s if road.info else None
                    self._put(_Found(case, channel, window, clip))
                self._put(_Listened(case, channel, road.speech, road.warnings))

    def _channels(self, path: Path) -> Sequence[int | None]:
        if self._options.channels == "mix":
            return [None]
        if self._options.channels == "split":
            count = audio.probe(path).channels
            return list(range(count)) if count > 1 else [None]
        return [self._options.channels]

    def _put(self, message: _Message) -> None:
        while not self._stopped.is_set():
            try:
                self._queue.put(message, timeout=0.1)
                return
            except queue.Full:
                continue


def _without_words(document: Document) -> Document:
    """Words that were timed only to place their segments are not given out: some segments would have them, some not."""
    return replace(document, segments=tuple(replace(segment, words=()) for segment in document.segments))


def _whole(reply: Reply) -> Reply:
    """A reply that ran out of its budget, over audio too short to be cut further, is kept and not trusted."""
    if reply.stop == "end":
        return reply
    return replace(reply, unreliable=reply.unreliable or "the answer did not end within its token budget")
