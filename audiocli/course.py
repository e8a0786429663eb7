"""Conductor's plan: what is asked of every recording, of which engine, and what cannot be asked of it.

In go the run's Options and the engines' Blueprints, out comes a Course, or one line that says what the model cannot do
and which ones can. Knows limits and prompts; no audio and no answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from audiocli import prompts
from audiocli.engines import Blueprint
from audiocli.errors import UsageError
from audiocli.languages import LANGUAGES
from audiocli.prompts import Prompt
from audiocli.records import Request, seconds
from audiocli.writers.said import clock

PROMPTED = "Qwen2-Audio, Ultravox and other audio language models do (--model qwen2-audio, --model ultravox)"
READER = "or let a language model read the transcript (--text-model)"
UNKNOWN = "the language spoken"
"""What a prompt says where no language was given."""
ONCE = ("summarize", "analyze")
"""Tasks whose result a Document has room for once; what other prompts get is one answer each."""
WINDOW_S = 30.0
"""Windows are no longer, whatever the model hears: text without times is placed by its window."""
NOTE_TOKENS, COMBINED_TOKENS = 512, 1024
"""What an answer about one stretch may take, and one about the whole, where a prompt sets no limits."""
UNSAID_CONTEXT = 4096
"""Tokens taken for a language model's context where its configuration does not say: what the smaller ones have."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked of every job."""

    task: Literal["transcribe", "translate"] = "transcribe"
    """How words are written down, where they are."""
    transcript: bool = True
    """Whether the words are wanted for themselves; for a summary they may be needed all the same."""
    wording: Prompt | None = None
    """How words are asked for, of models that follow prompts; None: as we word it."""
    prompts: tuple[Prompt, ...] = ()
    """What else is wanted: by their tasks summaries, analyses or answers."""
    question: str | None = None
    across: bool = False
    """One more answer to each prompt, over all recordings."""
    with_transcript: bool = False
    """Put the transcript beside the audio, and check quotes against it."""
    language: str | None = None
    initial_prompt: str | None = None
    word_timestamps: bool = False
    events: bool = False
    vad: str = "webrtc"
    channels: Literal["mix", "split"] | int = "mix"
    """Mixed down, each on its own with a speaker label, or one of them, from 0."""
    densest_s: float | None = None
    """Hear only so much of each recording, where speech is densest; None: all of it."""
    offline: bool = False

    @property
    def tasks(self) -> tuple[str, ...]:
        """What is wanted, by name."""
        return ((self.task,) if self.transcript else ()) + tuple(prompt.task for prompt in self.prompts)


@dataclass(frozen=True, slots=True)
class Course:
    """Who does what of it."""

    options: Options
    words: bool
    """Whether every window is asked for its words."""
    beside: bool
    """Whether what a window says belongs to the questions about it."""
    wording: Prompt | None
    """How they are asked for, of models that follow prompts."""
    heard: tuple[Prompt, ...] = ()
    """Put to the audio."""
    read: tuple[Prompt, ...] = ()
    """Put to the transcript."""
    reader: Blueprint | None = None
    """Who answers questions about text alone."""
    extractive: bool = False
    measured: bool = False
    """Whether an analysis is wanted, to which measured facts belong."""
    detector: str = "webrtc"
    used: tuple[Prompt, ...] = field(default=())
    """Every prompt that is asked, for the record."""


