"""What a model's linear layers multiply in; embeddings, attention, norms and all sums stay in float32.

    float32    float32 products. On a CPU by oneDNN with weights packed once, which on AMD takes half the time of MKL
    bfloat16   x and W rounded to bfloat16 (8 significant bits), sums in float32, the result rounded to bfloat16
    int8       x and W rounded to 255 levels: each row of x between -max|x| and max|x| of that row, each row of W
               likewise; sums in int32, exact. On a CPU only

They replace what `torch.nn.Linear` does, so any model takes them, and on a CPU a row of the result depends on its own
row alone. (PyTorch's dynamic quantisation has one scale for a whole batch: a text's score then depends on its
neighbours, and one large value costs all others their digits.)

Measured with the embedded model on 2,000 headlines of Reuters against plain float32 PyTorch, on an AMD processor with
AVX-512 BF16 whose two cores were busy; |dp| of probabilities rounded to four decimals, speed by a core's own time:

                 other label   mean |dp|   largest |dp|   speed
    float32      0             0.00003     0.00005        1       (the rounding alone)
    bfloat16     0.15 %        0.0007      0.010          1.4
    int8         1.1 %         0.007       0.16           1.5

(PyTorch's own dynamic int8 changed 7 % of an earlier model's labels, where this one changed 1.5 %.) So "auto" takes
bfloat16 where it is fast; and int8 is for processors that have no BF16. Where results must not depend on the machine,
say float32.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpu_kernels.errors import ArgumentError

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "float32", "bfloat16", "int8")
_PACKED_FOR = 256  # rows of x that the layout of packed weights suits best; the result is the same for others
_LEVELS = 127

Product = Callable[["torch.Tensor"], "torch.Tensor"]


def resolve(precision: str, device: str) -> str:
    """The precision that is meant on this device: "auto" is bfloat16 where the processor multiplies it (AVX-512 BF16 or
    AMX on a CPU; CUDA from compute capability 8.0 on), else float32.

    Raises ArgumentError on another name, and on int8 off the CPU.
    """
    import torch

    if precision not in PRECISIONS:
        raise ArgumentError(f"precision={precision!r}", allowed=", ".join(PRECISIONS))
    kind = torch.device(device).type
    if precision == "int8" and kind != "cpu":
        raise ArgumentError(f"precision='int8' on {device}", allowed="auto, float32 or bfloat16 off the CPU")
    if precision != "auto":
        return precision
    if kind == "cpu":
        native = _cpu_has("_is_avx512_bf16_supported") or _cpu_has("_is_amx_tile_supported")
    else:
        native = kind == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return "bfloat16" if native else "float32"


def convert(model: Any, precision: str, probe: Callable[[], object]) -> None:
    """Let each linear layer inside a model, in evaluation mode and on its device, multiply in this precision.

    The layers' own weights are then freed, unless `probe`, which is to run the model once, shows that something else
    reads them.
    """
    from torch import nn

    # a subclass may do more than a product
    found = [layer for layer in model.modules() if type(layer) is nn.Linear]
    changed = [layer for layer in found if _replace(layer, precision)]
    weights = [layer.weight for layer in changed]
    for layer in changed:
        layer.register_parameter("weight", None)
    try:
        probe()
    except Exception:  # whatever a model does with a weight that is None
        for layer, weight in zip(changed, weights, strict=True):
            layer.weight = weight


def _replace(layer: Any, precision: str) -> bool:
    weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
    product: Product | None
    if precision == "int8":
        product = _by_int8(weight, bias)
    elif weight.device.type == "cpu" and _packs(precision):
        product = _packed(weight, bias, precision)
    else:
        product = _by_bfloat16(weight, bias) if precision == "bfloat16" else None
    if product is None:
        return False
    layer.forward = product
    return True


def _packed(weight: "torch.Tensor", bias: "torch.Tensor | None", precision: str) -> Product:
    import torch

    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.to(kind).contiguous(), _PACKED_FOR)
    bias = None if bias is None else bias.to(kind)

    def product(x: "torch.Tensor") -> "torch.Tensor":
        y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x.to(kind), packed, bias, "none", [], "")
        return y.float()

    return product


def _by_bfloat16(weight: "torch.Tensor", bias: "torch.Tensor | None") -> Product:
    import torch

    half, half_bias = weight.bfloat16(), None if bias is None else bias.bfloat16()
    return lambda x: torch.nn.functional.linear(x.bfloat16(), half, half_bias).float()


def _by_int8(weight: "torch.Tensor", bias: "torch.Tensor | None") -> Product:
    import torch

    levels, scale = _levels(weight)
    levels, scale = levels.t().contiguous(), scale[:, 0]

    def product(x: "torch.Tensor") -> "torch.Tensor":
        rows, row_scale = _levels(x.reshape(-1, x.shape[-1]))
        y = torch._int_mm(rows, levels).float() * row_scale * scale
        return (y if bias is None else y + bias).reshape(*x.shape[:-1], -1)

    return product


def _levels(rows: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    """Whole numbers from -127 to 127, and the (n, 1) scales that turn them back; a row of zeros has the scale 1."""
    import torch

    scale = rows.abs().amax(1, keepdim=True) / _LEVELS
    scale = torch.where(scale == 0, 1.0, scale)
    return torch.round(rows / scale).to(torch.int8), scale


def _cpu_has(name: str) -> bool:
    import torch

    asked = getattr(torch.cpu, name, None)  # not in every version of torch
    return asked is not None and bool(asked())


def _packs(precision: str) -> bool:
    """Whether oneDNN's product with packed weights is there and right."""
    import torch

    x, weight = torch.arange(12.0).reshape(3, 4), torch.arange(20.0).reshape(5, 4)
    exact = torch.nn.functional.linear(x, weight)
    try:
        found = _packed(weight, None, precision)(x)
    except (RuntimeError, AttributeError):  # another build of torch, or another version
        return False
    return bool(torch.allclose(found, exact, rtol=2**-8))
