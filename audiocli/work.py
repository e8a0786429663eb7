"""The door's workbench: one call of a task, from its settings to its exit code.

In go inputs and Settings, out go results to stdout or files. Checks come first, then the work, then the account of it.
What is asked is the prompts' and the conductor's business; how it looks is the writers'. Third party: platformdirs,
imported where this user's folders are looked for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from audiocli.errors import OutputError, UsageError
from audiocli.options import Settings
from audiocli.progress import watcher

if TYPE_CHECKING:
    from audiocli.course import Course, Options
    from audiocli.engines import Blueprint, EngineOptions
    from audiocli.pipeline import Outcome
    from audiocli.prompts import Prompt
    from audiocli.records import Job
    from audiocli.store import Store
    from audiocli.writers import Shape

WORDS = ("transcribe", "translate")
ANSWERS = ("ask", "answer")
PROMPT_TASKS: Mapping[str, tuple[str, ...]] = {
    "transcribe": WORDS,
    "summarize": ("summarize",),
    "analyze": ("analyze",),
    "ask": ANSWERS,
    "run": (*WORDS, "summarize", "analyze", *ANSWERS),
}
"""For each command, the tasks of the prompts it takes."""
OF_WORDS = ("srt", "vtt", "tsv")
"""Formats that hold nothing but words and what is heard among them."""
TIME_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Work:
    """One call of a command that hears recordings."""

    def __init__(self, command: str, files: list[str], settings: Settings) -> None:
        self._settings = settings
        self._directory = Path(settings.output_dir) if settings.output_dir else None
        self._options = pipeline_options(command, settings)
        self._formats = _formats(self._options.tasks, settings)
        self._engine_options = engine_options(settings)
        self._shape = _shape(settings)
        self._files = files

    def run(self) -> int:
        """Do it. Returns the exit code."""
        from audiocli import events, pipeline
        from audiocli.course import plan
        from audiocli.engines import blueprint

        settings = self._settings
        watch = watcher("off" if settings.quiet else settings.progress)
        found = self._found(watch.warn)
        hearing, reading = shared_out(self._engine_options, settings.text_model)
        model = blueprint(hearing)
        text = blueprint(reading) if reading else None
        options = _worded(self._options, model)
        if "analyze" in options.tasks and not events.installed():
            watch.warn("music may be taken for speech; to tell them apart: pip install 'audiocli[events]'")
        formats = _fillable(self._formats, plan(options, model, text), settings)
        jobs = self._missing(found, formats, watch.warn)
        with open_store(settings) as store, watch.running(jobs):
            results = _Results(jobs, formats, self._directory, self._shape, settings.min_coverage)
            for outcome in pipeline.run(jobs, model, store, options, watch.progress, text=text):
                results.take(outcome)
                watch.finished(outcome)
            for warning in store.warnings:
                watch.warn(warning)
        watch.close()
        return results.exit_code

    def _found(self, warn: Callable[[str], None]) -> tuple[Job, ...]:
        """What is to be done. Refuses, before anything is opened, what would collide or cannot be written."""
        from audiocli import sources
        from audiocli.pipeline import ACROSS

        settings = self._settings
        found = sources.expand(self._files, recursive=settings.recursive, files_from=settings.files_from)
        for warning in found.warnings:
            warn(warning)
        if self._directory is None:
            if sys.stdout is None:
                raise OutputError("standard output is closed; give a folder with -o")
            return found.jobs
        sources.collisions((*found.jobs, ACROSS) if settings.across else found.jobs)
        _check_writable(self._directory)
        return found.jobs

    def _missing(self, jobs: tuple[Job, ...], formats: tuple[str, ...], warn: Callable[[str], None]) -> tuple[Job, ...]:
        """Those of the jobs whose files are not there yet, where that is asked for."""
        from audiocli.pipeline import ACROSS

        directory = self._directory
        if directory is None or not self._settings.skip_existing:
            return jobs
        missing = tuple(job for job in jobs if not _written(job, formats, directory))
        if self._settings.across and (missing or not _written(ACROSS, formats, directory)):
            return jobs  # one answer over all recordings takes the answer of each
        if len(missing) < len(jobs):
            warn(f"{len(jobs) - len(missing)} of {len(jobs)} inputs skipped: their files are there")
        return missing


class _Results:
    """Puts each Document where it belongs, and remembers how the run ends.

    Files are written at once. On stdout documents come in the order of the inputs, each as soon as it is its turn.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        formats: tuple[str, ...],
        directory: Path | None,
        shape: Shape,
        min_coverage: float | None,
    ) -> None:
        self._turn = list(jobs)
        self._early: dict[Job, Outcome] = {}
        self._formats, self._directory, self._shape = formats, directory, shape
        self._min_coverage = min_coverage
        self._codes: set[int] = {0}

    @property
    def exit_code(self) -> int:
        """Failed inputs weigh more than low coverage."""
        return next(code for code in (4, 5, 0) if code in self._codes)

    def take(self, outcome: Outcome) -> None:
        document = outcome.document
        if document is None or document.gaps:
            self._codes.add(4)
        elif self._min_coverage is not None and document.coverage.share < self._min_coverage:
            self._codes.add(5)
        if self._directory is not None:
            self._write(outcome, self._directory)
            return
        if outcome.job not in self._turn:  # over all recordings, and so after them
            self._turn.append(outcome.job)
        self._early[outcome.job] = outcome
        while self._turn and self._turn[0] in self._early:
            self._print(self._early.pop(self._turn.pop(0)))

    def _write(self, outcome: Outcome, directory: Path) -> None:
        from audiocli import writers

        if outcome.document is not None:
            writers.write(outcome.document, self._formats, directory, self._shape)

    def _print(self, outcome: Outcome) -> None:
        from audiocli import writers

        if outcome.document is None:
            return
        text = writers.render(outcome.document, self._formats[0], self._shape)
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            raise  # whoever read has had enough
        except OSError as exc:
            # what is still in the buffer would fail once more when Python ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise OutputError(f"standard output: cannot be written to: {exc.strerror or exc}") from exc


