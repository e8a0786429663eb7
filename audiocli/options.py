"""The door's options: every setting once, with its name, its help and its default.

One record, `Settings`, is the command line of all tasks, the keys of the configuration file and, as AUDIOCLI_*, the
environment variables; flags outrank the environment, that the file, and that the defaults. Knows typer; no stage.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import typer
from typer.core import TyperCommand
from typer.models import OptionInfo

from audiocli.errors import UsageError

CONFIG_NAME = "audiocli.yaml"
ENV_PREFIX = "AUDIOCLI_"
NOT_SETTINGS = (f"{ENV_PREFIX}BENCH_", f"{ENV_PREFIX}TEST_")
"""Environment variables of our own benchmarks and tests."""
NOTHING = (None, "", "~", "null")
"""How YAML writes that a key has no value: the setting keeps its default."""

# typer brings its own copy of click in newer releases: its errors are reached by way of the one it exports
ClickError: type[Exception] = typer.BadParameter.__mro__[2]

INPUT, MODEL, ANSWER, OUTPUT, RUN = "Input", "Model", "What is asked", "Output", "This run"
ATTEMPTS, LANGUAGE_MODEL = "How it is answered", "Language models"


def _option(panel: str, help_: str, *names: str, **more: Any) -> Any:
    """names: needed for switches only; their defaults show in the name that is listed."""
    more.setdefault("show_default", not names or "/" not in names[0])
    return typer.Option(*names, help=help_, rich_help_panel=panel, **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a task can be told besides its inputs. The help texts say what each is."""

    recursive: Annotated[bool, _option(INPUT, "Descend into folders.", "--recursive/--no-recursive", "-r")] = False
    files_from: Annotated[
        str | None, _option(INPUT, "Read more inputs from a file, one a line; - for standard input.", metavar="FILE")
    ] = None
    channels: Annotated[
        str,
        _option(
            INPUT, "mix: all into one. split: each on its own, as one speaker. Or one number, from 1.", metavar="WHICH"
        ),
    ] = "mix"
    vad: Annotated[
        Literal["webrtc", "silero", "off"],
        _option(INPUT, "Find speech and leave silence out: webrtc is fast, silero knows music and noise from speech."),
    ] = "webrtc"
    vad_filter: Annotated[
        bool, _option(INPUT, "--no-vad-filter is --vad off.", "--vad-filter/--no-vad-filter", hidden=True)
    ] = True
    select: Annotated[
        Literal["speech", "densest"],
        _option(INPUT, "speech: all of it. densest: where most is said, up to --budget; for podcasts."),
    ] = "speech"
    budget: Annotated[
        str | None, _option(INPUT, "How much --select densest hears, such as 90s or 10m.", metavar="TIME")
    ] = None

    tasks: Annotated[
        str | None, _option(ANSWER, "transcribe, translate, summarize, analyze; several with commas.", metavar="NAMES")
    ] = None
    prompt: Annotated[
        list[str] | None,
        _option(
            ANSWER, "A prompt's name (see 'audiocli prompts list') or YAML file; may be repeated.", metavar="NAME|FILE"
        ),
    ] = None
    var: Annotated[
        list[str] | None,
        _option(ANSWER, "Give a variable of the prompt its value; may be repeated.", metavar="NAME=VALUE"),
    ] = None
    question: Annotated[
        str | None, _option(ANSWER, "What to ask the recordings.", "--question", "-q", metavar="TEXT")
    ] = None
    across: Annotated[
        bool, _option(ANSWER, "Answer once more, over all recordings together.", "--across/--no-across")
    ] = False
    with_transcript: Annotated[
        bool,
        _option(
            ANSWER, "Write down the words too, and check quotes against them.", "--with-transcript/--no-with-transcript"
        ),
    ] = False
    events: Annotated[bool, _option(ANSWER, "Mark music and singing among the words.", "--events/--no-events")] = False
    task: Annotated[
        Literal["transcribe", "translate"], _option(ANSWER, "translate: into English, with multilingual models.")
    ] = "transcribe"
    language: Annotated[
        str | None, _option(ANSWER, "Language spoken, as code or name; found out by default.", metavar="LANG")
    ] = None
    initial_prompt: Annotated[
        str | None, _option(ANSWER, "Names and words to expect, as they are spelled.", metavar="TEXT")
    ] = None
    word_timestamps: Annotated[bool, _option(ANSWER, "Time every word.", "--word-timestamps/--no-word-timestamps")] = (
        False
    )

    model: Annotated[
        str,
        _option(
            MODEL,
            "A name (tiny.en, large-v3-turbo, qwen2-audio, ultravox …), a hub id or a folder. auto: Qwen2-Audio on a "
            "GPU with room for it, else tiny.en, which is built in.",
            metavar="MODEL",
        ),
    ] = "auto"
    text_model: Annotated[
        str | None,
        _option(
            MODEL,
            "Let this language model read the transcript that --model wrote, instead of asking the model that hears; a "
            "hub id or a folder.",
            metavar="MODEL",
        ),
    ] = None
    model_dir: Annotated[str | None, _option(MODEL, "Keep downloaded models here.", metavar="DIR")] = None
    engine: Annotated[str, _option(MODEL, "What runs the model. auto: in this process, by torch.", metavar="NAME")] = (
        "auto"
    )
    device: Annotated[str, _option(MODEL, "auto, cpu, cuda, cuda:1, mps.", metavar="NAME")] = "auto"
    dtype: Annotated[str, _option(MODEL, "auto, fp32, fp16, bf16.", metavar="NAME")] = "auto"
    fp16: Annotated[bool | None, _option(MODEL, "--no-fp16 is --dtype fp32.", "--fp16/--no-fp16", hidden=True)] = None
    batch_size: Annotated[int | None, _option(MODEL, "Windows asked at once.", min=1, metavar="N")] = None
    threads: Annotated[int | None, _option(MODEL, "CPU threads for the model.", min=1, metavar="N")] = None
    offline: Annotated[bool, _option(MODEL, "Make no network call at all.", "--offline/--no-offline")] = False

    temperature: Annotated[
        float,
        _option(
            ATTEMPTS, "Sampling temperature to begin with; 0: the most probable words.", min=0.0, max=2.0, metavar="X"
        ),
    ] = 0.0
    temperature_increment_on_fallback: Annotated[
        float,
        _option(
            ATTEMPTS, "Added for each new attempt when an answer is not believed; 0: one attempt.", min=0.0, metavar="X"
        ),
    ] = 0.2
    compression_ratio_threshold: Annotated[
        float, _option(ATTEMPTS, "An answer that zlib shrinks by more repeats itself (Whisper).", metavar="X")
    ] = 2.4
    logprob_threshold: Annotated[
        float,
        _option(ATTEMPTS, "An answer whose tokens' mean log probability is lower is guessed (Whisper).", metavar="X"),
    ] = -1.0
    no_speech_threshold: Annotated[
        float,
        _option(
            ATTEMPTS, "A guessed answer is silence when no speech is more probable than this (Whisper).", metavar="X"
        ),
    ] = 0.6

    clips_per_request: Annotated[
        int | None,
        _option(
            LANGUAGE_MODEL,
            "Clips of 30 s in one message, for models that take several; more than one is experimental.",
            min=1,
            metavar="N",
        ),
    ] = None
    downsample: Annotated[
        int | None,
        _option(
            LANGUAGE_MODEL,
            "4: pool audio by 4 instead of 2, for half the tokens (Qwen2-Audio; experimental).",
            min=1,
            metavar="N",
        ),
    ] = None
    top_p: Annotated[
        float,
        _option(
            LANGUAGE_MODEL,
            "With a temperature: choose among the tokens that together have this share.",
            min=0.0,
            max=1.0,
            metavar="SHARE",
        ),
    ] = 1.0
    repetition_penalty: Annotated[
        float | None,
        _option(
            LANGUAGE_MODEL,
            "Above 1 makes repeats less likely. Default: what the model's makers advise.",
            min=0.1,
            metavar="X",
        ),
    ] = None
    max_new_tokens: Annotated[
        int | None,
        _option(
            LANGUAGE_MODEL,
            "Most tokens of one answer. Default: as the prompt says, or by the length of the audio.",
            min=1,
            metavar="N",
        ),
    ] = None
    seed: Annotated[int, _option(LANGUAGE_MODEL, "With a temperature: of the choice.", min=0, metavar="N")] = 0
    quantize: Annotated[
        Literal["8bit", "4bit"] | None, _option(LANGUAGE_MODEL, "Load the language model's weights smaller.")
    ] = None
    attn: Annotated[
        str | None,
        _option(
            LANGUAGE_MODEL,
            "Attention: sdpa, eager, flash_attention_2 …. Default: transformers chooses.",
            metavar="NAME",
        ),
    ] = None
    compile: Annotated[
        bool, _option(LANGUAGE_MODEL, "Compile the model: slow to start, then faster.", "--compile/--no-compile")
    ] = False
    language_model: Annotated[
        str | None,
        _option(LANGUAGE_MODEL, "Where Ultravox's language model is: a hub id or a folder.", metavar="MODEL"),
    ] = None

    output_dir: Annotated[
        str | None,
        _option(OUTPUT, "Write files here, one per format, instead of stdout.", "--output-dir", "-o", metavar="DIR"),
    ] = None
    output_format: Annotated[
        str | None,
        _option(
            OUTPUT,
            "json, md, txt, srt, vtt, tsv, png (of an analysis); several with commas; all. Default: md on stdout; "
            "with -o json,md, and png of an analysis.",
            "--output-format",
            "-f",
            metavar="NAMES",
        ),
    ] = None
    skip_existing: Annotated[
        bool, _option(OUTPUT, "Leave inputs alone whose files are there.", "--skip-existing/--no-skip-existing")
    ] = False
    max_line_width: Annotated[int, _option(OUTPUT, "Characters in a subtitle's line.", min=8, metavar="N")] = 42
    max_line_count: Annotated[int, _option(OUTPUT, "Lines in a subtitle.", min=1, metavar="N")] = 2
    min_coverage: Annotated[
        float | None,
        _option(
            OUTPUT, "Exit with 5 when a smaller part of the speech was understood.", min=0.0, max=1.0, metavar="SHARE"
        ),
    ] = None

    cache: Annotated[
        bool, _option(RUN, "Keep the model's replies, and use those of earlier runs.", "--cache/--no-cache")
    ] = True
    cache_dir: Annotated[str | None, _option(RUN, "Where replies are kept.", metavar="DIR")] = None
    progress: Annotated[
        Literal["auto", "bar", "json", "off"],
        _option(RUN, "On stderr. auto: a bar on a terminal. json: one event a line."),
    ] = "auto"
    quiet: Annotated[bool, _option(RUN, "Say nothing but errors.", "--quiet/--no-quiet", "-q")] = False
    verbose: Annotated[bool, _option(RUN, "Say more about what happens.", "--verbose/--no-verbose", "-v")] = False


