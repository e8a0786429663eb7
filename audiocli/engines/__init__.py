"""The engine seam: something that answers Requests, and what it says of itself before it is loaded.

In go Requests (samples), out come Replies (seconds of their clip). An engine knows no files, chunks or progress. This
module is light: the table names engines by string, and nothing heavy is imported before `Blueprint.load` is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import Literal, Protocol

from audiocli.errors import ModelError, UsageError
from audiocli.records import RATE, Reply, Request, Task

ENTRY_POINTS = "audiocli.engines"
"""Entry-point group by which other packages add engines: a name, and a function from EngineOptions to Blueprint."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an engine can take and do; known before any weights are read."""

    window_s: float
    """What it hears at once; longer clips are refused, never cut."""
    clips_per_request: int = 1
    follows_prompts: bool = False
    timestamps: bool = False
    word_timestamps: bool = False
    text_only: bool = False
    """Whether it also answers requests without audio."""
    context_tokens: int | None = None
    languages: tuple[str, ...] = ()
    """ISO 639-1 codes it can be told to expect; empty where it cannot be told. One only: it knows no other."""
    tasks: tuple[Task, ...] = ("transcribe",)
    audio_tokens_per_s: float | None = None
    """What a second of audio takes of the context; None where the encoder does not share it with the text."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """When an answer is not believed, and at which temperatures it is asked for again.

    The numbers are those of Whisper's reference code and its paper (arXiv:2212.04356, section 4.5).
    """

    temperatures: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    compression_ratio: float | None = 2.4
    """Text that zlib shrinks by more than this repeats itself."""
    logprob: float | None = -1.0
    """A mean log probability per token below this is guesswork."""
    no_speech: float | None = 0.6
    """Guesswork over audio that is more probably no speech than this is taken for silence."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a language model chooses its words. The defaults take the most probable one, always."""

    temperature: float = 0.0
    top_p: float = 1.0
    """Of the probable tokens only those that together have this share."""
    repetition_penalty: float | None = None
    """None: what the model's makers advise."""
    max_new_tokens: int | None = None
    """Of one answer, at most; None: by the length of the audio."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Which engine and model, and how to run it. "auto" lets the machine decide."""

    model: str = "auto"
    engine: str = "auto"
    model_dir: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | None = None
    threads: int | None = None
    offline: bool = False
    fallback: Fallback = field(default_factory=Fallback)
    sampling: Sampling = field(default_factory=Sampling)
    clips_per_request: int | None = None
    """Clips in one message, for models that take several; None: one."""
    downsample: int | None = None
    """Pool the audio encoder's output by this, where the family can; None: as the model was trained."""
    language_model: str | None = None
    """Where the language model is of a checkpoint that only points to it (Ultravox); None: where it points."""
    quantize: Literal["8bit", "4bit"] | None = None
    attention: str | None = None
    """"sdpa", "flash_attention_2", …; None lets transformers choose."""
    compile: bool = False


class Engine(Protocol):
    """Answers Requests. Promises: order kept, nothing cut off silently, a batch answers as its members would alone."""

    @property
    def limits(self) -> Limits: ...

    def generate(self, requests: Sequence[Request]) -> Sequence[Reply | Exception]:
        """One answer per request, in their order; a request that could not be answered gets its EngineError.

        Raises ValueError for a request beyond `limits` (see `check`), and ModelError when no request can succeed any
        more, as after `close`.
        """
        ...

    def close(self) -> None:
        """Let the model go. Closing twice is allowed."""
        ...


def estimated_tokens(text: str) -> int:
    """Tokens a text takes at most, for want of its tokenizer: every second byte, though most take four and more."""
    return len(text.encode()) // 2 + 1


@dataclass(frozen=True, slots=True)
class Blueprint:
    """An engine before it is loaded: enough to plan, to refuse, and to look up what it answered earlier."""

    engine: str
    model: str
    """The name to report: an alias, a hub id or a folder's name."""
    revision: str
    """Commit or content hash of the weights."""
    identity: str
    """All that decides an answer besides the request: weights, precision, how answers are chosen."""
    limits: Limits
    batch_size: int
    """Requests that are worth asking at once."""
    settings: Mapping[str, str | int | float | bool | None]
    libraries: Mapping[str, str]
    load: Callable[[], Engine]
    family: str = ""
    """The model's type, for prompts that are worded for it."""
    count_tokens: Callable[[str], int] = estimated_tokens
    """How much of the context a text takes; reads the tokenizer when first called, never the weights."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """Where an engine is found, and what installs it."""

    target: str
    """"module:function"; the function takes EngineOptions and returns a Blueprint."""
    extra: str | None = None


ENGINES: dict[str, EngineSpec] = {
    "transformers": EngineSpec("audiocli.engines.transformers_:blueprint"),
    "fake": EngineSpec("audiocli.engines.fake:blueprint"),
}


def blueprint(options: EngineOptions) -> Blueprint:
    """Find the engine for a model and what it can do, without loading it.

    Raises UsageError for an engine that is not in the table, ModelError for one whose extra is missing or whose model
    cannot be found.
    """
    name = "transformers" if options.engine == "auto" else options.engine
    target = _target(name)
    result = target(options)
    if not isinstance(result, Blueprint):
        raise ModelError(f"engine {name!r} is broken: it gave {type(result).__name__} for a Blueprint")
    return result


def names() -> tuple[str, ...]:
    """Every engine that can be named here, our own first."""
    return (*ENGINES, *sorted(point.name for point in entry_points(group=ENTRY_POINTS) if point.name not in ENGINES))


def check(requests: Sequence[Request], limits: Limits) -> None:
    """What every engine refuses before it answers, so that nothing is cut off or ignored without a word.

    Raises ValueError for a clip that is empty or longer than the engine hears, for too many clips or none, and for a
    task, a language or word timestamps that the engine does not have.
    """
    for request in requests:
        fewest, most = 0 if limits.text_only else 1, limits.clips_per_request
        if not fewest <= len(request.clips) <= most:
            raise ValueError(f"{len(request.clips)} clips in one request; this model takes {fewest} to {most}")
        for clip in request.clips:
            if not len(clip):
                raise ValueError("a clip without samples")
            if len(clip) > limits.window_s * RATE:
                raise ValueError(f"a clip of {len(clip)} samples is longer than the {limits.window_s} s it hears")
        if request.task not in limits.tasks:
            raise ValueError(f"this model cannot {request.task}")
        if request.language and limits.languages and request.language not in limits.languages:
            raise ValueError(f"this model does not know language {request.language!r}")
        if request.word_timestamps and not limits.word_timestamps:
            raise ValueError("this model gives no word timestamps")


def _target(name: str) -> Callable[[EngineOptions], object]:
    if name in ENGINES:
        spec = ENGINES[name]
        module, function = spec.target.split(":")
        try:
            return getattr(import_module(module), function)  # type: ignore[no-any-return]
        except ImportError as exc:
            hint = f": pip install 'audiocli[{spec.extra}]'" if spec.extra else ""
            raise ModelError(f"engine {name!r} cannot be imported ({exc}){hint}") from exc
    for point in entry_points(group=ENTRY_POINTS):
        if point.name == name:
            try:
                return point.load()  # type: ignore[no-any-return]
            except (ImportError, AttributeError) as exc:
                raise ModelError(f"engine {name!r} ({point.value}) cannot be imported: {exc}") from exc
    raise UsageError(f"no engine {name!r}; choose from {', '.join(names())}")