def _written(job: Job, formats: tuple[str, ...], directory: Path) -> bool:
    from audiocli import writers

    return all(path.exists() for path in writers.paths(job.stem, formats, directory))


def pipeline_options(command: str, settings: Settings) -> Options:
    """What is asked of every recording. Raises UsageError for what is missing, unknown or contradictory."""
    from audiocli.course import Options
    from audiocli.languages import code

    wanted = _wanted(command, settings)
    wording = [prompt for prompt in wanted if prompt.task in WORDS]
    if len(wording) > 1:
        raise UsageError(f"prompts {' and '.join(one.name for one in wording)} both write down words; give one of them")
    words = _words(command, settings)
    if wording and words not in (None, wording[0].task) and (command == "run" or words == "translate"):
        raise UsageError(f"prompt {wording[0].name!r} is to {wording[0].task}, not to {words}; give one of them")
    if settings.across and not any(prompt.task in ANSWERS for prompt in wanted):
        raise UsageError("--across is one more answer, over all recordings; ask something with -q or --prompt")
    return Options(
        task=wording[0].task if wording else words or settings.task,  # type: ignore[arg-type]  # one of WORDS
        transcript=words is not None or bool(wording),
        wording=wording[0] if wording else None,
        prompts=tuple(prompt for prompt in wanted if prompt.task not in WORDS),
        question=settings.question,
        across=settings.across,
        with_transcript=settings.with_transcript,
        language=code(settings.language) if settings.language else None,
        initial_prompt=settings.initial_prompt,
        word_timestamps=settings.word_timestamps,
        events=settings.events,
        vad=settings.vad if settings.vad_filter else "off",
        channels=_channels(settings.channels),
        densest_s=_densest_s(settings),
        offline=settings.offline,
    )


def _words(command: str, settings: Settings) -> str | None:
    """How words are to be written down, if they are wanted for themselves."""
    if command == "transcribe":
        return settings.task
    named = [task for task in _tasks(settings) if task in WORDS] if command == "run" else []
    if len(named) > 1:
        raise UsageError("--tasks takes transcribe or translate, not both")
    return named[0] if named else None