NAMES = tuple(field.name for field in fields(Settings))
LISTS = ("prompt", "var")
"""Settings that hold several values."""
ONLY_FOR: Mapping[str, tuple[str, ...]] = {
    "tasks": ("run",),
    "question": ("ask", "run"),
    "across": ("ask", "run"),
    "with_transcript": ("summarize", "analyze", "ask", "run"),
    "text_model": ("summarize", "analyze", "ask", "run"),
    "task": ("transcribe", "summarize", "ask"),
    "events": ("transcribe", "run"),
    "word_timestamps": ("transcribe", "run"),
    "max_line_width": ("transcribe", "run"),
    "max_line_count": ("transcribe", "run"),
}
"""Settings that only some commands read; the others have no option for them. Where words are written down only to be
summarized or asked about, how they look is not chosen."""


def command(name: str, body: Callable[[list[str], Settings], None]) -> Callable[..., None]:
    """Make the typer command `name` of a function that takes inputs and Settings."""

    def called(**given: Any) -> None:
        given.pop("config")
        body(list(given.pop("files") or []), Settings(**given))

    files = Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILES", help="Recordings, folders, patterns, URLs; - for audio on stdin.", show_default=False
        ),
    ]
    config = Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help=f"Settings in YAML, keys named as the options. Default: {CONFIG_NAME} here, if there is one.",
            rich_help_panel=RUN,
            envvar=f"{ENV_PREFIX}CONFIG",
            is_eager=True,
            callback=_read_config,
        ),
    ]
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("files", keyword, annotation=files, default=None),
        *(
            inspect.Parameter(setting, keyword, annotation=_for(name, setting, hint), default=default)
            for setting, hint, default in _described()
            if name in ONLY_FOR.get(setting, (name,))
        ),
        inspect.Parameter("config", keyword, annotation=config, default=None),
    ]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    called.__name__, called.__doc__ = body.__name__, body.__doc__
    return called


