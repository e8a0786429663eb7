"""Ultravox: from the tensors of its files to its three parts, whichever of them a checkpoint holds.

In go checkpoint folders, out come a Whisper encoder, a projector and a language model. Tensors are named
`audio_tower.`, `multi_modal_projector.` and `language_model.`; what a file lacks is taken from the model it was trained
from, and a low-rank update (LoRA, arXiv:2106.09685) is added in. Only safetensors are read. What does not fit is a
ValueError that says what. Knows neither audio nor prompts. Third parties: torch, transformers, safetensors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForCausalLM, WhisperConfig
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from audiocli.engines import EngineOptions
from audiocli.engines.checkpoints import Checkpoint
from audiocli.engines.families.loading import pretrained
from audiocli.engines.families.ultravox import STACK

Tensors = Mapping[str, torch.Tensor]

_FILE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_LORA = re.compile(r"\.lora_([AB])(\.default)?\.weight$")
_LORA_ALPHA = 8.0
"""What the reference code scales by where config.json does not say (LoraConfigSimplified in ultravox_config.py)."""


class Projector(nn.Module):
    """From states of the encoder to embeddings of the language model: `stack` neighbours become one.

    Up to v0.4.1 a norm follows the second linear layer (`ln_post`), from v0.5 on it stands between the two (`ln_mid`).
    """

    def __init__(self, stack: int, states: int, hidden: int, embedding: int, *, norm_mid: bool) -> None:
        super().__init__()
        self.stack = stack
        self.ln_pre = LlamaRMSNorm(states * stack)
        self.linear_1 = nn.Linear(states * stack, hidden, bias=False)
        self.ln_mid = LlamaRMSNorm(hidden // 2) if norm_mid else nn.Identity()
        self.linear_2 = nn.Linear(hidden // 2, embedding, bias=False)
        self.ln_post = nn.Identity() if norm_mid else LlamaRMSNorm(embedding)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(b, n, states) to (b, ceil(n / stack), embedding); the last stack is filled up with zeros."""
        batch, length, width = states.shape
        stacked = functional.pad(states, (0, 0, 0, -length % self.stack)).reshape(batch, -1, width * self.stack)
        value, gate = self.linear_1(self.ln_pre(stacked)).chunk(2, dim=-1)
        embeddings: torch.Tensor = self.ln_post(self.linear_2(self.ln_mid(functional.silu(gate) * value)))
        return embeddings


