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
    "qwen2-audio": "Qwen/Qwen2-Audio-7B-Instruct",
    "ultravox": "fixie-ai/ultravox-v0_5-llama-3_2-1b",
    "ultravox-8b": "fixie-ai/ultravox-v0_5-llama-3_1-8b",
    "voxtral": "mistralai/Voxtral-Mini-3B-2507",
    "voxtral-24b": "mistralai/Voxtral-Small-24B-2507",
    "qwen2.5-omni": "Qwen/Qwen2.5-Omni-7B",
    "qwen2.5-omni-3b": "Qwen/Qwen2.5-Omni-3B",
    "qwen3-omni": "Qwen/Qwen3-Omni-30B-A3B-Instruct",
    "qwen3-asr": "Qwen/Qwen3-ASR-1.7B-hf",
    "qwen3-asr-0.6b": "Qwen/Qwen3-ASR-0.6B-hf",
    "granite-speech": "ibm-granite/granite-speech-3.3-2b",
    "granite-speech-8b": "ibm-granite/granite-speech-3.3-8b",
    "phi4-multimodal": "microsoft/Phi-4-multimodal-instruct",
    "gemma3n": "google/gemma-3n-E2B-it",
    "audio-flamingo-3": "nvidia/audio-flamingo-3-hf",
    "glm-asr": "zai-org/GLM-ASR-Nano-2512",
}
"""Short names, openai-whisper's own among them, and the hub repositories they stand for."""

AUTOMATIC = "qwen2-audio"
"""What "auto" is on a GPU that has `AUTOMATIC_BYTES` free."""
AUTOMATIC_BYTES = 21_000_000_000
"""Qwen2-Audio-7B in bf16: 8.397 G parameters are 16.8 GB (counted from its configuration); four windows of 30 s, each
750 tokens of audio and 400 of text and answer at 524,288 B of cache and 147,968 B of work, are 3.1 GB; a gigabyte is
for CUDA itself, the encoder and what is lost in fragments."""

_REVISIONS = {"microsoft/Phi-4-multimodal-instruct": "refs/pr/70"}
"""Where a repository's main branch needs code of its own, and a layout that transformers knows is beside it."""
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_WEIGHTS = ["model.safetensors", "model-?????-of-?????.safetensors"]
"""What is loaded, and no second copy in another precision (model.fp32-00001-of-00002.safetensors)."""
_ADAPTERS = ["adapter_model.safetensors", "speech-lora/adapter_model.safetensors"]
"""What Granite Speech and Phi-4 put over their language model while they hear."""
_FILES = ["*.json", "*.txt", "*.jinja", "*.model", *_WEIGHTS, *_ADAPTERS]
"""Tokenizers are in *.json (tekken.json, too), *.txt or *.model. Never *.bin or *.pt: pickles run code. Never *.py."""
_INDEX = "model.safetensors.index.json"
"""Which file holds which weight, where there are several."""


class NotHereError(ModelError):
    """The model is not on this machine, and cannot be fetched now."""


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

    model: an alias, a folder, or a hub id; "auto" is the embedded one here. model_dir: where downloads go, instead of
    the hub's own cache.
    Raises ModelError, saying what was looked for and what to do; NotHereError where a network would help.
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


def automatic(free: int | None, width: int = 2) -> str:
    """What "auto" stands for. free: bytes that a CUDA device has to give, None without one; width: of a number."""
    return AUTOMATIC if free is not None and free >= AUTOMATIC_BYTES * width // 2 else EMBEDDED


def fingerprint(folder: Path) -> str:
    """A hash that changes with the model, fast enough to take at every start.

    Small files count whole. Of each file of weights count the size and 64 evenly spread blocks of 4 KiB, the header
    among them: training moves all weights, so no other checkpoint agrees in those.
    """
    digest = hashlib.sha256()
    for path in sorted([*folder.iterdir(), *folder.glob("speech-lora/adapter_*")]):
        if path.suffix not in (".json", ".txt", ".jinja", ".model", ".safetensors"):
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
        if not (folder / file).is_file():
            raise ModelError(f"{folder / _INDEX}: names {file}, which is not there; fetch the model again")
    return checkpoint


def _from_hub(name: str, repository: str, model_dir: str | None, offline: bool) -> Checkpoint:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                repository,
                revision=_REVISIONS.get(repository),
                allow_patterns=_FILES,
                cache_dir=model_dir,
                local_files_only=offline,
            )
        )
    except LocalEntryNotFoundError as exc:
        why = "is not on this machine and --offline is set" if offline else "is not here and the hub cannot be reached"
        raise NotHereError(
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
