"""The conductor: the order of steps, what is looked ahead, what is asked together, what is asked again.

In go Jobs, out come Outcomes, each the moment its last question is answered. One thread decodes ahead, bounded, while
the model works; questions about all files share batches; every reply is kept in the store before it is used, so that a
killed run resumes. Knows every stage and the engine's seam; nothing of terminals, formats or where results go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from audiocli import __version__, events, merge, replies, vad, windows
from audiocli.case import Asked, Case, Spot, document, said, whole
from audiocli.conclusion import AGAIN_TEMPERATURE, Measured, Script, across, conclude, noted, question, useless
from audiocli.course import Options, language_name, plan, stretch, window_s
from audiocli.engines import Blueprint
from audiocli.errors import EngineError, JobError
from audiocli.intake import Closed, Found, Intake, Listened, Message
from audiocli.lines import Line, Question
from audiocli.merge import Heard
from audiocli.prompts import Prompt
from audiocli.records import (
    RATE,
    Answer,
    Coverage,
    Document,
    Gap,
    Job,
    Note,
    Provenance,
    Reply,
    Request,
    Window,
    seconds,
)
from audiocli.road import quietest
from audiocli.store import Store
from audiocli.units import Packer, Unit

__all__ = ["ACROSS", "Options", "Outcome", "Progress", "run"]

LOOK_AHEAD = 2
"""Batches of windows that are decoded before they are asked."""
SHORTEST_SPLIT_S = 2.0
"""A window that overran its token budget is halved down to this length."""
ACROSS = Job("all recordings", "across")
"""Stands for all inputs together, where one answer over them was asked for."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A job is done: with a Document, or with the reason why there is none."""

    job: Job
    document: Document | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """A stretch of a job was answered."""

    job: Job
    position_s: float
    """Where in the source the answered windows end."""
    duration_s: float | None
    """Of the source, where its header says."""
    heard_s: float
    """Audio in the stretch."""
    cached: bool


def run(
    jobs: Sequence[Job],
    blueprint: Blueprint,
    store: Store,
    options: Options,
    watch: Callable[[Progress], None] = lambda _: None,
    *,
    text: Blueprint | None = None,
) -> Iterator[Outcome]:
    """Hear every job; one Outcome each, in the order they are finished, and one for `ACROSS` where that is asked for.

    text: a language model that reads transcripts, instead of the audio model that hears.
    Raises UsageError for what the models or the detector of speech cannot do, before anything is opened, and RunError
    when nothing more can succeed. Closing the iterator stops the decoding thread and lets the engines go.
    """
    yield from _Run(jobs, blueprint, store, options, watch, text).outcomes()


