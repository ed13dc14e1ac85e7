"""Loads safetensors tensor by tensor, so that they are never in memory beside the model that they are read into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final, final

from fairseq2.gang import GangContext
from fairseq2.model_checkpoint import ModelCheckpointLoader, ModelCheckpointLoadOptions, reshard_tensor
from torch import Tensor
from typing_extensions import override

from codec_s2st.lazy_tensors import LazyTensor
from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.models.codec_lm.lazy_parameters import UnreadTensor
from codec_s2st.models.codec_lm.text_llm import CONFIG_FILE
from codec_s2st.models.codec_lm.warm_start import convert_codec_lm_state_dict
from codec_s2st.tensor_files import INDEX_FILE, StoredTensor, has_tensors, read_headers

_FOLDER_NAMES: Final = (CONFIG_FILE, INDEX_FILE)


def lazy_checkpoint_path(folder: Path) -> Path:
    """Returns the path under which fairseq2 loads the safetensors files of ``folder`` with this module.

    For our own family, that could be the folder. For others, fairseq2's own loader comes first, which takes such a
    folder and reads all that is in it before it goes on. It does not take a file of JSON; so ``config.json`` or the
    index of the files stands for the folder.
    """
    for name in _FOLDER_NAMES:
        if folder.joinpath(name).is_file():
            return folder / name

    return folder


def read_tensors(path: Path, config: CodecLMConfig) -> dict[str, LazyTensor]:
    """Returns the tensors of a codec_lm model, not read yet, from its own safetensors or from those of a textual LLM.

    :param path: What :meth:`LazyCheckpointLoader.supports_path`.

    :raises UserInputError: a file is missing or corrupt, or does not hold what the model wants.
    """
    state = convert_codec_lm_state_dict(dict(_read_headers(path)), config)

    return {key: value for key, value in state.items() if isinstance(value, LazyTensor)}


def _read_headers(path: Path) -> dict[str, StoredTensor]:
    return read_headers(path.parent if path.name in _FOLDER_NAMES else path)


@final
class LazyCheckpointLoader(ModelCheckpointLoader):
    """Hands out the tensors of safetensors files unread, where fairseq2 loads them: each is read when it is copied
    into its parameter.

    With ``mmap``, parameters whose type is that of the file are the mapped file.
    """

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

        state: dict[str, object] = dict(_read_headers(path))

        converter = options.state_dict_converter

        if converter is not None:
            # The converters of other families want tensors.
            if not isinstance(converter, partial) or converter.func is not convert_codec_lm_state_dict:
                state = {key: value.read() if isinstance(value, LazyTensor) else value for key, value in state.items()}

            state = converter(state)

        gangs = options.gangs or self._gang_context.get_current_gangs()

        sizes, ranks = (gangs.tp.size, gangs.sdp.size), (gangs.tp.rank, gangs.sdp.rank)

        for key, value in state.items():
            tensor = UnreadTensor.of(value, maps=options.mmap) if isinstance(value, LazyTensor) else value

            assert isinstance(tensor, Tensor)

            yield key, reshard_tensor(key, [[tensor]], (1, 1), sizes, ranks, shard_dims)

    @override
    def supports_path(self, path: Path) -> bool:
        return path.is_file() if path.name in _FOLDER_NAMES else has_tensors(path)


@final
class CodecLMCheckpointLoader(ModelCheckpointLoader):
    """Loads safetensors as :class:`LazyCheckpointLoader` does, and everything else as fairseq2 does."""

    def __init__(self, lazy_loader: LazyCheckpointLoader, other_loader: ModelCheckpointLoader) -> None:
        self._lazy_loader = lazy_loader
        self._other_loader = other_loader

    @override
    def lazy_load(
        self, path: Path, shard_dims: Mapping[str, int], options: ModelCheckpointLoadOptions | None = None
    ) -> Iterator[tuple[str, Tensor]]:
        loader = self._lazy_loader if self._lazy_loader.supports_path(path) else self._other_loader

        return loader.lazy_load(path, shard_dims, options)

    @override
    def supports_path(self, path: Path) -> bool:
        return self._lazy_loader.supports_path(path) or self._other_loader.supports_path(path)
