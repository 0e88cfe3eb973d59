"""Training of a low-rank adapter: layers that learn, batches, the loop. What it learns from is train_adapter.py's.

The same seed, machine and libraries give the same bits: one thread, and every random number from one seed. Products are
bfloat16 (twice as fast where the processor has it), the weights that learn and their optimizer float32.
"""

import contextlib
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from sentiment import lora

State = dict[str, torch.Tensor]
TRAINED_LENGTH = 96  # tokens; longer training texts are cut there
CHUNK = 16  # batches whose texts are sorted by length together


@dataclass(frozen=True)
class Recipe:
    """What is chosen before training.

    rank, alpha            of the adapter: W' = W + alpha / rank B A
    dropout                on what enters A, and before the classifier; the encoder's own dropout stays on
    learning_rate          peak of a one-cycle rate for the adapter; head_learning_rate for pooler and classifier
    label_smoothing        share of the target spread over all tones
    consistency            weight of R-Drop (Liang et al. 2021): the divergence of two passes with other dropout
    average                share of the steps, the last ones, over which the weights are averaged
    balance                0: tones weigh as they come; 1: each tone of a source weighs the same; in between: its power
    sentences              how often each pattern of our own is filled in an epoch
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    learning_rate: float = 1e-3
    head_learning_rate: float = 1e-3
    weight_decay: float = 0.01
    batch: int = 32
    epochs: int = 4
    label_smoothing: float = 0.1
    consistency: float = 0.0
    average: float = 0.2
    balance: float = 0.0
    sentences: int = 2
    seed: int = 20


class LowRank(torch.nn.Module):
    """A linear layer whose own weights stay as they are, plus scale B A: out = W x + b + scale B A x."""

    def __init__(self, linear: torch.nn.Linear, rank: int, scale: float, dropout: float) -> None:
        super().__init__()
        self.linear, self.scale, self.dropout = linear, scale, dropout
        self.lora_A = torch.nn.Parameter(torch.empty(rank, linear.in_features))
        self.lora_B = torch.nn.Parameter(torch.zeros(linear.out_features, rank))  # so that it starts as the encoder
        torch.nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low = functional.linear(functional.dropout(x, self.dropout, self.training), self.lora_A)
        return self.linear(x) + self.scale * functional.linear(low, self.lora_B)


def adapt(model: Any, recipe: Recipe) -> None:
    """Make a `BertForSequenceClassification` learn its adapter, pooler and classifier alone, in place.

    The pooler starts as the identity: the encoder's own was never trained for anything (its weights have decayed).
    """
    model.requires_grad_(False)
    for name in lora.adapted_layers(model.config.num_hidden_layers):
        parent, _, last = name.rpartition(".")
        linear = model.get_submodule(name)
        setattr(
            model.get_submodule(parent), last, LowRank(linear, recipe.rank, recipe.alpha / recipe.rank, recipe.dropout)
        )
    with torch.no_grad():
        torch.nn.init.eye_(model.bert.pooler.dense.weight)
        model.bert.pooler.dense.bias.zero_()
        torch.nn.init.normal_(model.classifier.weight, std=0.02)
        model.classifier.bias.zero_()
    model.dropout.p = recipe.dropout
    for name in lora.WHOLE:
        model.get_parameter(name).requires_grad_(True)


def adapter_tensors(model: Any) -> State:
    """The tensors of an adapter file, from a model that `adapt` has changed."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters() if parameter.requires_grad}


def batches(lengths: Sequence[int], size: int, generator: torch.Generator) -> Iterator[list[int]]:
    """Rows in random order, in batches of about one length: shuffled, sorted within CHUNK batches, shuffled."""
    order = torch.randperm(len(lengths), generator=generator).tolist()
    found = []
    for start in range(0, len(order), size * CHUNK):
        chunk = sorted(order[start : start + size * CHUNK], key=lambda row: lengths[row])
        found += [chunk[k : k + size] for k in range(0, len(chunk), size)]
    for k in torch.randperm(len(found), generator=generator).tolist():
        yield found[k]


def weights_of(tones: torch.Tensor, balance: float) -> torch.Tensor:
    """(N,): each text's weight, its tone's frequency to the power -balance, with mean 1."""
    share = torch.bincount(tones, minlength=lora.TONES).clamp(min=1) / max(1, len(tones))
    weight = share[tones] ** -balance
    return weight / weight.mean()