def _for(command_name: str, setting: str, hint: Any) -> Any:
    """-q is the question where one can be put, and --quiet elsewhere."""
    if setting != "quiet" or command_name not in ONLY_FOR["question"]:
        return hint
    kind, option = get_args(hint)
    plain = copy(option)
    plain.param_decls = tuple(name for name in option.param_decls if name != "-q")
    return Annotated[kind, plain]


def _described() -> Iterable[tuple[str, Any, Any]]:
    """Name, annotation and default of each setting, its environment variable added."""
    hints = get_type_hints(Settings, include_extras=True)
    for field in fields(Settings):
        for extra in get_args(hints[field.name])[1:]:
            if isinstance(extra, OptionInfo):
                extra.envvar, extra.show_envvar = f"{ENV_PREFIX}{field.name.upper()}", False
        assert field.default is not MISSING
        yield field.name, hints[field.name], field.default


def _read_config(context: typer.Context, value: str | None) -> str | None:
    """Make the file's values the defaults; runs before the other options are read."""
    _check_environment(os.environ)
    path = Path(value) if value else Path(CONFIG_NAME)
    if value or path.is_file():
        context.default_map = {**(context.default_map or {}), **read_config(path)}
    return value


def read_config(path: Path) -> dict[str, str | list[str]]:
    """The settings in a file, as text, those of several values as lists of it.

    Raises UsageError for what is not a setting, naming the nearest.
    """
    import yaml

    try:
        # BaseLoader builds nothing but text, to be read as on the command line: else "language: no" were False
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506
    except OSError as exc:
        raise UsageError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path}: not YAML: {' '.join(str(exc).split())}") from exc
    if found in NOTHING:
        return {}
    if not isinstance(found, dict):
        raise UsageError(f"{path}: expected settings as 'name: value' lines")
    settings: dict[str, str | list[str]] = {}
    for key, value in found.items():
        name = str(key).replace("-", "_")
        if name not in NAMES:
            raise UsageError(f"{path}: no setting {str(key)!r}{_nearest(name, NAMES)}")
        if isinstance(value, dict) or (isinstance(value, list) and not all(isinstance(one, str) for one in value)):
            raise UsageError(f"{path}: {str(key)!r} takes one value, or a list of them")
        if value in NOTHING or value == []:
            continue
        several = value if isinstance(value, list) else [value]
        settings[name] = several if name in LISTS else ",".join(several)
    return settings