def plan(options: Options, blueprint: Blueprint, text: Blueprint | None) -> Course:
    """Who does what. text: the language model that reads transcripts, if one was named.

    Raises UsageError for what cannot be done with these models.
    """
    follows = blueprint.limits.follows_prompts
    _check_once(options)
    worded = tuple(prompt.worded((text or blueprint).family) for prompt in options.prompts)
    asked = worded if text or follows else ()
    for prompt in options.prompts if not asked else ():
        if prompt.task not in ONCE:
            raise UsageError(f"model {blueprint.model!r} does not follow prompts; {PROMPTED}, {READER}")
    if text and not text.limits.text_only:
        raise UsageError(f"--text-model {text.model!r} does not answer questions about text; give a language model")
    beside = options.with_transcript or any("transcript" in prompt.needs for prompt in asked)
    words = options.transcript or beside or bool(options.prompts and (text or not follows))
    if options.wording and not follows:
        raise UsageError(f"model {blueprint.model!r} does not follow prompts; {PROMPTED}")
    wording = (options.wording or prompts.load(options.task)).worded(blueprint.family) if words and follows else None
    course = Course(
        options=options,
        words=words,
        beside=beside,
        wording=wording,
        heard=() if text else asked,
        read=asked if text else (),
        reader=text or (blueprint if blueprint.limits.text_only else None),
        extractive=not asked and any(prompt.task == "summarize" for prompt in options.prompts),
        measured=any(prompt.task == "analyze" for prompt in options.prompts),
        detector="off" if any(prompt.listen == "everything" for prompt in asked) and not text else options.vad,
        used=(*((wording,) if wording else ()), *asked),
    )
    _refuse(course, blueprint)
    return course


def _check_once(options: Options) -> None:
    """One summary, one analysis, and a name for each answer; over all recordings there are answers only."""
    names = [prompt.name for prompt in options.prompts]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"prompt {name!r} is asked twice")
    for task in ONCE:
        several = [prompt.name for prompt in options.prompts if prompt.task == task]
        if len(several) > 1:
            raise UsageError(f"prompts {' and '.join(several)} would both {task}; ask for one at a time")
    if options.across and all(prompt.task in ONCE for prompt in options.prompts):
        raise UsageError("--across puts answers together; a summary or an analysis is of one recording: give a prompt")


def _refuse(course: Course, blueprint: Blueprint) -> None:
    """Say at once what the model cannot do, with what can be done instead."""
    limits, model, options = blueprint.limits, blueprint.model, course.options
    if limits.clips_per_request < 1:
        raise UsageError(f"model {model!r} reads and does not hear; it can be a --text-model")
    if course.words and options.task not in limits.tasks:
        raise UsageError(f"model {model!r} cannot {options.task}; a multilingual Whisper can, such as --model small")
    if options.language and limits.languages and options.language not in limits.languages:
        known = ", ".join(limits.languages) if len(limits.languages) < 10 else f"{len(limits.languages)} others"
        raise UsageError(f"model {model!r} does not know language {options.language!r}; it knows {known}")
    if options.word_timestamps and not limits.word_timestamps:
        raise UsageError(f"model {model!r} gives no word timestamps; the Whisper models do")
    if course.measured and options.channels == "split":
        raise UsageError("an analysis is of one signal; give --channels mix, or one channel's number")
    for prompt in course.heard:
        if prompt.reduce and course.reader is None:
            raise UsageError(f"model {model!r} cannot put its notes together, as it answers only with audio; {READER}")


def window_s(blueprint: Blueprint) -> float:
    """How long windows are."""
    return min(blueprint.limits.window_s, WINDOW_S)


def language_name(code: str | None) -> str:
    """A language as prompts name it."""
    return LANGUAGES[code].title() if code in LANGUAGES else UNKNOWN


def stretch(start: int, stop: int) -> dict[str, str]:
    """The variables that say where in the recording a question stands. start, stop: samples of the source."""
    return {"start": clock(seconds(start)), "end": clock(seconds(stop))}


def fits(request: Request, reader: Blueprint) -> bool:
    """Whether a question about text leaves room for its answer."""
    context = reader.limits.context_tokens or UNSAID_CONTEXT
    asked = reader.count_tokens(f"{request.system}\n{request.prompt}")
    return asked + LAYOUT_TOKENS + (request.max_new_tokens or COMBINED_TOKENS) <= context


LAYOUT_TOKENS = 64
"""What a chat template puts around system and user text, at most."""