def _tasks(settings: Settings) -> tuple[str, ...]:
    known = (*WORDS, "summarize", "analyze")
    names = tuple(dict.fromkeys(name.strip() for name in (settings.tasks or "").split(",") if name.strip()))
    for name in names:
        if name not in known:
            raise UsageError(f"no task {name!r}; choose from {', '.join(known)}; -q asks a question, --prompt a prompt")
    return names


def _wanted(command: str, settings: Settings) -> tuple[Prompt, ...]:
    """The prompts to ask, checked, with their variables."""
    from audiocli import prompts

    folder = prompt_folder()
    given = [prompts.load(name, folder) for name in settings.prompt or ()]
    for prompt in given:
        if prompt.task not in PROMPT_TASKS[command]:
            raise UsageError(f"prompt {prompt.name!r} is for {prompt.task}, not for {command}")
    if command == "run":
        given = [prompts.load(name, folder) for name in _tasks(settings) if name not in WORDS] + given
        if not (given or _tasks(settings) or settings.question):
            raise UsageError("nothing is asked: give --tasks NAMES, --prompt NAME|FILE or -q TEXT")
    elif not given and (command != "transcribe" or settings.var):
        given = [prompts.load(settings.task if command == "transcribe" else command, folder)]
    needy = [prompt.name for prompt in given if "question" in prompt.needs]
    if needy and not settings.question:
        raise UsageError(f"prompt {needy[0]!r} takes a question; give it with -q")
    if settings.question and not needy:  # nothing that is asked for goes unread
        given.append(prompts.load("ask", folder))
    twice = [prompt.name for at, prompt in enumerate(given) if prompt.name in [one.name for one in given[:at]]]
    if twice:
        raise UsageError(f"prompt {twice[0]!r} is asked twice")
    return _filled(given, settings.var or ())


def _filled(given: Sequence[Prompt], variables: Sequence[str]) -> tuple[Prompt, ...]:
    """Each prompt with those of the variables it has."""
    values: dict[str, str] = {}
    for one in variables:
        name, equals, value = one.partition("=")
        if not equals:
            raise UsageError(f"--var {one!r}: give NAME=VALUE")
        values[name.strip()] = value
    for name in values:
        known = sorted({variable for prompt in given for variable in prompt.variables})
        if name not in known:
            raise UsageError(f"--var {name}: no prompt here has it; there is {', '.join(known) or 'none'}")
    return tuple(
        prompt.with_variables({name: value for name, value in values.items() if name in prompt.variables})
        for prompt in given
    )


def _densest_s(settings: Settings) -> float | None:
    if settings.select == "speech":
        if settings.budget:
            raise UsageError("--budget is for --select densest")
        return None
    if not settings.budget:
        raise UsageError("--select densest needs a --budget, such as 10m")
    return time_s("--budget", settings.budget)


def _channels(asked: str) -> Literal["mix", "split"] | int:
    if asked == "mix" or asked == "split":
        return asked  # type: ignore[return-value]  # str in a Literal's place: mypy does not narrow by equality
    if asked.isdecimal() and int(asked) > 0:
        return int(asked) - 1
    raise UsageError(f"--channels {asked!r}: give mix, split, or the number of a channel from 1")


def engine_options(settings: Settings) -> EngineOptions:
    """Which model, and how to run it."""
    from audiocli.engines import EngineOptions, Fallback, Sampling

    step, temperatures = settings.temperature_increment_on_fallback, [settings.temperature]
    while step > 0 and temperatures[-1] + step <= 1.0 + 1e-6:
        temperatures.append(round(temperatures[-1] + step, 6))
    fallback = Fallback(
        temperatures=tuple(temperatures),
        compression_ratio=settings.compression_ratio_threshold,
        logprob=settings.logprob_threshold,
        no_speech=settings.no_speech_threshold,
    )
    sampling = Sampling(
        temperature=settings.temperature,
        top_p=settings.top_p,
        repetition_penalty=settings.repetition_penalty,
        max_new_tokens=settings.max_new_tokens,
        seed=settings.seed,
    )
    return EngineOptions(
        model=settings.model,
        engine=settings.engine,
        model_dir=settings.model_dir,
        device=settings.device,
        dtype="fp32" if settings.fp16 is False and settings.dtype == "auto" else settings.dtype,
        batch_size=settings.batch_size,
        threads=settings.threads,
        offline=settings.offline,
        fallback=fallback,
        sampling=sampling,
        clips_per_request=settings.clips_per_request,
        downsample=settings.downsample,
        language_model=settings.language_model,
        quantize=settings.quantize,
        attention=settings.attn,
        compile=settings.compile,
    )


