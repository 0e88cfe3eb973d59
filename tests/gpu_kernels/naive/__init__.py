"""Slow and obvious references of every kernel, from the definitions: one row at a time, no code of gpu_kernels.

One module per kernel module (`book_best` for `gpu_kernels.book.best`); each function has the signature of the public
function that it stands for.
"""

import importlib


def reference(function):
    """The naive function that stands for a public function of `gpu_kernels`."""
    module = function.__module__.removeprefix("gpu_kernels.").replace(".", "_")
    return getattr(importlib.import_module(f"naive.{module}"), function.__name__)
