"""The ground: every record that passes from one room to the next, and the two units they are counted in.

Before the engine positions are samples of the source at `RATE` (bare `start`, `stop`); after it they are seconds
(`_s`). The one crossing is `seconds`, with `audiocli.timemap` for audio whose silence was taken out. Nothing here
imports numpy: the command line's help must not pay for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Waveform: TypeAlias = npt.NDArray[np.float32]
    """Mono samples, float32 (n,), −1…1, at 16 kHz."""
else:
    Waveform = object

RATE = 16_000
"""Samples per second everywhere behind the decoder: what Whisper's and Qwen2-Audio's feature extractors take."""


def seconds(samples: int) -> float:
    """The one place where samples become seconds; rounded to the millisecond that subtitles can show."""
    return round(samples / RATE, 3)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Samples `start` up to but not including `stop`, of the source unless said otherwise."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Job:
    """One input to turn into one Document."""

    source: str
    """The input as the user named it: a path, an http(s) URL, or "-" for standard input."""
    stem: str
    """Where its outputs go below the output folder: "/"-separated, without the suffix; never absolute, never "..". """

    @property
    def shown(self) -> str:
        """The source as results and messages name it: of a URL neither credentials nor query, which may hold keys."""
        if "://" not in self.source:
            return self.source
        scheme, _, rest = self.source.partition("://")
        host, slash, path = rest.split("?")[0].split("#")[0].partition("/")
        return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a container says of its audio before any of it is decoded."""

    container: str
    codec: str
    rate: int
    channels: int
    duration_s: float | None
    """None where the header does not say, or cannot be believed."""


@dataclass(frozen=True, slots=True)
class Speech:
    """What voice activity detection marked in one whole recording."""

    spans: tuple[Span, ...]
    """Speech, padded; ascending, apart."""
    total: int
    """Length of the recording, in samples."""
    loud: tuple[Span, ...] = ()
    """Spans that were not taken for speech although they are loud: listed, so that nothing is dropped unseen."""


