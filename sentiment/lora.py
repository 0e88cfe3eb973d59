"""Low-rank adapters of a BERT encoder (Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models").

    W' = W + (alpha / r) B A,    W (out, in) of the encoder, B (out, r) and A (r, in) of the adapter

for the six linear layers of every block: query, key, value, attention output, intermediate, output. The pooler and the
classifier are the adapter's own, whole. Merged once when a model is loaded, so that what runs afterwards is a plain
`BertForSequenceClassification` and costs what the encoder costs.

An adapter is one safetensors file: `<layer>.lora_A`, `<layer>.lora_B`, the tensors of WHOLE, and in its metadata alpha
and the sha256 of the encoder's weights that it was trained on.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_kernels.errors import ModelError

if TYPE_CHECKING:
    import torch

ADAPTED = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
WHOLE = ("bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias")
TONES = 3
HINT = "install the project again, or train it again: scripts/train_adapter.py"


@dataclass(frozen=True)
class Adapter:
    """What an adapter file holds: its tensors by name, alpha / r, and the sha256 of the weights it belongs to."""

    tensors: dict[str, "torch.Tensor"]
    scale: float
    base_sha256: str


def adapted_layers(blocks: int) -> list[str]:
    """Names of the linear layers that an adapter changes, in a classifier of so many blocks."""
    return [f"bert.encoder.layer.{block}.{layer}" for block in range(blocks) for layer in ADAPTED]


def write(path: Path, tensors: Mapping[str, "torch.Tensor"], *, alpha: float, base_sha256: str) -> None:
    """Write an adapter; its numbers are kept as they are given (float16 halves the file).

    Raises OSError where the file cannot be written.
    """
    from safetensors.torch import save_file

    kept = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    save_file(kept, path, metadata={"alpha": str(alpha), "base_sha256": base_sha256})


def read(path: Path) -> Adapter:
    """Read an adapter file. Raises ModelError where it is absent, damaged, not an adapter, or not finite."""
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).to(torch.float32) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelError(f"the adapter {path} cannot be read: {error}", hint=HINT) from error
    ranks = {tensor.shape[0] for name, tensor in tensors.items() if name.endswith(".lora_A") and tensor.ndim == 2}
    try:
        alpha = float(metadata["alpha"])
        base = metadata["base_sha256"]
        (rank,) = ranks
    except (KeyError, ValueError) as error:
        raise ModelError(
            f"{path} is no adapter: metadata {sorted(metadata)}, ranks {sorted(ranks)}",
            allowed="alpha and base_sha256 in its metadata, and lora_A tensors of one rank",
            hint=HINT,
        ) from error
    wrong = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if wrong or not math.isfinite(alpha):
        raise ModelError(f"the adapter {path} holds numbers that are not finite: {', '.join(wrong[:3])}", hint=HINT)
    return Adapter(tensors, alpha / rank, base)


def merge(state: Mapping[str, "torch.Tensor"], adapter: Adapter, *, base_sha256: str) -> dict[str, "torch.Tensor"]:
    """The weights of the adapted classifier, from the encoder's `state` (names as in `BertModel`: "encoder.layer...").

    state         the encoder's tensors; not changed
    base_sha256   of the file that they come from

    Returns the tensors of a `BertForSequenceClassification`, float32. Missing values: none.
    Raises ModelError where the adapter belongs to other weights, lacks a tensor, or has one too many or of another
    shape.
    """
    if adapter.base_sha256 != base_sha256:
        raise ModelError(
            f"the adapter belongs to weights of sha256 {adapter.base_sha256}", allowed=base_sha256, hint=HINT
        )
    merged = {f"bert.{name}": tensor for name, tensor in state.items() if not name.startswith("pooler.")}
    blocks = len({name.split(".")[3] for name in merged if name.startswith("bert.encoder.layer.")})
    hidden = merged["bert.embeddings.word_embeddings.weight"].shape[1]
    layers = adapted_layers(blocks)
    expected = dict(zip(WHOLE, [(hidden, hidden), (hidden,), (TONES, hidden), (TONES,)], strict=True))
    for layer in layers:
        out, into = merged[f"{layer}.weight"].shape
        rank = adapter.tensors[f"{layer}.lora_A"].shape[0] if f"{layer}.lora_A" in adapter.tensors else 0
        expected |= {f"{layer}.lora_A": (rank, into), f"{layer}.lora_B": (out, rank)}
    found = {name: tuple(tensor.shape) for name, tensor in adapter.tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ModelError(
                f"the adapter's {name} has shape {found.get(name, 'none: it is not there')}",
                allowed=str(expected.get(name, "no such tensor")),
                hint=HINT,
            )
    for layer in layers:
        change = adapter.tensors[f"{layer}.lora_B"] @ adapter.tensors[f"{layer}.lora_A"]
        merged[f"{layer}.weight"] = merged[f"{layer}.weight"] + adapter.scale * change
    return merged | {name: adapter.tensors[name] for name in WHOLE}
