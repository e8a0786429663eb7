"""From a checkpoint's folder to a model in memory: what every family of transformers does alike.

In go a class, a folder and how to run it; out comes the model, whole, or one line that says why not. Weights that are
missing are never made up, and nothing is said on the terminal. Knows no family. Third parties: torch, transformers, and
bitsandbytes where weights are to be quantized.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.utils import logging as transformers_logging

from audiocli.engines import EngineOptions
from audiocli.engines.checkpoints import Checkpoint
from audiocli.errors import ModelError

log = logging.getLogger(__name__)


@contextmanager
def loading(checkpoint: Checkpoint) -> Iterator[None]:
    """Read a checkpoint in here: bars and reports stay off the terminal, what goes wrong comes out as a ModelError."""
    try:
        with _quiet():
            yield
    except ModelError:
        raise
    except Exception as exc:  # a broken file shows as whatever its reader stumbles over, many of them not OSErrors
        raise ModelError(f"model {checkpoint.name!r} cannot be loaded: {_reason(exc)}") from exc


def pretrained(
    kind: Any, folder: Path, device: str, dtype: str, options: EngineOptions, *, exact: Sequence[str] = ()
) -> Any:
    """A model of a class of transformers with its weights, on its device, for use only.

    exact: the full names of modules that keep their precision when `options.quantize` shrinks the others, such as
    "model.audio_tower"; a name without its prefix would be passed over without a word.
    Raises ValueError where weights are missing or of another shape.
    """
    more: dict[str, Any] = {}
    if options.attention:
        more["attn_implementation"] = options.attention
    if options.quantize:
        more["quantization_config"] = quantization(options.quantize, dtype, exact)
        more["device_map"] = {"": device}
    model, found = kind.from_pretrained(
        folder,
        dtype=getattr(torch, dtype),
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        ignore_mismatched_sizes=not options.quantize,
        output_loading_info=True,
        **more,
    )
    whole(found, str(folder))
    return (model if options.quantize else model.to(device)).eval()


def whole(found: Any, folder: str) -> None:
    """Refuse weights that are not all there, as transformers makes up what it does not find. found: its loading info.

    Raises ValueError; says in the log which weights were left over.
    """
    wrong = sorted({*found["missing_keys"], *(str(key[0]) for key in found["mismatched_keys"])})
    if wrong:
        raise ValueError(f"{len(wrong)} weights are not there or not of the shape in config.json, such as {wrong[0]}")
    if unused := sorted(found["unexpected_keys"]):
        log.warning("%s: %d weights are not used, such as %s", folder, len(unused), unused[0])


def quantization(bits: str, dtype: str, exact: Sequence[str] = ()) -> Any:
    """bitsandbytes' settings for "8bit" (LLM.int8, arXiv:2208.07339) or "4bit" (NF4, arXiv:2305.14314).

    exact: full names of modules to leave as they are; the output layer always is.
    """
    # it tells of the cast to float16, which is how the method works, in every layer at every token
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    return transformers.BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_8bit=bits == "8bit",
        load_in_4bit=bits == "4bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=getattr(torch, dtype),
        llm_int8_skip_modules=[*exact, "lm_head"],
    )


def _reason(exc: Exception) -> str:
    """One line; with the kind of error where the words alone would not tell."""
    words = " ".join(str(exc).split())[:200]
    return words if words and isinstance(exc, (OSError, ValueError)) else f"{type(exc).__name__}: {words}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' bars and reports off the terminal: what matters in them is said in one line."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
