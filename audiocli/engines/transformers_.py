"""The engine in this process: models of the Hugging Face layout, run by torch.

In go Requests of any mix, out come Replies in the same order. It chooses device and precision, forms batches of one
kind and similar length, and survives running out of memory. What is particular to a model type is in `families`.
Third party: torch, imported by `load` and, where a GPU may be there, by `blueprint`.
"""

from __future__ import annotations

import logging
import platform
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from audiocli.engines import Blueprint, EngineOptions, Limits, check, checkpoints, families
from audiocli.errors import EngineError, ModelError, UsageError
from audiocli.records import Reply, Request

DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
DEVICES = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
SHORTAGES = ("out of memory", "can't allocate memory", "not enough memory")
"""Words of the RuntimeErrors by which torch reports want of memory where it has no class for it (CPU, MPS)."""
CODE = "1"
"""Raised when the same weights would answer differently than the last release did, so that stored replies expire."""

log = logging.getLogger(__name__)


def blueprint(options: EngineOptions) -> Blueprint:
    """Find the checkpoint, its family and where it will run.

    Raises ModelError for a model that cannot be found or run, UsageError for a device or precision that is not here.
    """
    checkpoint = checkpoints.find(options.model, model_dir=options.model_dir, offline=options.offline)
    config = checkpoint.read_json("config.json")
    spec, family = families.of(config, checkpoint.name)
    limits = families.limits(family, checkpoint, config, options)
    device = _device(options.device)
    dtype = _dtype(options.dtype, device, spec.gpu_dtype)
    identity = "|".join(
        [
            "transformers",
            CODE,
            str(config["model_type"]),
            checkpoint.revision,
            device.split(":")[0],
            dtype,
            repr(options.fallback),
        ]
    )
    batch_size = options.batch_size or (spec.batch_cpu if device == "cpu" else spec.batch_gpu)

    def load() -> TransformersEngine:
        _set_threads(options.threads)
        return TransformersEngine(limits, family.load(checkpoint, device, dtype, options), batch_size)

    return Blueprint(
        engine="transformers",
        model=checkpoint.name,
        revision=checkpoint.revision,
        identity=identity,
        limits=limits,
        batch_size=batch_size,
        settings={"device": device.split(":")[0], "dtype": dtype},
        libraries={name: version(name) for name in ("torch", "transformers")},
        load=load,
    )


class TransformersEngine:
    """See `audiocli.engines.Engine`."""

    def __init__(self, limits: Limits, model: families.Model, batch_size: int) -> None:
        self.limits = limits
        self._model: families.Model | None = model
        self._batch_size = batch_size

    def generate(self, requests: Sequence[Request]) -> Sequence[Reply | Exception]:
        if self._model is None:
            raise ModelError("the engine was closed")
        check(requests, self.limits)
        replies: dict[int, Reply | Exception] = {}
        for kind in _kinds(requests):
            for index, reply in self._batches(requests, kind):
                replies[index] = reply
        return [replies[index] for index in range(len(requests))]

    def close(self) -> None:
        self._model = None

    def _batches(self, requests: Sequence[Request], indices: list[int]) -> Iterator[tuple[int, Reply | Exception]]:
        """Ask in batches; one that does not fit into memory is halved, and none so large is tried again."""
        waiting = sorted(indices, key=lambda index: -sum(len(clip) for clip in requests[index].clips))
        while waiting:
            batch, waiting = waiting[: self._batch_size], waiting[self._batch_size :]
            answer = self._answer([requests[index] for index in batch])
            if not isinstance(answer, MemoryError):
                yield from zip(batch, answer, strict=True)
            elif len(batch) > 1:
                self._batch_size = len(batch) // 2
                log.warning("out of memory with %d windows at once; going on with %d", len(batch), self._batch_size)
                waiting = batch + waiting
            else:
                yield batch[0], EngineError(f"out of memory even with one window at a time ({answer})")

    def _answer(self, batch: list[Request]) -> list[Reply] | MemoryError:
        """The model's replies, or what it said for want of memory."""
        import torch

        assert self._model is not None
        try:
            return self._model.answer(batch)
        except (RuntimeError, MemoryError) as exc:
            if not _is_shortage(exc):
                raise
            shortage = MemoryError(str(exc).partition("\n")[0])
        # only here, as the exception held the frames, and with them the tensors of the attempt
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return shortage


def _is_shortage(exc: RuntimeError | MemoryError) -> bool:
    """torch.OutOfMemoryError is a RuntimeError that says so, too."""
    return isinstance(exc, MemoryError) or any(words in str(exc) for words in SHORTAGES)


def _kinds(requests: Sequence[Request]) -> list[list[int]]:
    """Indices of the requests that differ in their audio, and in whether words are timed, and so can share a batch."""
    kinds: dict[str, list[int]] = {}
    for index, request in enumerate(requests):
        bare = replace(request, clips=(), word_timestamps=False)
        kinds.setdefault(repr(bare), []).append(index)
    return list(kinds.values())


def _device(asked: str) -> str:
    """The torch device to run on. "auto": the first of CUDA, MPS, CPU that is here."""
    if not DEVICES.fullmatch(asked):
        raise UsageError(f"no device {asked!r}; choose from auto, cpu, mps, cuda, or cuda:1 and the like")
    if asked == "cpu" or (asked == "auto" and not _accelerator_possible()):
        return "cpu"
    import torch

    here: dict[str, Callable[[], bool]] = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if asked == "auto":
        return next((name for name, available in here.items() if available()), "cpu")
    kind, _, number = asked.partition(":")
    if not here[kind]():
        raise ModelError(f"device {asked!r} is not available to torch {torch.__version__}; try --device cpu")
    if number and int(number) >= torch.cuda.device_count():
        raise ModelError(f"device {asked!r} is not here: torch sees {torch.cuda.device_count()} CUDA devices")
    return asked


def _accelerator_possible() -> bool:
    """Whether it is worth importing torch (a second and more) to ask it for a GPU."""
    system = platform.system()
    if system == "Linux":
        return Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists() or Path("/dev/dxg").exists()
    return system != "Darwin" or platform.machine() == "arm64"


def _dtype(asked: str, device: str, gpu_dtype: str) -> str:
    """The torch dtype's name. CPUs compute in float32: half precision is seldom faster there, and never exact."""
    if asked == "auto":
        return "float32" if device == "cpu" else gpu_dtype
    name = DTYPES.get(asked, asked)
    if name not in DTYPES.values():
        raise UsageError(f"no dtype {asked!r}; choose from auto, {', '.join(DTYPES)}")
    if name == "float16" and device == "cpu":
        raise UsageError("--dtype fp16 is for GPUs; on a CPU choose fp32 or bf16")
    return name


def _set_threads(threads: int | None) -> None:
    import torch

    if threads:
        torch.set_num_threads(threads)
