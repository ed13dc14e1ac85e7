"""Gives a model that was built on the meta device its parameters from tensors that are not read yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from fairseq2.nn.utils.module import reset_non_persistent_buffers
from fairseq2.utils.progress import ProgressTask
from torch import Tensor
from torch.nn import Module, Parameter

from codec_s2st.lazy_tensors import LazyTensor
from codec_s2st.tensor_files import ALIGNMENT

_ALIGNMENTS: Final = {torch.float32: ALIGNMENT, torch.float64: ALIGNMENT}
"""Where in a file tensors must stand to be mapped unasked. Products with one row differed in their last bits in
float32, as measured, where a matrix stood at no multiple of 16 bytes; in types of 16 bits they did not."""


def fits(model: Module, tensors: Mapping[str, LazyTensor]) -> bool:
    """Whether ``tensors`` are all that ``model`` wants, by names and shapes."""
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}

    return shapes == {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def give_parameters(
    model: Module, tensors: Mapping[str, LazyTensor], task: ProgressTask, *, maps_anywhere: bool
) -> None:
    """Gives ``model`` its parameters, and the buffers that it computes itself, in memory of the CPU.

    A parameter of the tensor's type is the mapped file, where there is one; any other is read into memory of its own.

    :param model: On the meta device.
    :param tensors: What ``fits`` the model.
    :param maps_anywhere: Map tensors wherever they stand in their file, even if rounding depends on it.
    """
    modules = dict(model.named_modules())

    for name, parameter in list(model.named_parameters()):
        module_name, _, leaf = name.rpartition(".")

        data = _load(tensors[name], parameter.dtype, maps_anywhere)

        modules[module_name].register_parameter(leaf, Parameter(data, parameter.requires_grad))

        task.step()

    modules_with_buffers = set()

    for name, buffer in list(model.named_buffers()):
        module_name, _, leaf = name.rpartition(".")

        module = modules[module_name]

        setattr(module, leaf, torch.empty_like(buffer, device="cpu"))

        modules_with_buffers.add(module)

    for module in modules_with_buffers:
        reset_non_persistent_buffers(module, recurse=False)


def _load(tensor: LazyTensor, dtype: torch.dtype, maps_anywhere: bool) -> Tensor:
    if tensor.dtype == dtype:
        mapped = tensor.map(alignment=1 if maps_anywhere else _ALIGNMENTS.get(dtype, 1))

        if mapped is not None:
            return mapped

    memory = torch.empty(tensor.shape, dtype=dtype)

    tensor.read_into(memory)

    return memory