def loss_of(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, tones: torch.Tensor, weight: torch.Tensor, recipe: Recipe
) -> torch.Tensor:
    """Weighted cross-entropy with smoothed labels, plus R-Drop where the recipe asks for it."""
    twice = 2 if recipe.consistency else 1
    logits = model(input_ids=ids.repeat(twice, 1), attention_mask=mask.repeat(twice, 1)).logits.float()
    each = functional.cross_entropy(
        logits, tones.repeat(twice), reduction="none", label_smoothing=recipe.label_smoothing
    )
    loss = (each * weight.repeat(twice)).mean()
    if recipe.consistency:
        one, two = functional.log_softmax(logits, 1).chunk(2)
        apart = (one.exp() - two.exp()) * (one - two)  # the two divergences summed
        loss = loss + recipe.consistency * 0.5 * (apart.sum(1) * weight).mean()
    return loss


def train(
    model: Any,
    tokenizer: Any,
    epochs: Sequence[Sequence[list[tuple[str, int]]]],
    recipe: Recipe,
    *,
    progress: bool = True,
) -> State:
    """Train an adapter of `model` (a classifier of transformers, changed in place) and give its tensors, float32.

    epochs    for each epoch its sources, each a list of (text, tone); every text is seen once
    """
    torch.manual_seed(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    adapt(model, recipe)
    model.train()
    slow = [p for n, p in model.named_parameters() if p.requires_grad and n not in lora.WHOLE]
    fast = [p for n, p in model.named_parameters() if p.requires_grad and n in lora.WHOLE]
    optimizer = torch.optim.AdamW(
        [{"params": slow, "lr": recipe.learning_rate}, {"params": fast, "lr": recipe.head_learning_rate}],
        weight_decay=recipe.weight_decay,
    )
    steps = sum(-(-sum(map(len, sources)) // recipe.batch) for sources in epochs)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [recipe.learning_rate, recipe.head_learning_rate],
        total_steps=steps,
        pct_start=0.1,
        anneal_strategy="linear",
    )
    averaged: State = {}
    step, shown, started = 0, 0.0, time.monotonic()
    for sources in epochs:
        texts = [text for source in sources for text, _ in source]
        tones = torch.cat([torch.tensor([tone for _, tone in source], dtype=torch.long) for source in sources])
        weight = torch.cat(
            [weights_of(torch.tensor([t for _, t in source], dtype=torch.long), recipe.balance) for source in sources]
        )
        tokens = tokenizer(texts, truncation=True, max_length=TRAINED_LENGTH)["input_ids"]
        for rows in batches([len(ids) for ids in tokens], recipe.batch, generator):
            padded = tokenizer.pad({"input_ids": [tokens[row] for row in rows]}, return_tensors="pt")
            with torch.autocast("cpu", torch.bfloat16):
                loss = loss_of(model, padded["input_ids"], padded["attention_mask"], tones[rows], weight[rows], recipe)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(slow + fast, 1.0)
            optimizer.step()
            if step + 1 < steps:
                schedule.step()
            step += 1
            if step > steps * (1 - recipe.average):
                count = step - math.floor(steps * (1 - recipe.average))
                for name, tensor in adapter_tensors(model).items():
                    averaged[name] = averaged.get(name, 0) + (tensor - averaged.get(name, 0)) / count
            shown = 0.98 * shown + 0.02 * float(loss.detach())
            if progress and step % 100 == 0:
                spent = time.monotonic() - started
                print(
                    f"step {step}/{steps} loss {shown / (1 - 0.98**step):.4f} {spent:.0f} s",
                    file=sys.stderr,
                    flush=True,
                )
    return averaged or adapter_tensors(model)


def lighten(model: Any) -> Any:
    """Keep the frozen matrices in bfloat16, as the products use them: they need not be converted at every step."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and ".layer." in name:
            module.weight.data = module.weight.data.to(torch.bfloat16)
    return model


def logits_of(model: Any, tokenizer: Any, texts: Sequence[str], size: int = 64) -> torch.Tensor:
    """(N, 3) float32 logits of texts in their order."""
    tokens = tokenizer(list(texts), truncation=True, max_length=256)["input_ids"]
    order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
    found = torch.empty(len(tokens), lora.TONES)
    with torch.inference_mode():
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            batch = tokenizer.pad({"input_ids": [tokens[row] for row in rows]}, return_tensors="pt")
            found[rows] = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.float()
    return found


def temperature(logits: torch.Tensor, tones: torch.Tensor) -> float:
    """The T > 0 that minimises the cross-entropy of softmax(logits / T) (Guo et al. 2017)."""
    log_t = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=100)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(logits * torch.exp(-log_t), tones)
        loss.backward()
        return loss

    optimizer.step(closure)
    return float(torch.exp(log_t.detach()))


def cooled(tensors: State, by: float) -> State:
    """The adapter whose logits are divided by `by`."""
    return tensors | {name: tensors[name] / by for name in ("classifier.weight", "classifier.bias")}


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread, so that the sums do not depend on the machine's number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