class _Run:
    """One call of `run`."""

    def __init__(
        self,
        jobs: Sequence[Job],
        blueprint: Blueprint,
        store: Store,
        options: Options,
        watch: Callable[[Progress], None],
        text: Blueprint | None,
    ) -> None:
        self._jobs, self._blueprint, self._options, self._watch = jobs, blueprint, options, watch
        self._course = plan(options, blueprint, text)
        vad.check(options.vad)
        if options.events:
            events.check()
        self._text = text
        self._ear = Line(blueprint, store)
        self._lines = [self._ear, Line(text, store)] if text else [self._ear]
        ahead = LOOK_AHEAD * blueprint.batch_size
        self._intake: Intake[Case] = Intake(jobs, Case, self._course, window_s(blueprint), ahead)
        self._held = 0
        self._done: list[Case] = []
        self._answers: dict[Job, tuple[Answer, ...]] = {}
        """Of each job, without their notes, for the answers over all of them."""

    def outcomes(self) -> Iterator[Outcome]:
        self._intake.start()
        try:
            for message in self._intake.messages():
                self._take(message)
                while line := self._due():
                    line.ask()
                yield from self._finished()
            yield from self._drained()
            if self._options.across and self._answers:
                self._begin(Case(ACROSS, listened=True), self._across())
                yield from self._drained()
        finally:
            self._intake.stop()
            for line in self._lines:
                line.close()

    def _drained(self) -> Iterator[Outcome]:
        """Ask what still waits, though no batch is full."""
        yield from self._finished()
        while line := next((line for line in self._lines if line.waiting), None):
            line.ask()
            yield from self._finished()

    def _due(self) -> Line | None:
        """A batch is full, or so much is held back until a language is known that it must be asked for now."""
        pressed = self._ear.waiting and self._held >= self._blueprint.batch_size
        return self._ear if pressed else next((line for line in self._lines if line.full), None)

    def _take(self, message: Message[Case]) -> None:
        case = message.case
        if isinstance(message, Found):
            case.duration_s = message.duration_s
            if self._course.words:
                self._line_up(Spot(case, message.channel, message.window, message.clip))
            if self._course.heard:
                packer = case.packers.setdefault(message.channel, Packer(self._blueprint.limits))
                self._packed(case, message.channel, packer.push(message.window, message.clip))
        elif isinstance(message, Listened):
            case.ends[message.channel] = message
            if message.channel in case.packers:
                self._packed(case, message.channel, case.packers.pop(message.channel).close())
        else:
            assert isinstance(message, Closed)
            case.listened, case.error = True, message.error
            self._settle(case)

    # Words, window by window

    def _line_up(self, spot: Spot) -> None:
        spot.case.open += 1
        spot.case.awaited[spot.name] += 1
        self._place(spot)

    def _place(self, spot: Spot) -> None:
        """Ask about a window, or let it wait for its language."""
        case = spot.case
        if self._language_unknown(case):
            if case.asking_language:
                case.held.append(spot)
                self._held += 1
                return
            case.asking_language = True
        request = self._transcription(spot)
        self._ear.put(Question(request, lambda reply, cached: self._written(spot, reply, cached=cached)))

    def _transcription(self, spot: Spot) -> Request:
        options = self._options
        language = options.language or spot.case.language
        system, prompt = "", ""
        if self._course.wording:
            place = {"language": language_name(language), **stretch(spot.window.start, spot.window.stop)}
            system, prompt = self._course.wording.ask(place)
        return Request(
            clips=(spot.clip,),
            prompt=prompt,
            system=system,
            task=options.task,
            language=language,
            initial_prompt=options.initial_prompt,
            word_timestamps=options.word_timestamps or self._needs_words(spot.window),
            temperature=spot.temperature,
        )

    def _needs_words(self, window: Window) -> bool:
        return self._blueprint.limits.word_timestamps and merge.has_long_silence(window)

    def _language_unknown(self, case: Case) -> bool:
        """A model of many languages finds out which it is from the first window; the others are told."""
        several = len(self._blueprint.limits.languages) > 1
        return several and not (self._options.language or case.language or case.untold)

    def _written(self, spot: Spot, reply: Reply | Exception, *, cached: bool) -> None:
        """Deal with one window. Only then is it no longer open: what it sets free may be answered at once."""
        case = spot.case
        if isinstance(reply, Reply):
            self._tell_language(case, reply)
            self._take_words(spot, reply, cached=cached)
        elif isinstance(reply, EngineError):
            self._tell_language(case, None)
            self._note(spot, Heard(spot.window, None, str(reply)), cached=cached)
        else:
            raise reply
        case.awaited[spot.name] -= 1
        self._release(case)
        self._dealt_with(case)

    def _take_words(self, spot: Spot, reply: Reply, *, cached: bool) -> None:
        """Note the words of a window, or ask about it again: in halves, or for words that can be used."""
        plain = self._plain(reply)
        if self._course.wording is None:  # the engine asks again by itself, and says so
            spot.case.retried += reply.temperature > 0
        if reply.stop == "length" and len(spot.clip) > 2 * SHORTEST_SPLIT_S * RATE:
            self._split(spot)
        elif plain.unreliable and not spot.temperature and self._course.wording:
            spot.case.retried += 1
            self._line_up(replace(spot, temperature=AGAIN_TEMPERATURE))
        else:
            self._note(spot, Heard(spot.window, whole(plain)), cached=cached)

    def _plain(self, reply: Reply) -> Reply:
        """What models that follow prompts say, without what they wrap around it."""
        if self._course.wording is None:
            return reply
        found = replies.unwrapped(reply.text, self._options.task)
        refused = f"the model {found.refused}" if found.refused else None
        return replace(reply, text=found.text, unreliable=reply.unreliable or refused)

    def _note(self, spot: Spot, heard: Heard, *, cached: bool) -> None:
        case = spot.case
        case.heard.setdefault(spot.channel, []).append(heard)
        position_s, heard_s = seconds(spot.window.stop), seconds(len(spot.clip))
        self._watch(Progress(case.job, position_s, case.duration_s, heard_s, cached))

    def _tell_language(self, case: Case, reply: Reply | None) -> None:
        """The first window has told the language: let the others go. Where it failed or is blank, ask the next."""
        if not case.asking_language:
            return
        case.asking_language = False
        case.language = reply.language if reply else None
        case.untold = bool(reply and reply.text.strip() and not reply.language)
        released, case.held = case.held, []
        self._held -= len(released)
        for spot in released:
            self._place(spot)

    def _split(self, spot: Spot) -> None:
        """A reply that ran out of its budget is not taken: both halves are asked anew, cut where it is quietest."""
        at = quietest(spot.clip)
        spot.case.retried += 1
        left, right = windows.split(spot.window, at, spot.window.index)
        self._line_up(replace(spot, window=left, clip=spot.clip[:at]))
        self._line_up(replace(spot, window=right, clip=spot.clip[at:]))

    # Prompts, unit by unit

    def _packed(self, case: Case, channel: int | None, units: Iterator[Unit]) -> None:
        for unit in units:
            case.open += 1  # until its questions are put, so that the case cannot settle before
            case.units.append((channel, unit))
            self._release(case)

    def _release(self, case: Case) -> None:
        """Ask about the units whose windows' words are there, where words belong to the question."""
        waiting, case.units = case.units, []
        for channel, unit in waiting:
            if self._course.beside and any(case.awaited[channel, one.index] for one in unit.windows):
                case.units.append((channel, unit))
            else:
                self._ask_about(Asked(case, channel, unit))

    def _ask_about(self, asked: Asked) -> None:
        """Put every prompt about a unit. It is open until all of them are put, for some may be answered at once."""
        case, unit = asked.case, asked.unit
        spoken, language = said(case, asked.channel, unit) if self._course.beside else ("", None)
        place = stretch(unit.start, unit.stop)
        for prompt in self._course.heard:
            request = question(prompt, place, self._course, transcript=spoken, language=language)
            case.open += 1
            self._put_prompt(asked, prompt, replace(request, clips=unit.clips))
        self._dealt_with(case)

    def _put_prompt(self, asked: Asked, prompt: Prompt, request: Request) -> None:
        def answered(reply: Reply | Exception, cached: bool) -> None:
            self._answered(asked, prompt, request, reply, cached=cached)

        self._ear.put(Question(request, answered))

    def _answered(
        self, asked: Asked, prompt: Prompt, request: Request, reply: Reply | Exception, *, cached: bool
    ) -> None:
        """Deal with one prompt about one unit. One that gave no answer is asked once more, differently."""
        if not isinstance(reply, Reply | EngineError):
            raise reply
        if isinstance(reply, Reply) and useless(reply, prompt) and not request.temperature:
            asked.case.retried += 1
            self._put_prompt(asked, prompt, replace(request, temperature=AGAIN_TEMPERATURE))
            return
        asked.got[prompt.name] = reply
        if len(asked.got) == len(self._course.heard):
            self._noted(asked, cached=cached)
        self._dealt_with(asked.case)

    def _noted(self, asked: Asked, *, cached: bool) -> None:
        """All prompts have their answer about a unit."""
        case, unit, channel = asked.case, asked.unit, asked.channel
        start_s, end_s = seconds(unit.start), seconds(unit.stop)
        speaker = f"Channel {channel + 1}" if self._options.channels == "split" and channel is not None else None
        made: list[Note] = []
        failures: list[str] = []
        for prompt in self._course.heard:
            reply = asked.got[prompt.name]
            if isinstance(reply, Reply):
                made.append(noted(reply, prompt, start_s, end_s, speaker))
                case.notes.setdefault(prompt.name, []).append(made[-1])
            else:
                failures.append(f"{prompt.name}: {reply}")
        if made or self._course.words:  # else the windows say that they failed, and why
            case.gaps += [Gap(start_s, end_s, failure) for failure in failures]
        if not self._course.words:
            self._account(asked, made, failures)
            heard_s = seconds(sum(len(clip) for clip in unit.clips))
            self._watch(Progress(case.job, end_s, case.duration_s, heard_s, cached))

    def _account(self, asked: Asked, made: Sequence[Note], failures: Sequence[str]) -> None:
        """What became of the windows of a unit that was not written down: doubted where every note of it is."""
        doubted = Reply("", unreliable=made[0].unreliable) if made and all(note.unreliable for note in made) else None
        failure = None if made else "; ".join(failures)
        heard = asked.case.heard.setdefault(asked.channel, [])
        heard += [Heard(window, doubted, failure, noted=bool(made)) for window in asked.unit.windows]

    # The end of a case

    def _dealt_with(self, case: Case) -> None:
        """One thing less of a job is open."""
        case.open -= 1
        self._settle(case)

    def _settle(self, case: Case) -> None:
        """Once all of a job was heard and answered, conclude it."""
        if not case.listened or case.open or case.settled:
            return
        case.settled = True
        if case.error is not None:
            self._done.append(case)
        else:
            measured = next((Measured(end.facts, end.timeline) for end in case.ends.values() if end.facts), None)
            told = document(case, self._options, self._provenance())
            self._begin(case, conclude(told, case.notes, self._course, measured))
        # what was heard is in the document; and each end knows its case, which would keep both alive
        case.heard.clear()
        case.ends.clear()

    def _begin(self, case: Case, script: Script[Document]) -> None:
        case.script = script
        self._advance(case, None)

    def _advance(self, case: Case, answers: list[Reply | Exception] | None) -> None:
        """Let the script of a case go on to its next questions, or to its end."""
        assert case.script is not None
        try:
            asked = next(case.script) if answers is None else case.script.send(answers)
            while not asked:
                asked = case.script.send([])
        except StopIteration as end:
            case.document = end.value
            self._done.append(case)
        except JobError as exc:
            case.error = f"{case.job.shown}: {exc}"
            self._done.append(case)
        else:
            self._put_round(case, asked)

    def _put_round(self, case: Case, asked: Sequence[Request]) -> None:
        """One round of a script's questions: it goes on when all of them are answered."""
        got: dict[int, Reply | Exception] = {}
        for index, request in enumerate(asked):

            def answered(reply: Reply | Exception, cached: bool, index: int = index) -> None:
                if not isinstance(reply, Reply | EngineError):
                    raise reply
                got[index] = reply
                if len(got) == len(asked):
                    self._advance(case, [got[one] for one in range(len(asked))])

            self._lines[-1].put(Question(request, answered))

    def _finished(self) -> Iterator[Outcome]:
        done, self._done = self._done, []
        for case in done:
            if case.document is None:
                yield Outcome(case.job, None, case.error)
                continue
            if self._options.across and case.job is not ACROSS:
                self._answers[case.job] = tuple(replace(one, notes=()) for one in case.document.answers)
            yield Outcome(case.job, case.document)

    def _across(self) -> Script[Document]:
        """One Document with an answer to each prompt over all recordings."""
        made = []
        order = [job for job in self._jobs if job in self._answers]
        for prompt in (*self._course.heard, *self._course.read):
            named = [(job.shown, one) for job in order for one in self._answers[job] if one.prompt == prompt.name]
            if named:
                made.append((yield from across(prompt, named, self._course)))
        left_out = len(self._jobs) - len(order)
        return Document(
            source=ACROSS.source,
            stem=ACROSS.stem,
            duration_s=0.0,
            language=None,
            segments=(),
            chunks=(),
            coverage=Coverage(),
            provenance=self._provenance(),
            warnings=(f"{left_out} of {len(self._jobs)} recordings failed and are not in it",) if left_out else (),
            answers=tuple(made),
        )

    def _provenance(self) -> Provenance:
        blueprint, text, options = self._blueprint, self._text, self._options
        asked = {
            "language": options.language,
            "initial_prompt": options.initial_prompt,
            "word_timestamps": options.word_timestamps,
            "vad": self._course.detector,
            "channels": options.channels,
        }
        more = {
            "question": options.question,
            "with_transcript": options.with_transcript or None,
            "events": options.events or None,
            "densest_s": options.densest_s,
            "text_model": text.model if text else None,
            "text_revision": text.revision if text else None,
        }
        # an analysis with the detector of music is another than one without
        listening = events.libraries() if self._course.measured or options.events else {}
        return Provenance(
            audiocli=__version__,
            model=blueprint.model,
            revision=blueprint.revision,
            engine=blueprint.engine,
            task=",".join(options.tasks),
            settings={**blueprint.settings, **asked, **{name: one for name, one in more.items() if one is not None}},
            libraries={**blueprint.libraries, **(text.libraries if text else {}), **listening},
            prompts={prompt.name: prompt.hash for prompt in self._course.used},
        )