def shared_out(options: EngineOptions, text_model: str | None) -> tuple[EngineOptions, EngineOptions | None]:
    """Options of the model that hears, and of the one that reads its transcripts, if one was named.

    What is said about language models is then meant for the one that reads.
    """
    from audiocli.engines import Sampling

    if text_model is None:
        return options, None
    plain = Sampling(temperature=options.sampling.temperature)
    hearing = replace(options, sampling=plain, quantize=None, attention=None, compile=False)
    reading = replace(
        options, model=text_model, engine="auto", clips_per_request=None, downsample=None, language_model=None
    )
    return hearing, reading


def _formats(tasks: Sequence[str], settings: Settings) -> tuple[str, ...]:
    """The formats to write. Raises UsageError for an unknown one, and for several on stdout."""
    from audiocli.writers import FORMATS, every

    usual = "json,md,png" if "analyze" in tasks else "json,md"
    asked = settings.output_format or ("md" if settings.output_dir is None else usual)
    names = every(",".join(tasks)) if asked == "all" else tuple(dict.fromkeys(map(str.strip, asked.split(","))))
    for name in names:
        if name not in FORMATS:
            raise UsageError(f"no output format {name!r}; choose from {', '.join(FORMATS)}, all")
    if settings.output_dir is None and settings.skip_existing:
        raise UsageError("--skip-existing is about files; give their folder with -o")
    if settings.output_dir is None and len(names) > 1:
        raise UsageError(f"stdout takes one format, not {len(names)}; give a folder with -o")
    if settings.output_dir is None and FORMATS[names[0]].stream is None:
        raise UsageError(f"{names[0]} is a picture and cannot go to stdout; give a folder with -o")
    return names


def _worded(options: Options, model: Blueprint) -> Options:
    """With this user's own wording of how words are written down, if there is one, for models that follow prompts."""
    from audiocli import prompts

    if options.wording or not model.limits.follows_prompts:
        return options
    return replace(options, wording=prompts.load(options.task, prompt_folder()))


def _fillable(formats: tuple[str, ...], course: Course, settings: Settings) -> tuple[str, ...]:
    """The formats that there will be something to write in. Raises UsageError for one that would be empty, if named."""
    if course.words or course.options.events:
        return formats
    empty = [name for name in formats if name in OF_WORDS]
    if empty and settings.output_format != "all":
        raise UsageError(
            f"{', '.join(empty)}: no words are written down; add --with-transcript, or take json, md or txt"
        )
    return tuple(name for name in formats if name not in empty)


def _shape(settings: Settings) -> Shape:
    from audiocli.writers import Shape

    return Shape(max_line_width=settings.max_line_width, max_line_count=settings.max_line_count)


def open_store(settings: Settings) -> Store:
    """The store of this user, or one that keeps nothing."""
    from platformdirs import user_cache_path

    from audiocli.store import Store

    if not settings.cache:
        return Store(None)
    folder = Path(settings.cache_dir) if settings.cache_dir else user_cache_path("audiocli")
    return Store(folder / "replies.sqlite")


def prompt_folder() -> Path:
    """Where this user's own prompts are."""
    from platformdirs import user_config_path

    return user_config_path("audiocli") / "prompts"


def time_s(option: str, text: str) -> float:
    """A time such as 90m, in seconds."""
    try:
        time = float(text[:-1]) * TIME_UNITS_S[text[-1:]]
    except (KeyError, ValueError) as exc:
        raise UsageError(f"{option} {text!r}: give a number and a unit: 90s, 10m, 12h, 30d") from exc
    if not 0 < time < float("inf"):
        raise UsageError(f"{option} {text!r}: must be more than nothing")
    return time


def _check_writable(directory: Path) -> None:
    """Find out now, not after an hour of work, that results cannot be written."""
    probe = directory / f".audiocli-{os.getpid()}.part"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as exc:
        raise OutputError(f"{directory}: cannot be written to: {exc.strerror or exc}") from exc
