"""Every CUDA kernel, with the types that the public functions launch it with, compiles for the GPUs we name."""

import importlib
import re
from types import SimpleNamespace

import calls
import numpy as np
import pytest
from cuda.bindings import nvjitlink
from numba import cuda, from_dtype, types
from numba.cuda import dispatcher

from benchmarks.works import narrow as narrow_kernels

ARCHITECTURES = [(8, 0), (9, 0)]

REGISTERS, MANY_REGISTERS = 96, {"_rebuild_cuda": 128, "_spoofing_cuda": 128, "_pattern_cuda": 128, "_events_cuda": 144}
"""How many a kernel may take. More for those whose threads are segments: they are too few to crowd each other out."""


def numba_type(name: str) -> types.Type:
    if ":" not in name:
        return {"bool": types.boolean, "int64": types.int64, "float64": types.float64}[name]
    dtype, dimensions = name.split(":")
    return types.Array(from_dtype(np.dtype(dtype)), int(dimensions), "C")


def assemble(ptx: str, architecture: str) -> str:
    """What the assembler says of the PTX: registers, shared memory, spills."""
    handle = nvjitlink.create(2, [f"-arch={architecture}", "-Xptxas=-v"])
    try:
        nvjitlink.add_data(handle, nvjitlink.InputType.PTX, ptx.encode(), len(ptx), "kernel")
        nvjitlink.complete(handle)
        log = bytearray(nvjitlink.get_info_log_size(handle))
        nvjitlink.get_info_log(handle, log)
    finally:
        nvjitlink.destroy(handle)
    return log.decode()


@pytest.fixture(params=ARCHITECTURES, ids=["sm_80", "sm_90"])
def capability(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    # a body called by a kernel is compiled for "the current device", which is not there
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: SimpleNamespace(compute_capability=request.param))
    return request.param


def test_kernels_compile_without_spills(capability: tuple[int, int], simulated: dict) -> None:
    architecture = "sm_{}{}".format(*capability)
    compiled, narrow = set(), narrow_kernels()
    for module, name, arguments in simulated["launches"]:
        kernel = getattr(importlib.import_module(module), name)
        signature = tuple(numba_type(argument) for argument in arguments)
        ptx, _ = cuda.compile_ptx(kernel.py_func, signature, cc=capability)
        assert f".target {architecture}" in ptx, name
        log = assemble(ptx, architecture)
        allowed = MANY_REGISTERS.get(name, REGISTERS)
        assert int(re.search(r"Used (\d+) registers", log)[1]) <= allowed, f"{name}: {log}"
        assert re.search(r"\b0 bytes spill stores, 0 bytes spill loads", log), f"{name}: {log}"
        if name in narrow and not any(argument.startswith("float64") for argument in arguments):
            assert ".f64" not in ptx, f"{name} of float32 widens to float64"
        compiled.add((module, name))
    assert compiled == calls.cuda_kernels()
