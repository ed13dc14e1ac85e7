"""Checkpoints of a training that had adapters or cut tables: everybody else reads an ordinary model from them.

Such a run says in ``adapters.json``, beside its checkpoints, what they hold beyond the model that ``model.yaml``
describes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final, final

from fairseq2.device import CPU
from fairseq2.gang import GangContext, create_fake_gangs
from fairseq2.model_checkpoint import ModelCheckpointLoader, ModelCheckpointLoadOptions, reshard_tensor
from fairseq2.runtime.dependency import DependencyResolver
from torch import Tensor
from typing_extensions import override

from codec_s2st.checkpoints.manifest import MANIFEST_FILE
from codec_s2st.errors import UserInputError
from codec_s2st.models.codec_lm.lora import merge_lora
from codec_s2st.models.codec_lm.text_rows import join_tables

_FILE: Final = "adapters.json"


@final
@dataclass(frozen=True, kw_only=True)
class Adapters:
    """What the checkpoints of a run hold beyond an ordinary model."""

    lora_rank: int | None = None
    """The rank of the updates; ``None`` if there are none."""

    lora_alpha: float | None = None

    lora_targets: tuple[str, ...] = ()
    """The projections that have an update."""

    cuts_text_rows: bool = False
    """The text's rows of embedding and head are parameters of their own."""

    @staticmethod
    def read(checkpoints: Path) -> Adapters:
        """Returns what the folder of a run's checkpoints says, which is nothing for an ordinary model.

        :raises UserInputError: it cannot be understood.
        """
        file = checkpoints / _FILE

        if not file.is_file():
            return Adapters()

        try:
            values = json.loads(file.read_text(encoding="utf-8"))

            known = {field.name for field in fields(Adapters)}

            if not isinstance(values, dict) or values.keys() != known:
                raise ValueError(f"its keys must be {', '.join(sorted(known))}")

            return Adapters(**{**values, "lora_targets": tuple(values["lora_targets"])})
        except (TypeError, ValueError) as ex:
            raise UserInputError(f"{file} cannot be read: {ex}") from ex

    def write(self, checkpoints: Path) -> None:
        """Says it in the folder of a run's checkpoints."""
        file = checkpoints / _FILE

        if self == Adapters():
            file.unlink(missing_ok=True)

            return

        checkpoints.mkdir(parents=True, exist_ok=True)

        temporary = file.with_suffix(".tmp")

        temporary.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

        temporary.rename(file)

    def merge(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the state of an ordinary model that computes the same.

        :param state: The whole state of the model that was trained, by name.
        """
        state = join_tables(state)

        if self.lora_rank is None or self.lora_alpha is None:
            return state

        return merge_lora(state, self.lora_alpha / self.lora_rank)


def trained_checkpoint_path(checkpoints: Path, step_nr: int) -> Path:
    """Returns the path under which fairseq2 loads the model of a checkpoint.

    :param checkpoints: The folder of a run's checkpoints.
    """
    checkpoint = checkpoints / f"step_{step_nr}"

    # The folder of the model is what the training itself goes on with.
    return checkpoint / (MANIFEST_FILE if checkpoints.joinpath(_FILE).is_file() else "model")


@final
class AdaptedCheckpointLoader(ModelCheckpointLoader):
    """Merges the adapters of a run into its model."""

    def __init__(self, resolver: DependencyResolver, gang_context: GangContext) -> None:
        self._resolver = resolver
        self._gang_context = gang_context

    @override
    def lazy_load(
        self, path: Path, shard_dims: Mapping[str, int], options: ModelCheckpointLoadOptions | None = None
    ) -> Iterator[tuple[str, Tensor]]:
        options = options or ModelCheckpointLoadOptions()

        # Whole tensors, since the parts of an update do not make the part of a sum.
        whole = ModelCheckpointLoadOptions(
            gangs=create_fake_gangs(CPU), mmap=options.mmap, restrict=options.restrict, state_dict_converter=None
        )

        # It holds this loader too, and so cannot be asked for earlier.
        loader = self._resolver.resolve(ModelCheckpointLoader)

        state = dict(loader.lazy_load(path.with_name("model"), {}, whole))

        merged = Adapters.read(_checkpoints_of(path)).merge(state)

        gangs = options.gangs or self._gang_context.get_current_gangs()

        sizes, ranks = (gangs.tp.size, gangs.sdp.size), (gangs.tp.rank, gangs.sdp.rank)

        for key, value in merged.items():
            yield key, reshard_tensor(key, [[value]], (1, 1), sizes, ranks, shard_dims)

    @override
    def supports_path(self, path: Path) -> bool:
        return path.name == MANIFEST_FILE and _checkpoints_of(path).joinpath(_FILE).is_file()


def _checkpoints_of(path: Path) -> Path:
    return path.parents[1]
