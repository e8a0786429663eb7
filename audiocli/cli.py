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
from collections.abc import Sequence
from typing import Annotated

import typer

from audiocli import __version__
from audiocli.errors import AudiocliError, UsageError
from audiocli.options import ENV_PREFIX, ClickError, GroupedHelp, Settings, command, reworded, spelled
from audiocli.progress import notice
from audiocli.work import Work, open_store, prompt_folder, time_s

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,  # rich would double the time to the first line of help
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Transcribe, summarize and analyse recordings in batches, with the audio model in this process.\n\n"
    "Exit codes: 0 all done, 2 usage, 3 model or output folder, 4 some inputs failed, 5 coverage too low, 130 "
    "interrupted.",
)
cache = typer.Typer(help="Show or remove stored replies.")
app.add_typer(cache, name="cache")
prompts = typer.Typer(help="List, show or check what models are asked.")
app.add_typer(prompts, name="prompts")

INTERRUPTED = 130
"""What shells give a command ended by Ctrl-C; a run interrupted resumes where it was."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line. Returns its exit code; prints every error in one line."""
    try:
        code = int(app(spelled(arguments), standalone_mode=False, prog_name="audiocli") or 0)
        if sys.stdout:  # None where the caller has closed it
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

    Without -o the result goes to stdout as Markdown; with it, files are written as each input is done.
    """
    _work("transcribe", files, settings)


def _summarize(files: list[str], settings: Settings) -> None:
    """Say what matters, and when it was said.

    Key points, decisions, action items and open questions, each with its time. An audio language model listens and
    takes notes, which are put together. The built-in model only writes down words: then the summary quotes the
    sentences that carry most, and says so.
    """
    _work("summarize", files, settings)


def _analyze(files: list[str], settings: Settings) -> None:
    """Say what is to be heard besides words.

    Speech, pauses, pace, pitch, loudness, music: a table, and a picture with -o. An audio language model adds what it
    hears in each stretch: sounds, music, tone, setting.
    """
    _work("analyze", files, settings)


def _ask(files: list[str], settings: Settings) -> None:
    """Put a question to recordings.

    audiocli ask FILES -q "What was decided about the price?"

    Each recording answers for itself; --across adds one answer over all of them. Takes a model that follows prompts.
    """
    _work("ask", files, settings)


def _run(files: list[str], settings: Settings) -> None:
    """Do several tasks at once, or what a prompt says.

    audiocli run FILES --tasks transcribe,summarize --prompt mine.yaml

    Audio is decoded once for all of them.
    """
    _work("run", files, settings)


def _work(name: str, files: list[str], settings: Settings) -> None:
    _prepare(settings)
    raise typer.Exit(Work(name, files, settings).run())


for _name, _body in {
    "transcribe": _transcribe,
    "summarize": _summarize,
    "analyze": _analyze,
    "ask": _ask,
    "run": _run,
}.items():
    app.command(_name, cls=GroupedHelp)(command(_name, _body))


CacheDir = Annotated[
    str | None, typer.Option(metavar="DIR", help="Where replies are kept.", envvar=f"{ENV_PREFIX}CACHE_DIR")
]


@cache.command("info")
def _cache_info(cache_dir: CacheDir = None) -> None:
    """Print where replies are kept, how many there are, and how large they are together."""
    with open_store(Settings(cache_dir=cache_dir)) as store:
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
    with open_store(Settings(cache_dir=cache_dir)) as store:
        removed = store.clear(time_s("--older-than", older_than) if older_than else None)
        for warning in store.warnings:
            _warn(warning)
        print(f"{removed} replies removed")


@prompts.command("list")
def _prompts_list() -> None:
    """Print the prompts there are, one a line.

    Ours, and those in your own folder, which is named below. One of yours goes before one of ours of the same name.
    """
    from audiocli.prompts import load, names

    folder = prompt_folder()
    for name in names(folder):
        try:
            prompt = load(name, folder)
        except UsageError as exc:  # one that is wrong must not hide the others
            _warn(str(exc))
        else:
            print(f"{name} ({prompt.task}): {prompt.description}")
    print(f"your own: {folder}/NAME.yaml", file=sys.stderr)


@prompts.command("show")
def _prompts_show(name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A prompt's name or file.")]) -> None:
    """Print a prompt's texts, after checking it."""
    from audiocli.prompts import load

    prompt = load(name, prompt_folder())
    print(f"# {prompt.name}: {prompt.description} (task: {prompt.task})\n")
    for name_, value in prompt.variables.items():
        print(f"--var {name_}={value}" if value is not None else f"--var {name_}=… must be given")
    for text in ("system", "user", "reduce"):
        if asked := getattr(prompt, text):
            print(f"\n{text}: {asked.rstrip()}")


@prompts.command("check")
def _prompts_check(name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A prompt's name or file.")]) -> None:
    """Check whether a prompt can be used.

    Unknown keys and variables are errors, which are named. Exit code 0 if it can be used, else 2.
    """
    from audiocli.prompts import load

    prompt = load(name, prompt_folder())
    print(f"{name}: a prompt for {prompt.task}, with {_counted(list(prompt.variables))}")


def _counted(variables: Sequence[str]) -> str:
    return f"the variables {', '.join(variables)}" if variables else "no variables of its own"


def _warn(message: str) -> None:
    print(notice("warning", message), file=sys.stderr)


def _prepare(settings: Settings) -> None:
    """What must stand before torch is imported, and how this process takes signals and warnings, and writes."""
    # threads that spin while they wait cost a busy machine several times the work itself (measured: 4–13 s for 1 s)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if settings.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    level = logging.ERROR if settings.quiet else logging.INFO if settings.verbose else logging.WARNING
    others = logging.ERROR if settings.quiet else logging.WARNING
    logging.basicConfig(level=others, format="audiocli: %(levelname)s: %(message)s", stream=sys.stderr)
    logging.getLogger("audiocli").setLevel(level)
    if not settings.verbose:
        warnings.simplefilter("ignore")
    signal.signal(signal.SIGTERM, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):  # results are UTF-8, as in files: no locale may lack a word's letter
        sys.stdout.reconfigure(encoding="utf-8")


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