def read(checkpoint: Checkpoint, prefix: str) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint whose names start so, without that start."""
    files = set(checkpoint.read_json(_INDEX).get("weight_map", {}).values()) or {_FILE}
    found = {}
    for file in sorted(files):
        with safe_open(checkpoint.folder / file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (it is no mapping, and cannot be walked)
                if name.startswith(prefix):
                    found[name.removeprefix(prefix)] = tensors.get_tensor(name)
    return found


def encoder(checkpoint: Checkpoint, base: Checkpoint | None, dtype: torch.dtype) -> WhisperEncoder:
    """The Whisper encoder: from the checkpoint, else from the model it points to, else from both."""
    config = checkpoint.read_json("config.json")
    described = (base.read_json("config.json") if base else config.get("audio_config")) or {}
    if not described or described.get("model_type", "whisper") != "whisper":
        raise ValueError(f"its encoder is of type {described.get('model_type')!r}, not a Whisper")
    known = read(base, "model.encoder.") if base else {}
    own = read(checkpoint, "audio_tower.")
    with torch.device("meta"):
        module = WhisperEncoder(WhisperConfig(**described))
    _fill(module, merged(known, own, _alpha(config, "audio")), "audio_tower", dtype)
    return module


def projector(checkpoint: Checkpoint, states: int, embedding: int, dtype: torch.dtype) -> Projector:
    """states, embedding: widths of the encoder's states and of the language model's embeddings."""
    config, tensors = checkpoint.read_json("config.json"), read(checkpoint, "multi_modal_projector.")
    trained = len(tensors["linear_2.weight"]) if "linear_2.weight" in tensors else embedding
    if trained != embedding:
        raise ValueError(
            f"its projector was trained for a language model {trained} wide, and this one is {embedding} wide"
        )
    with torch.device("meta"):
        module = Projector(
            int(config.get("stack_factor", STACK)),
            states,
            int(config.get("hidden_size", 4096)),
            embedding,
            norm_mid=bool(config.get("projector_ln_mid", False)),
        )
    _fill(module, tensors, "multi_modal_projector", dtype)
    return module


def language_model(
    checkpoint: Checkpoint, base: Checkpoint | None, device: str, dtype: str, options: EngineOptions
) -> Any:
    """Any causal language model that transformers has, from a folder of its own or from the checkpoint.

    It alone is quantized, where that is asked for: of the whole it is nine tenths, and what is misheard stays misheard.
    """
    config, own = checkpoint.read_json("config.json"), read(checkpoint, "language_model.")
    if base is None:
        held = _held(config.get("text_config") or {}, own)
        return pretrained(held, checkpoint.folder, device, dtype, options)
    if own and options.quantize:
        raise ValueError("what it trained of its language model cannot be added to quantized weights")
    model = pretrained(AutoModelForCausalLM, base.folder, device, dtype, options)
    _overlay(model, own, _alpha(config, "text"))
    return _blind(model)


def merged(base: Tensors, own: Tensors, alpha: float) -> dict[str, torch.Tensor]:
    """`base` overlaid with `own`, each pair of `lora_A` (r, in) and `lora_B` (out, r) added to the weight it is for.

    W + alpha / r · B A, in float32. Raises ValueError for a kind of update that is not this one, and for one without
    its weight.
    """
    updates = {name: tensor for name, tensor in own.items() if ".lora_" in name}
    result = {**base, **{_plain(name): tensor for name, tensor in own.items() if name not in updates}}
    for name in updates:
        match = _LORA.search(name)
        weight = _plain(_LORA.sub(".weight", name))
        if not match or weight not in result:
            raise ValueError(f"its low-rank update {name} cannot be merged")
        if match[1] == "A":
            down, up = updates[name].float(), updates[name.replace(".lora_A.", ".lora_B.")].float()
            change = (up @ down) * (alpha / len(down))
            result[weight] = (result[weight].float() + change).to(result[weight].dtype)
    return result


def _plain(name: str) -> str:
    """Without what peft wraps names in."""
    return name.replace("base_model.model.", "").replace(".base_layer.", ".")


def _alpha(config: Mapping[str, Any], part: str) -> float:
    return float((config.get(f"{part}_model_lora_config") or {}).get("lora_alpha", _LORA_ALPHA))


def _fill(module: nn.Module, tensors: Tensors, part: str, dtype: torch.dtype) -> None:
    """Give a module on no device its weights. Raises ValueError unless they are exactly those it has."""
    expected = module.state_dict()
    _agree(set(expected), set(tensors), part)
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise ValueError(f"its {part}.{name} is of shape {tuple(tensor.shape)}, not {tuple(expected[name].shape)}")
    module.load_state_dict({name: tensor.to(dtype) for name, tensor in tensors.items()}, assign=True)


def _agree(expected: Set[str], found: Set[str], part: str) -> None:
    for names, what in ((expected - found, "lacks"), (found - expected, "holds unknown")):
        if names:
            shown = ", ".join(f"{part}.{name}" for name in sorted(names)[:3])
            raise ValueError(f"it {what} {shown}{f' and {len(names) - 3} more' if len(names) > 3 else ''}")


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """A class of transformers whose weights are in memory already."""

    kind: Any
    config: Any
    tensors: Tensors

    def from_pretrained(self, _: object, **settings: Any) -> tuple[Any, Any]:
        """The model and its loading info."""
        model, found = self.kind.from_pretrained(None, config=self.config, state_dict=dict(self.tensors), **settings)
        _agree(set(), set(found["unexpected_keys"]), "language_model")
        return model, found


def _held(described: Mapping[str, Any], tensors: Tensors) -> _Held:
    if not described or not tensors:
        raise ValueError("it neither holds a language model nor points to one; give it with --language-model")
    config: Any = AutoConfig.for_model(**described)
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ValueError(f"its language model is of type {config.model_type!r}, and no causal language model")
    return _Held(MODEL_FOR_CAUSAL_LM_MAPPING[type(config)], config, tensors)


def _blind(model: Any) -> Any:
    """The part of a language model that reads, where it also sees, as the Gemma 3 that v0.6 points to.

    As a whole those do not go on from embeddings, and their eyes would take memory for nothing.
    """
    text = model.config.get_text_config()
    if text is model.config:
        return model
    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(text)]
    with torch.device("meta"):
        reader = kind(text)
    setattr(reader, reader.base_model_prefix, model.get_decoder())
    reader.set_output_embeddings(model.get_output_embeddings())
    reader.generation_config = model.generation_config
    return reader.eval()


def _overlay(model: Any, own: Tensors, alpha: float) -> None:
    """Put what was trained of a language model, whole weights or updates, in the place of what it was trained from."""
    state = model.state_dict()
    touched = {name for name in (_plain(_LORA.sub(".weight", name)) for name in own) if name in state}
    changed = merged({name: state[name] for name in touched}, own, alpha)
    _agree(touched, set(changed), "language_model")
    model.load_state_dict(changed, strict=False)
