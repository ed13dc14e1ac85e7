"""Loads a Hugging Face folder tensor by tensor, so that it is never in memory beside the model that it is read into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import final

from fairseq2.gang import GangContext
from fairseq2.model_checkpoint import ModelCheckpointLoader, ModelCheckpointLoadOptions, reshard_tensor
from torch import Tensor
from typing_extensions import override

from codec_s2st.lazy_tensors import LazyTensor
from codec_s2st.models.codec_lm.text_llm import CONFIG_FILE
from codec_s2st.models.codec_lm.warm_start import convert_codec_lm_state_dict
from codec_s2st.tensor_files import INDEX_FILE, read_headers


def lazy_checkpoint_path(folder: Path) -> Path:
    """Returns the path under which fairseq2 loads the safetensors files of ``folder`` with this module.

    fairseq2's own loader, which comes first, takes such folders and reads all that is in them before it goes on. It
    does not take a file of JSON; so ``config.json`` or the index of the files stands for the folder.
    """
    for name in (CONFIG_FILE, INDEX_FILE):
        if folder.joinpath(name).is_file():
            return folder / name

    return folder


@final
class LazyCheckpointLoader(ModelCheckpointLoader):
    """Reads the tensors of a folder of safetensors one by one."""

    def __init__(self, gang_context: GangContext) -> None:
        self._gang_context = gang_context

    @override
    def lazy_load(
        self, path: Path, shard_dims: Mapping[str, int], options: ModelCheckpointLoadOptions | None = None
    ) -> Iterator[tuple[str, Tensor]]:
        """
        :raises UserInputError: a file is missing or corrupt, or does not hold what the model wants.
        """
        options = options or ModelCheckpointLoadOptions()

        state: dict[str, object] = dict(read_headers(path.parent))

        converter = options.state_dict_converter

        if converter is not None:
            # The converters of other families want tensors.
            if not isinstance(converter, partial) or converter.func is not convert_codec_lm_state_dict:
                state = {key: _read(value) for key, value in state.items()}

            state = converter(state)

        gangs = options.gangs or self._gang_context.get_current_gangs()

        sizes, ranks = (gangs.tp.size, gangs.sdp.size), (gangs.tp.rank, gangs.sdp.rank)

        for key, value in state.items():
            yield key, reshard_tensor(key, [[_read(value)]], (1, 1), sizes, ranks, shard_dims)

    @override
    def supports_path(self, path: Path) -> bool:
        return path.name in (CONFIG_FILE, INDEX_FILE) and path.is_file()


def _read(value: object) -> Tensor:
    if isinstance(value, LazyTensor):
        return value.read()

    assert isinstance(value, Tensor)

    return value
