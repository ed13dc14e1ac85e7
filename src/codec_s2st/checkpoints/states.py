"""States of models, optimizers, trainers and readers as tensors and JSON, of which nothing can be run.

A state is a tree of mappings, sequences, numbers, texts and tensors. In JSON, a container is an object of one key that
says which kind it is; so tuples stay tuples, and keys of mappings keep their type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeAlias

from fairseq2.typing import Stateful
from torch import Size, Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard

Json: TypeAlias = Any


class StateError(ValueError):
    """A state holds what cannot be stored, or a stored one is none."""


class FlatState(NamedTuple):
    """A state in two parts."""

    tree: Json
    """The state, with names in the place of tensors."""

    tensors: dict[str, Tensor]
    """By name, which is the path in the state; of a sharded tensor, the rank's own part."""


def flatten_state(state: Mapping[Any, object]) -> FlatState:
    """
    :raises StateError: ``state`` holds something else than containers, numbers, texts and tensors.
    """
    tensors: dict[str, Tensor] = {}

    def flatten(value: object, path: str) -> Json:
        match value:
            case None | bool() | str():
                return value
            case Tensor():
                if path in tensors:
                    raise StateError(f"two tensors of a state are called `{path}`")

                tensors[path] = value.to_local() if isinstance(value, DTensor) else value

                return {"tensor": path} | _describe_parts(value)
            case Integral():
                return int(value)
            case Real():
                return float(value)
            case Mapping():
                return {"dict": [[flatten(k, f"{path}/{k}"), flatten(v, _join(path, k))] for k, v in value.items()]}
            case tuple():
                return {"tuple": [flatten(item, _join(path, idx)) for idx, item in enumerate(value)]}
            case list():
                return {"list": [flatten(item, _join(path, idx)) for idx, item in enumerate(value)]}

        raise StateError(f"`{path}` of a state is of type {type(value).__name__}, which is not stored")

    return FlatState(flatten(state, ""), tensors)


def _join(path: str, key: object) -> str:
    return f"{path}/{key}" if path else str(key)


def _describe_parts(tensor: Tensor) -> dict[str, Json]:
    """Returns what a rank's part of a tensor does not tell of the whole; nothing for tensors that are whole."""
    if not isinstance(tensor, DTensor):
        return {}

    placements: list[int | None] = []

    for placement in tensor.placements:
        if isinstance(placement, Shard):
            placements.append(placement.dim)
        elif placement.is_replicate():
            placements.append(None)
        else:
            raise StateError(f"a tensor is spread as {placement}, which is not stored")

    return {"placements": placements, "shape": list(tensor.shape), "stride": list(tensor.stride())}


def restore_state(tree: Json, read: Callable[[str], Tensor], *, mesh: DeviceMesh | None = None) -> Any:
    """Returns the state that :func:`flatten_state` has taken apart.

    :param read: Returns the tensor of a name.
    :param mesh: The ranks that sharded tensors are spread over.

    :raises StateError: ``tree`` is not of the form, or holds sharded tensors and there is no mesh.
    """

    def restore(value: Json) -> object:
        match value:
            case None | bool() | str() | int() | float():
                return value
            case {"tensor": str(name), "placements": [*placements], "shape": [*shape], "stride": [*stride]}:
                if mesh is None:
                    raise StateError(f"`{name}` is spread over ranks, but the run is not")

                local = read(name).to(mesh.device_type)

                kinds: list[Placement] = [Replicate() if dim is None else Shard(dim) for dim in placements]

                return DTensor.from_local(local, mesh, kinds, run_check=False, shape=Size(shape), stride=tuple(stride))
            case {"tensor": str(name)} if len(value) == 1:
                return read(name)
            case {"dict": [*items]} if len(value) == 1:
                return {restore(key): restore(item) for key, item in items}
            case {"tuple": [*items]} if len(value) == 1:
                return tuple(restore(item) for item in items)
            case {"list": [*items]} if len(value) == 1:
                return [restore(item) for item in items]

        raise StateError("it holds what is none of a state's values")

    try:
        return restore(tree)
    except StateError:
        raise
    except (KeyError, TypeError, ValueError, RecursionError) as ex:
        raise StateError(f"its parts do not fit together: {ex}") from ex


def mesh_of(optimizer: Stateful) -> DeviceMesh | None:
    """Returns the ranks that the state of an optimizer is spread over; ``None`` if it is not spread."""
    for group in getattr(optimizer, "param_groups", ()):
        for parameter in group["params"]:
            if isinstance(parameter, DTensor):
                mesh: DeviceMesh = parameter.device_mesh

                return mesh

    return None
