"""The products of generation. Legend: N row, I width of the input, O width of the output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, final

import torch
from torch import Tensor
from torch.nn import Parameter
from typing_extensions import override

from codec_s2st.errors import UserInputError

_INT8_STEPS: Final = 63
"""Inputs have 7 bits: on CPUs without VNNI, the sum of two products of 8 bits would not fit into 16."""


class Matrix(ABC):
    """A weight that rows are multiplied with."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """
        :param x: *Shape:* [N, I].

        :returns: *Shape:* [N, O].
        """

    @abstractmethod
    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """Returns ``residual`` [N, O] and the product of ``x`` [N, I]."""


MatrixMaker: TypeAlias = Callable[[Tensor, "Tensor | None"], Matrix]
"""Makes one of a weight [O, I] and a bias [O]."""


@final
class DenseMatrix(Matrix):
    """The weight as it is."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._weight = weight.t()
        self._bias = bias

    @override
    def __call__(self, x: Tensor) -> Tensor:
        return torch.mm(x, self._weight) if self._bias is None else torch.addmm(self._bias, x, self._weight)

    @override
    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        output = torch.addmm(residual, x, self._weight)

        return output if self._bias is None else output + self._bias


@final
class Int8Matrix(Matrix):
    """The weight with 8 bits, each output in units of its own; the inputs with 7 bits, each row in units of its own.

    So a row's output does not depend on the other rows, as it does where one unit serves the whole input.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """
        :raises UserInputError: it is not on a CPU, or torch has no integer products for this one.
        """
        check_int8(weight.device)

        scales = weight.float().abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny).double() / 127

        zero_points = torch.zeros(len(scales), dtype=torch.int64)

        quantized = torch.quantize_per_channel(weight.float().contiguous(), scales, zero_points, 0, torch.qint8)

        ops: Any = torch.ops.quantized

        self._packed = ops.linear_prepack(quantized, None)
        self._product = ops.linear_with_input_q_dq_qweight_dq_output_fp32
        self._bias = bias

    def _scaled(self, x: Tensor) -> tuple[Tensor, Tensor]:
        units = torch.linalg.vector_norm(x, ord=torch.inf, dim=-1, keepdim=True).clamp_(min=1e-30)

        return self._product(x / units, 1.0 / _INT8_STEPS, _INT8_STEPS + 1, self._packed), units

    @override
    def __call__(self, x: Tensor) -> Tensor:
        output, units = self._scaled(x)

        return output.mul_(units) if self._bias is None else torch.addcmul(self._bias, output, units)

    @override
    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        output, units = self._scaled(x)

        output = torch.addcmul(residual, output, units)

        return output if self._bias is None else output.add_(self._bias)


def check_int8(device: torch.device) -> None:
    """
    :raises UserInputError: ``device`` has no integer products that we know.
    """
    if device.type != "cpu":
        raise UserInputError(
            f"`quantize: int8` is for CPUs, but the model is on {device}", hint="leave it out; or --device cpu"
        )

    if "fbgemm" not in torch.backends.quantized.supported_engines:
        raise UserInputError("`quantize: int8` needs torch's fbgemm, which this CPU has not", hint="leave it out")

    # Packing follows it.
    if torch.backends.quantized.engine not in ("fbgemm", "x86"):
        torch.backends.quantized.engine = "fbgemm"


def lay_out(rows: Sequence[Tensor]) -> Tensor:
    """Returns several weights in one, laid out as products are fastest.

    On CPUs, a column is the smaller stride: a row times such a matrix took a quarter to two thirds of the time.

    :param rows: *Shape:* [O_i, I] each, or biases, [O_i].

    :returns: *Shape:* [sum of O_i, I]; a new tensor.
    """
    if rows[0].dim() == 1 or rows[0].device.type != "cpu":
        return torch.cat(list(rows))

    # Copied into place: `cat` would copy the rows once more where there is but one of them.
    output = torch.empty((rows[0].size(1), sum(len(part) for part in rows)), dtype=rows[0].dtype, device="cpu").t()

    for part, place in zip(rows, output.split([len(part) for part in rows]), strict=True):
        place.copy_(part)

    return output


def join_parameters(parameters: Sequence[Parameter]) -> Tensor:
    """Returns several parameters in one tensor, laid out for products, of which they are views from then on.

    So a fused product costs no second memory.

    :param parameters: *Shape:* [O_i, ..] each.

    :returns: *Shape:* [sum of O_i, ..].
    """
    # Training may come after inference, but for a model that was made in that mode.
    with torch.inference_mode(parameters[0].is_inference()), torch.no_grad():
        joined = _joined_before(parameters)

        if joined is None:
            joined = lay_out([parameter.detach() for parameter in parameters])

            for parameter, rows in zip(parameters, joined.split([len(it) for it in parameters]), strict=True):
                parameter.data = rows

    return joined


def _joined_before(parameters: Sequence[Parameter]) -> Tensor | None:
    """Returns the tensor that the parameters are views of, one after the other, if they are."""
    first = parameters[0]

    num_rows = sum(len(parameter) for parameter in parameters)

    wanted = (1, num_rows) if first.dim() == 2 and first.device.type == "cpu" else None

    end = first.storage_offset()

    for parameter in parameters:
        if parameter.untyped_storage().data_ptr() != first.untyped_storage().data_ptr():
            return None

        if parameter.storage_offset() != end or (wanted or first.stride()) != parameter.stride():
            return None

        end += len(parameter) * parameter.stride(0)

    return first.detach().as_strided((num_rows, *first.shape[1:]), first.stride())
