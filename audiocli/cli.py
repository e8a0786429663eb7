"""The door: options in, progress and results out, exit code.

Commands are here; what they do is in the rooms behind, imported when a command runs, so that `--help` answers at once.
stdout carries results only. Library code logs and raises; this is the one place that prints.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from audiocli import __version__
from audiocli.errors import AudiocliError, OutputError, UsageError
from audiocli.options import ENV_PREFIX, ClickError, GroupedHelp, Settings, command, reworded, spelled
from audiocli.progress import notice

if TYPE_CHECKING:
    from audiocli.engines import EngineOptions
    from audiocli.pipeline import Options, Outcome
    from audiocli.records import Job
    from audiocli.store import Store
    from audiocli.writers import Shape

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,  # rich would double the time to the first line of help
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Transcribe recordings in batches, offline, with the audio model in this process.",
)
cache = typer.Typer(help="Look at the model's stored replies, or remove them.")
app.add_typer(cache, name="cache")
prompts = typer.Typer(help="Look at what models that follow prompts are asked, or check a prompt of your own.")
app.add_typer(prompts, name="prompts")

INTERRUPTED = 130
"""What shells give a command ended by Ctrl-C; a run interrupted resumes where it was."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line. Returns its exit code; prints every error in one line."""
    try:
        code = int(app(spelled(arguments), standalone_mode=False, prog_name="audiocli") or 0)
        sys.stdout.flush()
    except typer.Exit as exc:
        code = exc.exit_code
    except ClickError as exc:
        return _failed(reworded(exc), 2)
    except AudiocliError as exc:
        return _failed(str(exc), exc.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except (BrokenPipeError, SystemExit):  # typer makes the latter of the former
        # whoever read our output has had enough, as with `| head`: no error, and no complaint at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if code == INTERRUPTED:  # some releases of typer raise at an interrupt, others return this
        return _failed("interrupted; run the same command again to go on", INTERRUPTED)
    return code


def _failed(message: str, code: int) -> int:
    print(notice("error", message), file=sys.stderr)
    return code


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        print(f"audiocli {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(2)


def _transcribe(files: list[str], settings: Settings) -> None:
    """Write down what is said, with times.

    Without -o the result goes to stdout as Markdown; with it, files are written as each input is done. Exit codes: 0
    all done, 2 usage, 3 model or output folder, 4 some inputs failed, 5 coverage too low, 130 interrupted.
    """
    code = _Transcription(files, settings).run()
    raise typer.Exit(code)


app.command("transcribe", cls=GroupedHelp)(command(_transcribe))


class _Transcription:
    """One call of `transcribe`: checks first, then work, then the account of it."""

    def __init__(self, files: list[str], settings: Settings) -> None:
        self._settings = settings
        _prepare(settings)
        self._formats = _formats(settings)
        self._directory = Path(settings.output_dir) if settings.output_dir else None
        self._options = _pipeline_options(settings)
        self._engine_options = _engine_options(settings)
        self._shape = _shape(settings)
        self._files = files

    def run(self) -> int:
        from audiocli import pipeline
        from audiocli.engines import blueprint
        from audiocli.progress import watcher

        settings = self._settings
        watch = watcher("off" if settings.quiet else settings.progress)
        jobs = self._jobs(watch.warn)
        plan = blueprint(self._engine_options)
        with _store(settings) as store, watch.running(jobs):
            results = _Results(jobs, self._formats, self._directory, self._shape, settings.min_coverage)
            for outcome in pipeline.run(jobs, plan, store, self._options, watch.progress):
                results.take(outcome)
                watch.finished(outcome)
            for warning in store.warnings:
                watch.warn(warning)
        watch.close()
        return results.exit_code

    def _jobs(self, warn: Callable[[str], None]) -> tuple[Job, ...]:
        """What is to be done. Refuses, before anything is opened, what would collide or cannot be written."""
        from audiocli import sources, writers

        settings = self._settings
        found = sources.expand(self._files, recursive=settings.recursive, files_from=settings.files_from)
        for warning in found.warnings:
            warn(warning)
        if self._directory is None:
            return found.jobs
        sources.collisions(found.jobs)
        _check_writable(self._directory)
        if not settings.skip_existing:
            return found.jobs
        directory = self._directory
        missing = [
            job
            for job in found.jobs
            if not all(path.exists() for path in writers.paths(job.stem, self._formats, directory))
        ]
        if len(missing) < len(found.jobs):
            warn(f"{len(found.jobs) - len(missing)} of {len(found.jobs)} inputs skipped: their files are there")
        return tuple(missing)


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
        self._early[outcome.job] = outcome
        while self._turn and self._turn[0] in self._early:
            self._print(self._early.pop(self._turn.pop(0)))

    def _write(self, outcome: Outcome, directory: Path) -> None:
        from audiocli import writers

        if outcome.document is not None:
            writers.write(outcome.document, self._formats, directory, self._shape)

    def _print(self, outcome: Outcome) -> None:
        from audiocli import writers

        if outcome.document is not None:
            sys.stdout.write(writers.render(outcome.document, self._formats[0], self._shape))
            sys.stdout.flush()


CacheDir = Annotated[
    str | None, typer.Option(metavar="DIR", help="Where replies are kept.", envvar=f"{ENV_PREFIX}CACHE_DIR")
]


@cache.command("info")
def _cache_info(cache_dir: CacheDir = None) -> None:
    """Print where replies are kept, how many there are, and how large they are together."""
    with _store(Settings(cache_dir=cache_dir)) as store:
        found = store.info()
        for warning in store.warnings:
            _warn(warning)
        print(f"{found.path}: {found.replies} replies, {found.bytes / 1e6:.1f} MB")


@cache.command("clear")
def _cache_clear(
    cache_dir: CacheDir = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only what is older, such as 90m, 12h or 30d.")
    ] = None,
) -> None:
    """Remove stored replies."""
    with _store(Settings(cache_dir=cache_dir)) as store:
        removed = store.clear(_time_s(older_than) if older_than else None)
        for warning in store.warnings:
            _warn(warning)
        print(f"{removed} replies removed")


@prompts.command("list")
def _prompts_list() -> None:
    """Print the prompts there are, one a line."""
    from audiocli.prompts import load, names

    for name in names():
        print(f"{name}: {load(name).description}")


@prompts.command("show")
def _prompts_show(name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A prompt's name or file.")]) -> None:
    """Print a prompt's texts, after checking it: unknown keys and variables are errors."""
    from audiocli.prompts import load

    prompt = load(name)
    print(f"# {prompt.name}: {prompt.description} (task: {prompt.task})\n")
    print(f"system: {prompt.system}\n\nuser: {prompt.user}")


def _warn(message: str) -> None:
    print(notice("warning", message), file=sys.stderr)


def _time_s(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    try:
        return float(text[:-1]) * units[text[-1:]]
    except (KeyError, ValueError) as exc:
        raise UsageError(f"--older-than {text!r}: give a number and a unit: 90m, 12h, 30d") from exc


def _prepare(settings: Settings) -> None:
    """What must stand before torch is imported, and how this process takes signals and warnings, and writes."""
    # threads that spin while they wait cost a busy machine several times the work itself (measured: 4–13 s for 1 s)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if settings.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    level = logging.ERROR if settings.quiet else logging.INFO if settings.verbose else logging.WARNING
    logging.basicConfig(level=logging.WARNING, format="audiocli: %(levelname)s: %(message)s", stream=sys.stderr)
    logging.getLogger("audiocli").setLevel(level)
    if not settings.verbose:
        warnings.simplefilter("ignore")
    signal.signal(signal.SIGTERM, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):  # results are UTF-8, as in files: no locale may lack a word's letter
        sys.stdout.reconfigure(encoding="utf-8")


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _formats(settings: Settings) -> tuple[str, ...]:
    """The formats to write. Raises UsageError for an unknown one, and for several on stdout."""
    from audiocli.writers import FORMATS

    asked = settings.output_format or ("md" if settings.output_dir is None else "json,md")
    names = tuple(dict.fromkeys(FORMATS if asked == "all" else (name.strip() for name in asked.split(","))))
    for name in names:
        if name not in FORMATS:
            raise UsageError(f"no output format {name!r}; choose from {', '.join(FORMATS)}, all")
    if settings.output_dir is None and settings.skip_existing:
        raise UsageError("--skip-existing is about files; give their folder with -o")
    if settings.output_dir is None and len(names) > 1:
        raise UsageError(f"stdout takes one format, not {len(names)}; give a folder with -o")
    return names


def _pipeline_options(settings: Settings) -> Options:
    from audiocli.languages import code
    from audiocli.pipeline import Options

    return Options(
        task=settings.task,
        language=code(settings.language) if settings.language else None,
        initial_prompt=settings.initial_prompt,
        word_timestamps=settings.word_timestamps,
        vad=settings.vad if settings.vad_filter else "off",
        channels=_channels(settings.channels),
        offline=settings.offline,
    )


def _channels(asked: str) -> Literal["mix", "split"] | int:
    if asked == "mix" or asked == "split":
        return asked  # type: ignore[return-value]  # str in a Literal's place: mypy does not narrow by equality
    if asked.isdecimal() and int(asked) > 0:
        return int(asked) - 1
    raise UsageError(f"--channels {asked!r}: give mix, split, or the number of a channel from 1")


def _engine_options(settings: Settings) -> EngineOptions:
    from audiocli.engines import EngineOptions, Fallback

    step, temperatures = settings.temperature_increment_on_fallback, [settings.temperature]
    while step > 0 and temperatures[-1] + step <= 1.0 + 1e-6:
        temperatures.append(round(temperatures[-1] + step, 6))
    fallback = Fallback(
        temperatures=tuple(temperatures),
        compression_ratio=settings.compression_ratio_threshold,
        logprob=settings.logprob_threshold,
        no_speech=settings.no_speech_threshold,
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
    )


def _shape(settings: Settings) -> Shape:
    from audiocli.writers import Shape

    return Shape(max_line_width=settings.max_line_width, max_line_count=settings.max_line_count)


def _store(settings: Settings) -> Store:
    """The store of this user, or one that keeps nothing."""
    from platformdirs import user_cache_path

    from audiocli.store import Store

    if not settings.cache:
        return Store(None)
    folder = Path(settings.cache_dir) if settings.cache_dir else user_cache_path("audiocli")
    return Store(folder / "replies.sqlite")


def _check_writable(directory: Path) -> None:
    """Find out now, not after an hour of work, that results cannot be written."""
    probe = directory / f".audiocli-{os.getpid()}.part"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as exc:
        raise OutputError(f"{directory}: cannot be written to: {exc.strerror or exc}") from exc
