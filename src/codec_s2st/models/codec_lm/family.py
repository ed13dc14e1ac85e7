"""The model family: fairseq2's, but for the loading of safetensors into memory of the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

from fairseq2.assets import AssetCard
from fairseq2.data_type import DataType
from fairseq2.gang import Gangs
from fairseq2.models import ModelFamily
from fairseq2.nn.fsdp import FSDPWrapper
from fairseq2.nn.utils.module import broadcast_module, reset_non_persistent_buffers
from fairseq2.utils.progress import ProgressReporter
from torch import Tensor
from torch.nn import Module
from typing_extensions import override

from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.models.codec_lm.loader import LazyCheckpointLoader, read_tensors
from codec_s2st.models.codec_lm.parameters import fits, give_parameters


@final
class CodecLMFamily(ModelFamily):
    """Lets parameters be mapped files.

    fairseq2 allocates all parameters, copies tensors into them, and goes through the modules five times. Here, a
    parameter is made once, when its tensor is at hand. Whatever is not a folder or file of safetensors, for one process
    or data parallelism on CPUs, is loaded as fairseq2 does it.
    """

    def __init__(
        self, standard: ModelFamily, loader: LazyCheckpointLoader, progress_reporter: ProgressReporter
    ) -> None:
        """
        :param standard: Does everything else.
        """
        self._standard = standard
        self._loader = loader
        self._progress_reporter = progress_reporter

    @override
    def load_custom_model(
        self,
        path: Path,
        config: object,
        gangs: Gangs,
        dtype: DataType,
        load_rank0_only: bool,
        mmap: bool,
        restrict: bool | None,
    ) -> Module:
        """
        :param mmap: Map tensors wherever they stand in their file, even if rounding depends on it.

        :raises UserInputError: a file is missing or corrupt, or does not hold what the model wants.
        """

        def load_as_standard() -> Module:
            return self._standard.load_custom_model(path, config, gangs, dtype, load_rank0_only, mmap, restrict)

        is_plain = gangs.root.device.type == "cpu" and gangs.tp.size == 1 and isinstance(config, CodecLMConfig)

        if not is_plain or not self._loader.supports_path(path):
            return load_as_standard()

        assert isinstance(config, CodecLMConfig)

        model = self._standard.create_new_model(config, gangs, dtype, meta=True, init_rank0_only=False)

        if gangs.dp.rank == 0:
            tensors = read_tensors(path, config)

            if not fits(model, tensors):
                # It says what is wrong.
                return load_as_standard()

            with self._progress_reporter:
                with self._progress_reporter.create_task(name="parameter load", total=len(tensors)) as task:
                    give_parameters(model, tensors, task, maps_anywhere=mmap)

        gangs.root.barrier()

        if not load_rank0_only and gangs.dp.size > 1:
            broadcast_module(model, gangs.dp)

            if gangs.dp.rank != 0:
                reset_non_persistent_buffers(model)

            gangs.root.barrier()

        return model

    @override
    def get_archs(self) -> set[str]:
        return self._standard.get_archs()

    @override
    def maybe_get_arch_config(self, arch: str) -> object | None:
        return self._standard.maybe_get_arch_config(arch)

    @override
    def get_model_config(self, card: AssetCard) -> object:
        return self._standard.get_model_config(card)

    @override
    def create_new_model(
        self, config: object, gangs: Gangs, dtype: DataType, meta: bool, init_rank0_only: bool
    ) -> Module:
        return self._standard.create_new_model(config, gangs, dtype, meta, init_rank0_only)

    @override
    def load_model(
        self,
        card: AssetCard,
        gangs: Gangs,
        dtype: DataType,
        config: object | None,
        load_rank0_only: bool,
        mmap: bool,
    ) -> Module:
        return self._standard.load_model(card, gangs, dtype, config, load_rank0_only, mmap)

    @override
    def iter_checkpoint(
        self, path: Path, config: object, gangs: Gangs, mmap: bool, restrict: bool | None
    ) -> Iterator[tuple[str, Tensor]]:
        return self._standard.iter_checkpoint(path, config, gangs, mmap, restrict)

    @override
    def compile(self, model: Module, *args: Any, **kwargs: Any) -> None:
        self._standard.compile(model, *args, **kwargs)

    @override
    def apply_fsdp(self, model: Module, granularity: str, wrapper: FSDPWrapper) -> Module:
        return self._standard.apply_fsdp(model, granularity, wrapper)

    @override
    def apply_layerwise_ac(self, model: Module, every_nth_layer: int) -> Module:
        return self._standard.apply_layerwise_ac(model, every_nth_layer)

    @property
    @override
    def name(self) -> str:
        return self._standard.name

    @property
    @override
    def kls(self) -> type[Module]:
        return self._standard.kls

    @property
    @override
    def config_kls(self) -> type[object]:
        return self._standard.config_kls

    @property
    @override
    def supports_meta(self) -> bool:
        return self._standard.supports_meta

    @property
    @override
    def supports_model_parallelism(self) -> bool:
        return self._standard.supports_model_parallelism

    @property
    @override
    def supports_compilation(self) -> bool:
        return self._standard.supports_compilation

    @property
    @override
    def supports_fsdp(self) -> bool:
        return self._standard.supports_fsdp

    @property
    @override
    def supports_layerwise_ac(self) -> bool:
        return self._standard.supports_layerwise_ac