def _check_environment(environment: Mapping[str, str]) -> None:
    known = [f"{ENV_PREFIX}{name.upper()}" for name in (*NAMES, "config")]
    for name in environment:
        if name.startswith(ENV_PREFIX) and name not in known and not name.startswith(NOT_SETTINGS):
            raise UsageError(f"environment variable {name} is no setting{_nearest(name, known)}")


def _nearest(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def spelled(arguments: Sequence[str]) -> list[str]:
    """The command line in our spelling: whisper's snake_case, and its True and False after a switch, are understood."""
    switches = {
        f"--{field.name.replace('_', '-')}"
        for field in fields(Settings)
        if str(field.type).startswith("Annotated[bool")
    }
    result: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            return [*result, argument, *waiting]
        name, equals, value = argument.partition("=")
        if not name.startswith("--"):
            result.append(argument)
            continue
        name = name.replace("_", "-")
        if name in switches and not equals and waiting and waiting[0] in ("True", "False"):
            equals, value = "=", waiting.pop(0)
        if name in switches and value.casefold() in ("true", "false"):
            result.append(name if value.casefold() == "true" else f"--no-{name[2:]}")
        else:
            result.append(name + equals + value)
    return result


def reworded(error: Exception) -> str:
    """What is wrong with the command line, in one line, and where to read on."""
    message = " ".join(str(error.format_message()).split())  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    name = str(getattr(error, "option_name", None)).removeprefix("--").removeprefix("no-").replace("-", "_")
    if context and name in ONLY_FOR:  # instead of the nearest name that this command has
        message = f"{context.info_name} has no --{name.replace('_', '-')}; {' and '.join(ONLY_FOR[name])} do"
    return f"{message} (see {context.command_path} --help)" if context else message


class GroupedHelp(TyperCommand):
    """Plain help with the options under their headings, which typer only does with rich, at three times the wait."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                heading = getattr(parameter, "rich_help_panel", None) or RUN
                name = re.sub(r" <(bool|str|float|float range|list\[str\])>", "", record[0])
                groups.setdefault("Input" if parameter.param_type_name == "argument" else heading, []).append(
                    (name, record[1])
                )
        for heading, rows in groups.items():
            with formatter.section(heading):
                formatter.write_dl(rows, col_max=28)
