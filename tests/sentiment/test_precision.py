"""Linear layers in each precision against the definition, row by row; models that read their own weights."""

import pytest
import torch
from torch import nn

from gpu_kernels.errors import ArgumentError
from sentiment.precision import convert, resolve

PRECISIONS = ["float32", "bfloat16", "int8"]
pytestmark = pytest.mark.usefixtures("one_thread")


def layer(inputs: int, outputs: int, bias: bool) -> nn.Linear:
    torch.manual_seed(inputs)
    return nn.Linear(inputs, outputs, bias=bias).eval()


def converted(module: nn.Module, precision: str, rows: torch.Tensor) -> nn.Module:
    with torch.inference_mode():
        convert(module, precision, lambda: module(rows))
    return module


def levels(rows: torch.Tensor) -> torch.Tensor:
    largest = rows.abs().amax(-1, keepdim=True)
    return (rows / (largest / 127)).nan_to_num(0).round().double() * largest / 127


def naive(linear: nn.Linear, x: torch.Tensor, precision: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The product in float64 of what the definition rounds, and how far from it an answer may be."""
    weight = linear.weight.detach()
    bias = 0.0 if linear.bias is None else linear.bias.detach().double()
    if precision == "int8":
        x, weight = levels(x), levels(weight)
    elif precision == "bfloat16":
        x, weight = x.bfloat16().double(), weight.bfloat16().double()
    else:
        x, weight = x.double(), weight.double()
    exact = x @ weight.T + bias
    if precision == "bfloat16":  # the bias and the result are rounded too
        return exact, exact.abs() * 2**-8 + 2**-8 * (0.0 if linear.bias is None else linear.bias.detach().abs())
    return exact, torch.full_like(exact, 3e-5)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("inputs", "outputs", "bias"), [(384, 384, True), (7, 3, True), (64, 1, False), (33, 130, True)]
)
def test_products(precision: str, inputs: int, outputs: int, bias: bool) -> None:
    linear = layer(inputs, outputs, bias)
    x = torch.randn(4, 9, inputs) * torch.tensor([1e-3, 1.0, 3.0, 10.0])[:, None, None]
    x[1, 2] = 0.0
    exact, tolerance = naive(linear, x, precision)
    with torch.inference_mode():
        found = converted(linear, precision, x)(x)
    assert found.dtype == torch.float32
    assert bool(((found - exact).abs() <= tolerance + 1e-6).all())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_rows_do_not_depend_on_their_number(precision: str) -> None:
    x = torch.randn(257, 384)
    with torch.inference_mode():
        linear = converted(layer(384, 1536, True), precision, x)
        whole = linear(x)
        if linear.weight is not None:
            pytest.skip("this torch has no packed products of oneDNN")
        for height in (1, 2, 3, 5, 16, 64, 100, 256):
            assert torch.equal(torch.cat([linear(part) for part in x.split(height)]), whole)


class Reader(nn.Module):
    """Uses a layer's weight beside the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = layer(8, 8, True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) + x @ self.linear.weight.T


class TestConvert:
    @pytest.mark.parametrize("precision", PRECISIONS)
    def test_weights_that_something_else_reads_stay(self, precision: str) -> None:
        x, reader = torch.randn(5, 8), Reader()
        before = reader(x).detach()
        with torch.inference_mode():
            after = converted(reader, precision, x)(x)
        assert torch.allclose(before, after, atol=0.1)
        assert reader.linear.weight is not None

    def test_weights_that_nothing_reads_are_freed(self) -> None:
        model = converted(nn.Sequential(layer(8, 16, True), nn.GELU(), layer(16, 3, True)), "int8", torch.randn(2, 8))
        assert [name for name, _ in model.named_parameters()] == ["0.bias", "2.bias"]

    def test_subclasses_are_left_alone(self) -> None:
        attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
        x = torch.randn(2, 3, 8)
        before = attention(x, x, x)[0].detach()
        with torch.inference_mode():
            convert(attention, "int8", lambda: attention(x, x, x))
            assert torch.equal(attention(x, x, x)[0], before)


class TestResolve:
    def test_auto_is_what_the_processor_multiplies(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
        assert resolve("auto", "cpu") == "float32"
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
        assert resolve("auto", "cpu") == "bfloat16"
        monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
        assert resolve("auto", "cpu") == "float32"

    def test_on_a_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for capability, expected in (((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")):
            monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, answer=capability: answer)
            assert resolve("auto", "cuda") == expected
        assert resolve("float32", "cuda") == "float32"

    def test_refusals(self) -> None:
        with pytest.raises(ArgumentError, match="precision='half'; allowed: auto, float32, bfloat16, int8"):
            resolve("half", "cpu")
        with pytest.raises(ArgumentError, match="precision='int8' on cuda"):
            resolve("int8", "cuda")
