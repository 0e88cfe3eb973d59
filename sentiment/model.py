"""A text classifier of three tones, from wherever it comes, behind one small record.

    embedded             the encoder of an installed package and our own adapter; no network (sentiment.embedded)
    a folder             a Hugging Face sequence classifier: config.json, tokenizer, model.safetensors
    owner/name[@revision]   the same from the Hugging Face hub, kept in its own cache

Weights are read from safetensors only, because the other format runs code when it is opened; a model's own code is
never run. Labels are mapped by their names, because published models disagree about their order.
"""

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_kernels.errors import ArgumentError, ModelError
from sentiment import batches, embedded
from sentiment import precision as precisions
from sentiment.embedded import TONES
from sentiment.text import CLEANING, clean

if TYPE_CHECKING:
    import torch

SYNONYMS = {
    "negative": "negative",
    "neg": "negative",
    "bearish": "negative",
    "bear": "negative",
    "neutral": "neutral",
    "neu": "neutral",
    "positive": "positive",
    "pos": "positive",
    "bullish": "positive",
    "bull": "positive",
}
DEFAULT_MAX_LENGTH = 256
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?(@[\w./-]+)?")
_ROOT_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model"]
_TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
_OTHER_WEIGHTS = {".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".pkl"}
_POINTER = b"version https://git-lfs"
_DECIDES_OUTPUT = (".safetensors", ".json", ".txt", ".model")


@dataclass(frozen=True)
class TextModel:
    """A loaded classifier.

    identifier   the name it was asked for by; the folder's name for a local one
    sha256       of everything that decides its output: weights, config, tokenizer, label map, max_length, cleaning,
                 precision
    max_length   in tokens, special tokens included
    device       of torch, e.g. "cpu" or "cuda"
    precision    "float32", "bfloat16" or "int8" (sentiment.precision)
    tokenizer    of transformers
    forward      (input_ids, attention_mask), int64 (B, L) -> logits (B, 3) in the order of TONES
    prepare      what is done to a text before the tokenizer
    independent  whether a row's bits are the same in a batch of any height (sentiment.batches.rows_independent)
    """

    identifier: str
    sha256: str
    max_length: int
    device: str
    precision: str
    tokenizer: Any
    forward: batches.Forward
    prepare: Callable[[str], str]
    independent: bool


def load(
    name: str | Path = "embedded",
    *,
    labels: Mapping[str, str] | None = None,
    max_length: int | None = None,
    device: str | None = None,
    precision: str = "auto",
) -> TextModel:
    """Load a model by name: "embedded", a local folder, or a name on the Hugging Face hub.

    labels       the model's own label -> "negative", "neutral" or "positive", for models whose labels say nothing
    max_length   in tokens; default 256, or the model's own limit where that is smaller
    device       of torch; default "cuda" where there is one, else "cpu"
    precision    "auto", "float32", "bfloat16" or "int8", see sentiment.precision

    Missing values: none.
    Raises ModelError where a package, the model, its safetensors or the network is missing, or where its labels cannot
    be mapped; ArgumentError on a max_length, device or precision it cannot have.
    """
    try:
        import torch  # noqa: F401
        import transformers
    except ImportError as error:
        raise ModelError(
            f"scoring texts needs the package {error.name}, which is not installed", hint=embedded.INSTALL
        ) from error
    device = _device(device)
    precision = precisions.resolve(precision, device)
    with _quiet(transformers):
        if str(name) == "embedded":
            if labels is not None:
                raise ArgumentError("labels given for the embedded model", hint="leave labels out: its order is known")
            return _load_embedded(max_length, device, precision)
        folder, identifier = _folder_of(str(name))
        return _load_classifier(folder, identifier, labels, max_length, device, precision)


def map_labels(id2label: Mapping[int, str], labels: Mapping[str, str] | None = None) -> list[int]:
    """Which of the model's outputs is negative, neutral and positive, by the names in its config.

    Names count without case; bearish/bear/neg and bullish/bull/pos count as negative and positive. `labels` maps the
    model's own names explicitly and then alone decides. Raises ModelError unless each tone is named exactly once.
    """
    own = {index: str(label).strip() for index, label in sorted(id2label.items())}
    if len(own) != len(TONES):
        raise ModelError(
            f"the model tells {len(own)} labels apart, {list(own.values())}"[:300],
            allowed="three labels: negative, neutral and positive",
            hint="of two labels none is neutral, and five are stars: neither can be read as three",
        )
    if labels is not None:
        known = {str(key).lower(): str(tone).lower() for key, tone in labels.items()}
        if not set(known) <= {label.lower() for label in own.values()}:
            raise ModelError(f"labels= names {sorted(labels)}", allowed=f"the model's labels {list(own.values())}")
    else:
        known = SYNONYMS
    tones = {index: known.get(label.lower()) for index, label in own.items()}
    if sorted(str(tone) for tone in tones.values()) != sorted(TONES):
        raise ModelError(
            f"the model's labels are {list(own.values())}"
            + ("" if labels is None else f", mapped to {list(tones.values())}"),
            allowed="three labels that say negative, neutral and positive (or bearish, bullish, neg, neu, pos)",
            hint="its own card says which is which; then, e.g., --label "
            + ",".join(f"{label}={tone}" for label, tone in zip(own.values(), TONES, strict=True))
            + f" (in Python labels={dict(zip(own.values(), TONES, strict=True))})",
        )
    return [next(index for index, tone in tones.items() if tone == wanted) for wanted in TONES]


def _load_embedded(max_length: int | None, device: str, precision: str) -> TextModel:
    tokenizer, classifier = embedded.load(device)
    files = [*_files(embedded.encoder_folder()), embedded.ADAPTER_FILE]
    return _text_model("embedded", files, tokenizer, classifier, [0, 1, 2], max_length, precision, prepare=clean)


def _text_model(
    identifier: str,
    files: list[Path],
    tokenizer: Any,
    classifier: Any,
    order: list[int],
    max_length: int | None,
    precision: str,
    *,
    prepare: Callable[[str], str],
) -> TextModel:
    """The one path of every model: `order` says which output is negative, neutral, positive."""
    limit, device, independent = _limit(max_length, tokenizer, classifier.config), str(classifier.device), False

    def forward(input_ids: "torch.Tensor", attention_mask: "torch.Tensor") -> "torch.Tensor":
        logits: torch.Tensor = classifier(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits[:, order]

    def probe() -> None:
        nonlocal independent
        independent = batches.rows_independent(tokenizer, forward, device=device)

    precisions.convert(classifier, precision, probe)
    cleaning = CLEANING if prepare is clean else ""
    digest = _digest(files, cleaning, str(order), str(limit), precision)
    return TextModel(identifier, digest, limit, device, precision, tokenizer, forward, prepare, independent)


def _load_classifier(
    folder: Path,
    identifier: str,
    labels: Mapping[str, str] | None,
    max_length: int | None,
    device: str,
    precision: str,
) -> TextModel:
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    _check_files(folder, identifier)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        order = map_labels(config.id2label, labels)
        if config.problem_type not in {None, "single_label_classification"}:
            raise ModelError(
                f"{identifier} is a model of {config.problem_type}",
                allowed="one that gives each text one of its labels",
            )
        classifier, found = AutoModelForSequenceClassification.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except ModelError:
        raise
    except Exception as error:  # transformers raises whatever its parts raise: OSError, ValueError, KeyError, ...
        told = _first_line(error)
        if "ignore_mismatched_sizes" in told:  # which names an option of theirs, not what is wrong
            told = "its weights are of other sizes than its config.json tells"
        raise ModelError(
            f"{identifier} cannot be loaded: {told}", allowed="a sequence classifier of transformers"
        ) from error
    if missing := sorted(found["missing_keys"]):
        raise ModelError(
            f"{identifier} lacks the weights {', '.join(missing[:3])}",
            allowed="a trained sequence classifier",
            hint="this looks like an encoder without its classification head",
        )
    tokenizer = _tokenizer(folder, identifier, classifier.config.vocab_size)
    classifier = classifier.to(device).eval()
    return _text_model(
        identifier, _files(folder), tokenizer, classifier, order, max_length, precision, prepare=str.strip
    )


def _check_files(folder: Path, identifier: str) -> None:
    if not (folder / "config.json").is_file():
        adapter = (folder / "adapter_config.json").is_file()
        raise ModelError(
            f"{identifier} has no config.json" + (", only an adapter's" if adapter else ""),
            hint="merge the adapter into its model and save that"
            if adapter
            else "name the folder that save_pretrained wrote",
        )
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        other = sorted(path.name for path in folder.iterdir() if path.suffix in _OTHER_WEIGHTS)
        raise ModelError(
            f"{identifier} has no safetensors weights" + (f", only {', '.join(other)}" if other else ""),
            allowed="model.safetensors: the older formats run code when they are opened",
            hint="name a revision that has them (owner/name@refs/pr/N), or convert it in a place you trust",
        )
    for path in weights:
        with path.open("rb") as file:
            if file.read(len(_POINTER)) == _POINTER:
                raise ModelError(
                    f"{path.name} of {identifier} is a pointer of Git LFS, not weights",
                    hint="run git lfs pull in the folder that it was cloned to",
                )


def _folder_of(name: str) -> tuple[Path, str]:
    """The folder that holds the model of this name, and what to call it in messages."""
    path = Path(name).expanduser()
    if name and path.is_dir():
        return path, path.resolve().name
    if name and path.exists():
        raise ModelError(f"model {name!r} is a file", allowed="embedded, a folder, or a hub name such as owner/name")
    if not _HUB_NAME.fullmatch(name):
        raise ModelError(f"no model folder {name!r}", allowed="embedded, a folder, or a hub name such as owner/name")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    repository, _, revision = name.partition("@")
    try:
        # files in sub-folders are other formats of the same weights
        folder = snapshot_download(
            repository, revision=revision or None, allow_patterns=_ROOT_FILES, ignore_patterns=["*/*"]
        )
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ModelError(
            f"no model {name!r}: neither a folder here nor on the Hugging Face hub",
            allowed="embedded, a folder, or a hub name such as owner/name[@revision]",
            hint="a private or gated model needs HF_TOKEN",
        ) from error
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"model {name!r} is not in the local hub cache, and the hub cannot be reached",
            hint="use model: embedded, a local folder, or run once with a network and without HF_HUB_OFFLINE",
        ) from error
    except Exception as error:  # the hub's client raises errors of its transport, too many kinds to name
        raise ModelError(
            f"model {name!r} cannot be fetched: {_first_line(error)}", hint="use model: embedded, or a local folder"
        ) from error
    return Path(folder), name


def _tokenizer(folder: Path, identifier: str, vocabulary: int) -> Any:
    from transformers import AutoTokenizer

    # without these files transformers makes an empty tokenizer, to which every word is unknown, and says nothing
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise ModelError(f"{identifier} has no tokenizer", allowed="one of the files " + ", ".join(_TOKENIZER_FILES))
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # as above
        raise ModelError(
            f"the tokenizer of {identifier} cannot be loaded: {_first_line(error)}",
        ) from error
    if tokenizer.pad_token_id is None:
        raise ModelError(f"the tokenizer of {identifier} has no padding token", allowed="a sequence classifier")
    if len(tokenizer) > vocabulary:
        raise ModelError(
            f"the tokenizer of {identifier} has {len(tokenizer)} tokens", allowed=f"the {vocabulary} of the model"
        )
    return tokenizer


def _device(name: str | None) -> str:
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch built without CUDA
        raise ArgumentError(
            f"device={name!r}: {_first_line(error)}", allowed="cpu, or cuda where torch was built for it and finds one"
        ) from error
    return name


def _limit(wanted: int | None, tokenizer: Any, config: Any) -> int:
    # some families (RoBERTa) count positions from 2 on
    own = min(int(tokenizer.model_max_length), int(getattr(config, "max_position_embeddings", 514)) - 2)
    if wanted is None:
        return min(DEFAULT_MAX_LENGTH, own)
    if not 8 <= wanted <= own:
        raise ArgumentError(f"max_length={wanted}", allowed=f"8 to {own}, this model's own limit")
    return wanted


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in _DECIDES_OUTPUT and path.is_file())


def _digest(files: list[Path], *settings: str) -> str:
    parts = [f"{path.name} {embedded.file_sha256(path)}" for path in files] + list(settings)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keeps transformers' progress bars and advice off stderr, which is the command's, while a model is loaded."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