@dataclass(frozen=True, slots=True)
class Window:
    """What the model hears at once: pieces of the source, put end to end, no longer than the model's limit."""

    index: int
    pieces: tuple[Span, ...]
    """Ascending, apart, none empty; silence between them is not heard."""
    overlap: int = 0
    """Samples at the start that the window before has heard too: 0 unless it had to be cut inside speech."""

    @property
    def start(self) -> int:
        return self.pieces[0].start

    @property
    def stop(self) -> int:
        return self.pieces[-1].stop

    @property
    def length(self) -> int:
        return sum(piece.length for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of the source, at most 5 minutes, that is reported, summarized and merged as one."""

    index: int
    start: int
    stop: int
    windows: tuple[int, ...]
    """Indices of the windows with speech in it, ascending; neighbours share those in their overlap."""


Task = Literal["transcribe", "translate", "answer"]
"""The first two give what was said, in its language or in English; "answer" does what the prompt asks."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One question to an engine: audio, and how to answer."""

    clips: tuple[Waveform, ...]
    """Each float32 (n,), mono, at `RATE`, no longer than the engine's window. None: a question about text alone."""
    prompt: str = ""
    """What to do with the clips, for engines that follow prompts; others go by `task`."""
    system: str = ""
    """Who such an engine is to be."""
    task: Task = "transcribe"
    language: str | None = None
    """ISO 639-1 code; None lets the model find out, where it can."""
    initial_prompt: str | None = None
    """Words that could have come before: names and spelling to prefer."""
    word_timestamps: bool = False
    max_new_tokens: int | None = None
    """What the answer may take; None lets the engine say, by the length of the audio."""
    temperature: float = 0.0
    """Above 0 when an earlier answer was not taken: ask differently. 0: as the engine's options say."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word as it was written, with the blank before it where there is one."""

    start_s: float
    end_s: float
    text: str
    confidence: float | None = None
    """Mean probability of its tokens, 0…1."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What was said in one stretch. In a Reply times count from the clip's start, in a Document from the source's."""

    start_s: float
    end_s: float
    text: str
    words: tuple[Word, ...] = ()
    speaker: str | None = None
    confidence: float | None = None
    """Mean probability of its tokens, 0…1; None where the engine does not tell."""
    unreliable: str | None = None
    """Why the text should not be trusted; None where nothing speaks against it."""


StopReason = Literal["end", "length"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What an engine answered to one Request."""

    text: str
    segments: tuple[Segment, ...] = ()
    """Empty for engines without timestamps."""
    tokens: int = 0
    stop: StopReason = "end"
    """"length": the token budget ran out, so the answer is not whole."""
    language: str | None = None
    temperature: float = 0.0
    """The sampling temperature that gave this answer; above 0 after a retry."""
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    unreliable: str | None = None
    """Why no attempt gave text that can be trusted."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of the source that was not heard although it should have been, and why."""

    start_s: float
    end_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """Where every second of the input went; the sum is the duration."""

    transcribed_s: float = 0.0
    silence_s: float = 0.0
    event_s: float = 0.0
    unreliable_s: float = 0.0
    failed_s: float = 0.0
    skipped_s: float = 0.0
    """Left out because only a part of the recording was asked for."""

    @property
    def share(self) -> float:
        """Part of what should have been heard that was: 1.0 for a silent file."""
        due = self.transcribed_s + self.unreliable_s + self.failed_s
        return self.transcribed_s / due if due else 1.0


@dataclass(frozen=True, slots=True)
class ChunkSpan:
    """A Chunk as the Document reports it."""

    index: int
    start_s: float
    end_s: float
    windows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """What produced a Document, so that it can be produced again. Without clock or machine: equal runs are equal."""

    audiocli: str
    model: str
    revision: str
    engine: str
    task: str
    settings: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    windows: int = 0
    retried: int = 0
    """Windows and notes whose first answer was not taken."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """Name and content hash of each prompt that was asked."""


EventKind = Literal["speech", "music", "singing", "sound", "silence", "tone", "setting"]
"""The last two come from models only: how people sound, and where it was recorded."""


@dataclass(frozen=True, slots=True)
class Event:
    """What is heard in a stretch besides its words. Neighbours may overlap where kinds do."""

    start_s: float
    end_s: float
    kind: EventKind
    confidence: float | None = None
    """0…1; None where the detector does not tell."""
    text: str = ""
    """What it is, in a model's words."""


@dataclass(frozen=True, slots=True)
class Note:
    """What was answered about one stretch of the recording."""

    start_s: float
    end_s: float
    text: str
    unreliable: str | None = None
    speaker: str | None = None
    """Whose channel it is about, where channels were heard apart."""


@dataclass(frozen=True, slots=True)
class Point:
    """One thing a summary says, and where in the recording it stands."""

    text: str
    start_s: float | None = None
    """None where the model named no time, or one that cannot be."""
    end_s: float | None = None
    who: str | None = None
    when: str | None = None
    """Only of action items, and only as it was said."""
    quote: str | None = None
    """The words it rests on."""
    found: bool | None = None
    """Whether the quote is in the transcript, word for word; None where there is no quote or no transcript."""
    doubt: str | None = None
    """Why it should not be trusted; None where nothing speaks against it."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What matters in one recording."""

    method: str
    """How it came about, in words for its reader: "extractive: quotes only", or whose notes it rests on."""
    overview: tuple[Point, ...] = ()
    key_points: tuple[Point, ...] = ()
    decisions: tuple[Point, ...] = ()
    action_items: tuple[Point, ...] = ()
    open_questions: tuple[Point, ...] = ()
    notes: tuple[Note, ...] = ()
    """What the model noted of each stretch, before it was put together; empty for an extractive summary."""
    unreliable: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a prompt got for one recording, or for all of them."""

    prompt: str
    """The prompt's name."""
    question: str | None
    text: str
    """JSON where `format` says so, and then it can be read as such."""
    format: Literal["text", "json"] = "text"
    notes: tuple[Note, ...] = ()
    unreliable: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured, not heard by a model. None where there is nothing to measure it on."""

    speech_s: float
    speech_share: float
    """Speech over duration, 0…1: the talk ratio."""
    pauses: int
    """Between speech, each at least half a second."""
    longest_pause_s: float
    loudness_lufs: float | None = None
    """Integrated, ITU-R BS.1770, of the mono signal."""
    peak_dbfs: float | None = None
    clipped_s: float = 0.0
    noise_floor_dbfs: float | None = None
    snr_db: float | None = None
    pitch_low_hz: float | None = None
    """10th, 50th and 90th percentile of the voiced frames' fundamental."""
    pitch_median_hz: float | None = None
    pitch_high_hz: float | None = None
    words_per_minute: float | None = None
    """Words of the transcript over minutes of speech."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What is to be heard in one recording."""

    method: str
    """How it came about: "measured", or whose notes it rests on."""
    facts: Facts
    timeline: tuple[Event, ...]
    """Ascending; speech and silence at least."""
    notes: tuple[Note, ...] = ()
    """What an audio-LLM heard in each stretch; empty without one."""


@dataclass(frozen=True, slots=True)
class Document:
    """The result for one Job."""

    source: str
    stem: str
    duration_s: float
    language: str | None
    segments: tuple[Segment, ...]
    chunks: tuple[ChunkSpan, ...]
    coverage: Coverage
    provenance: Provenance
    gaps: tuple[Gap, ...] = ()
    loud: tuple[Gap, ...] = ()
    """Loud stretches that were not taken for speech."""
    warnings: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    """Music, singing and sounds to be shown among what was said; empty unless asked for."""
    summary: Summary | None = None
    analysis: Analysis | None = None
    answers: tuple[Answer, ...] = ()

    @property
    def text(self) -> str:
        return " ".join(segment.text.strip() for segment in self.segments if segment.text.strip())
