"""Engines: from what the user calls a model to a folder with its files.

In goes an alias, a hub id or a folder, out comes a Checkpoint. Knows no torch and reads no weights. The embedded model
needs no network; nothing needs one when `offline` is set. Third party: huggingface_hub, imported only for hub ids.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from audiocli.errors import ModelError

EMBEDDED = "tiny.en"
EMBEDDED_FOLDER = Path(__file__).parent.parent / "models" / "whisper-tiny.en"

_WHISPER_SIZES = "tiny base small medium large-v1 large-v2 large-v3 tiny.en base.en small.en medium.en large-v3-turbo"
ALIASES: dict[str, str] = {
    **{name: f"openai/whisper-{name}" for name in _WHISPER_SIZES.split()},
    **{f"whisper-{name}": f"openai/whisper-{name}" for name in _WHISPER_SIZES.split()},
    "large": "openai/whisper-large-v3",
    "turbo": "openai/whisper-large-v3-turbo",
    "distil-large-v3": "distil-whisper/distil-large-v3",
    "distil-large-v3.5": "distil-whisper/distil-large-v3.5",
}
"""Short names, openai-whisper's own among them, and the hub repositories they stand for."""

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_WEIGHTS = ["model.safetensors", "model-?????-of-?????.safetensors"]
"""What is loaded, and no second copy in another precision (model.fp32-00001-of-00002.safetensors)."""
_FILES = ["*.json", "*.txt", "*.jinja", *_WEIGHTS]
"""Never *.bin or *.pt: pickles run code. Never *.py."""
_INDEX = "model.safetensors.index.json"
"""Which file holds which weight, where there are several."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model's files in one folder, in the Hugging Face layout."""

    name: str
    folder: Path
    revision: str

    def read_json(self, name: str) -> Mapping[str, Any]:
        """A JSON file of the checkpoint; an optional one that is not there reads as {}."""
        path = self.folder / name
        if not path.is_file():
            return {}
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as exc:
            raise ModelError(f"{path}: cannot be read as JSON: {exc}") from exc
        if not isinstance(found, dict):
            raise ModelError(f"{path}: expected a JSON object")
        return found


def find(model: str, *, model_dir: str | None = None, offline: bool = False) -> Checkpoint:
    """The files of a model, fetched from the hub if they are nowhere here.

    model: "auto", an alias, a folder, or a hub id. model_dir: where downloads go, instead of the hub's own cache.
    Raises ModelError, saying what was looked for and what to do.
    """
    if model in ("auto", EMBEDDED, f"whisper-{EMBEDDED}"):
        return _folder(EMBEDDED, EMBEDDED_FOLDER)
    folder = _existing_folder(model)
    if folder and model not in ALIASES:
        return _folder(folder.resolve().name, folder)
    repository = ALIASES.get(model, model)
    if not _HUB_ID.fullmatch(repository):
        known = ", ".join(sorted(name for name in ALIASES if not name.startswith("whisper-")))
        raise ModelError(f"no model {model!r}: not a folder, not a hub id (owner/name), and not one of {known}")
    return _from_hub(model, repository, model_dir, offline)


def fingerprint(folder: Path) -> str:
    """A hash that changes with the model, fast enough to take at every start.

    Small files count whole. Of each file of weights count the size and 64 evenly spread blocks of 4 KiB, the header
    among them: training moves all weights, so no other checkpoint agrees in those.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix not in (".json", ".txt", ".jinja", ".safetensors"):
            continue
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if path.suffix != ".safetensors":
                digest.update(file.read())
                continue
            for block in range(64):
                file.seek(block * max(size - 4096, 0) // 63)
                digest.update(file.read(4096))
    return digest.hexdigest()


def _existing_folder(model: str) -> Path | None:
    """The folder a user means, if it is one. A name that no path can have is none."""
    try:
        folder = Path(model).expanduser()
        return folder if model and folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):
        return None


def _folder(name: str, folder: Path) -> Checkpoint:
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder}: no config.json in it, so this is not a model folder")
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"{folder}: no *.safetensors in it; other weight formats can run code and are not loaded")
    try:
        checkpoint = Checkpoint(name, folder, f"sha256:{fingerprint(folder)[:16]}")
    except OSError as exc:
        raise ModelError(f"{exc.filename or folder}: cannot be read: {exc.strerror or exc}") from exc
    for file in set(dict(checkpoint.read_json(_INDEX).get("weight_map") or {}).values()):
        if Path(file).suffix != ".safetensors":
            raise ModelError(f"{folder / _INDEX}: names {file}; other weight formats can run code and are not loaded")
    return checkpoint


def _from_hub(name: str, repository: str, model_dir: str | None, offline: bool) -> Checkpoint:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        folder = Path(
            snapshot_download(repository, allow_patterns=_FILES, cache_dir=model_dir, local_files_only=offline)
        )
    except LocalEntryNotFoundError as exc:
        why = "is not on this machine and --offline is set" if offline else "is not here and the hub cannot be reached"
        raise ModelError(
            f"model {name!r} ({repository}) {why}; download it where there is a network, or give a folder"
        ) from exc
    except RepositoryNotFoundError as exc:
        raise ModelError(
            f"model {name!r} ({repository}) is not on the hub, or not for all: then log in with 'hf auth login'"
        ) from exc
    except Exception as exc:  # the hub's errors have no common root, and those of its HTTP library come through
        reason = str(exc).strip().partition("\n")[0] or type(exc).__name__
        raise ModelError(f"model {name!r} ({repository}) cannot be downloaded: {reason}") from exc
    checkpoint = _folder(name, folder)
    return replace(checkpoint, revision=folder.name) if _COMMIT.fullmatch(folder.name) else checkpoint
