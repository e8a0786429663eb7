"""What models that follow prompts are asked: YAML files in, checked Prompts out.

A prompt is found by name, among those that come with audiocli, or by its path. Knows no engine and no audio; what is
said in a recording never becomes part of a prompt here. Third party: yaml, imported when a file is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from string import Template

from audiocli.errors import UsageError

VARIABLES = ("language",)
"""What a prompt's texts may name as $name: the language expected, or "the language spoken"."""

_INSTALLED = Path(__file__).parent / "prompts"
_CHECKOUT = Path(__file__).parents[1] / "prompts"
FOLDER = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
"""Inside the package when installed, beside it in a checkout."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt file. All its keys are text."""

    name: str
    description: str
    task: str
    user: str
    """The question, put beside the audio."""
    system: str = ""
    """Who the model is to be."""

    def rendered(self, variables: Mapping[str, str]) -> tuple[str, str]:
        """System and user text with $variables filled in. Raises UsageError naming one that is missing."""
        try:
            return Template(self.system).substitute(variables), Template(self.user).substitute(variables)
        except KeyError as exc:
            raise UsageError(f"prompt {self.name!r}: no value for ${exc.args[0]}") from exc


def names() -> tuple[str, ...]:
    """The prompts that come with audiocli."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load(name: str) -> Prompt:
    """A prompt by name or path. Raises UsageError for one that is not there, or is not right, saying where."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        near = get_close_matches(name, names(), 1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(names())}, or give a .yaml file"
        raise UsageError(f"no prompt {name!r}; {hint}")
    return _checked(path, _read(path))


def _read(path: Path) -> dict[str, object]:
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise UsageError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path}: not YAML: {' '.join(str(exc).split())}") from exc
    if not isinstance(found, dict):
        raise UsageError(f"{path}: expected keys such as name and user")
    return {str(key): value for key, value in found.items()}


def _checked(path: Path, found: Mapping[str, object]) -> Prompt:
    known = [field.name for field in fields(Prompt)]
    for key, value in found.items():
        if key not in known:
            near = get_close_matches(key, known, 1)
            raise UsageError(f"{path}: no key {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        if not isinstance(value, str):
            raise UsageError(f"{path}: {key!r} must be text")
    missing = [key for key in ("name", "description", "task", "user") if not found.get(key)]
    if missing:
        raise UsageError(f"{path}: {', '.join(missing)} missing")
    prompt = Prompt(**{key: str(value) for key, value in found.items()})
    _check_variables(path, prompt)
    return prompt


def _check_variables(path: Path, prompt: Prompt) -> None:
    for text in (prompt.system, prompt.user):
        for match in Template.pattern.finditer(text):
            name = match["named"] or match["braced"]
            if match["invalid"] is not None:
                raise UsageError(f"{path}: a $ that names no variable; write $$ for a dollar sign")
            if name and name not in VARIABLES:
                raise UsageError(f"{path}: no variable ${name}; there is {', '.join('$' + one for one in VARIABLES)}")
