"""The model family codec_lm: a decoder-only, multi-stream speech-text language model."""

from __future__ import annotations

from fairseq2.runtime.dependency import DependencyContainer, DependencyResolver


def register(container: DependencyContainer) -> None:
    """Registers the family and its architectures."""
    from fairseq2.model_checkpoint import ModelCheckpointLoader
    from fairseq2.models import ModelFamily, StandardModelFamily
    from fairseq2.models.utils.ac import apply_layerwise_ac
    from fairseq2.runtime.dependency import DependencyLookup, wire_object

    from codec_s2st.models.codec_lm.adapted import AdaptedCheckpointLoader
    from codec_s2st.models.codec_lm.archs import register_codec_lm_configs
    from codec_s2st.models.codec_lm.backbones.positions import prepare_whole_tables
    from codec_s2st.models.codec_lm.config import CODEC_LM_FAMILY, CodecLMConfig
    from codec_s2st.models.codec_lm.factory import create_codec_lm
    from codec_s2st.models.codec_lm.family import CodecLMFamily
    from codec_s2st.models.codec_lm.fsdp import apply_fsdp_to_codec_lm
    from codec_s2st.models.codec_lm.loader import CodecLMCheckpointLoader, LazyCheckpointLoader
    from codec_s2st.models.codec_lm.model import CodecLM
    from codec_s2st.models.codec_lm.warm_start import convert_codec_lm_state_dict

    def compile_model(model: CodecLM, *args: object, **kwargs: object) -> None:
        model.decoder.register_forward_pre_hook(prepare_whole_tables)

        model.decoder.compile_layerwise(*args, **kwargs)

    def apply_ac(model: CodecLM, every_nth_layer: int) -> CodecLM:
        apply_layerwise_ac(model.decoder.layers, every_nth_layer)

        return model

    def create_family(resolver: DependencyResolver) -> ModelFamily:
        # As fairseq2's `register_model_family` does it, which takes no loader: of all loaders, its own would read
        # safetensors, as a whole.
        standard = wire_object(
            resolver,
            StandardModelFamily,
            name=CODEC_LM_FAMILY,
            kls=CodecLM,
            configs=DependencyLookup(resolver, CodecLMConfig),
            factory=create_codec_lm,
            checkpoint_loader=wire_object(resolver, CodecLMCheckpointLoader),
            supports_meta=True,
            restrict=True,
            state_dict_converter=convert_codec_lm_state_dict,
            shard_specs=None,
            compiler=compile_model,
            fsdp_applier=apply_fsdp_to_codec_lm,
            layerwise_ac_applier=apply_ac,
        )

        return wire_object(resolver, CodecLMFamily, standard=standard)

    container.register(ModelFamily, create_family, key=CODEC_LM_FAMILY)

    register_codec_lm_configs(container)

    container.register_type(LazyCheckpointLoader)

    # For checkpoints of other families, which are read with ours.
    container.collection.register_type(ModelCheckpointLoader, LazyCheckpointLoader)
    container.collection.register_type(ModelCheckpointLoader, AdaptedCheckpointLoader)
