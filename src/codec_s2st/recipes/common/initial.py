"""Where a run's weights come from: nothing, a card, an earlier run, or a Hugging Face folder of a textual LLM."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fairseq2.assets import AssetCard, AssetDownloadManager, AssetStore
from fairseq2.models import ModelFamily
from fairseq2.models.qwen import QWEN_FAMILY, QwenConfig
from fairseq2.recipe.config import ModelSection
from fairseq2.runtime.dependency import get_dependency_resolver

from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.models.codec_lm.config import CODEC_LM_FAMILY, CodecLMConfig
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.share import card_name

_SUPPORTED_HG_TYPES: Final = ("qwen2",)

_ONLY: Final = (("rms_norm_eps", 1e-6), ("hidden_act", "silu"), ("rope_scaling", None), ("use_sliding_window", False))
"""What QwenFactory computes with, whatever a config.json says."""


@dataclass(frozen=True)
class InitialModel:
    """The architecture and the weights that a run starts from."""

    decoder: QwenConfig

    path: Path | None = None
    """The checkpoint; ``None`` for random weights."""

    name: str | None = None
    """The card, where the weights come from one."""

    vocabulary: str = ""
    """The fingerprint of the rows, where the weights are of a codec_lm model."""

    config: CodecLMConfig = field(default_factory=CodecLMConfig)


def find_initial_model(init: str | None, section: ModelSection) -> InitialModel:
    """Returns what ``init`` names: a card, the folder of a run, or a folder in Hugging Face's layout.

    :param section: The recipe's model section, which names the architecture where ``init`` is ``None``.

    :raises UserInputError: it is none of these.
    """
    if init is None:
        return _from_section(section)

    path = Path(init).expanduser()

    if path.is_dir():
        if path.joinpath("config.json").is_file():
            return from_hugging_face(path)

        if path.joinpath("checkpoints", "model.yaml").is_file():
            return _from_run(path)

        raise UserInputError(
            f"folder '{init}' is neither a run (checkpoints/model.yaml) nor a Hugging Face model (config.json)"
        )

    if path.is_file():
        raise UserInputError(f"'{init}' to start from is a file, but must be a card's name or a folder")

    if "/" in init:
        raise UserInputError(f"'{init}' to start from does not exist")

    return _from_card(init)


def _from_section(section: ModelSection) -> InitialModel:
    hub = get_codec_lm_hub()

    if section.name is not None:
        return _from_card(section.name)

    if section.path is not None:
        raise UserInputError("`model.path` is not read", hint="name the folder with `init`, or --init")

    if section.arch is None:
        raise UserInputError("`model.arch` must be set", hint=f"known: {', '.join(sorted(hub.get_archs()))}")

    if section.arch not in hub.get_archs():
        raise unknown_name("architecture", section.arch, hub.get_archs())

    config = hub.get_arch_config(section.arch)

    return InitialModel(config.decoder, config=config)


def _from_card(name: str) -> InitialModel:
    store = get_dependency_resolver().resolve(AssetStore)

    card = store.maybe_retrieve_card(card_name(name)) or store.maybe_retrieve_card(name)

    if card is None:
        known = [asset.partition("@")[0] for asset in store.asset_names]

        raise unknown_name("model card", name, known, hint="codec-s2st ls --kind cards")

    field = card.maybe_get_field("model_family")

    family = None if field is None else field.as_(str)

    if family == QWEN_FAMILY:
        return _from_text_card(card)

    if family != CODEC_LM_FAMILY:
        raise UserInputError(f"card '{card.name}' is a model neither of {CODEC_LM_FAMILY} nor of {QWEN_FAMILY}")

    config = get_codec_lm_hub().get_model_config(card)

    return InitialModel(config.decoder, name=card.name, vocabulary=config.vocabulary, config=config)


def _from_text_card(card: AssetCard) -> InitialModel:
    resolver = get_dependency_resolver()

    config = resolver.resolve(ModelFamily, key=QWEN_FAMILY).get_model_config(card)

    assert isinstance(config, QwenConfig)

    uri = card.field("checkpoint").as_uri()

    path = uri.to_path() if uri.scheme == "file" else resolver.resolve(AssetDownloadManager).download_model(uri)

    return InitialModel(config, path=path)


def _from_run(run: Path) -> InitialModel:
    config, path = read_run(run)

    return InitialModel(config.decoder, path=path, vocabulary=config.vocabulary, config=config)


def read_run(run: Path) -> tuple[CodecLMConfig, Path]:
    """Returns the model's configuration and the folder of the last checkpoint's weights of a run.

    :raises UserInputError: the run has no checkpoint, or its metadata cannot be read.
    """
    from fairseq2.utils.structured import StructureError, ValueConverter
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    checkpoints = run / "checkpoints"

    steps = [int(path.name[5:]) for path in checkpoints.glob("step_*") if path.name[5:].isdigit()]

    if not steps:
        raise UserInputError(f"run '{run}' has no checkpoint yet", hint="wait for its first checkpoint")

    try:
        cards = list(YAML(typ="safe", pure=True).load_all(checkpoints.joinpath("model.yaml").read_text()))

        metadata = cards[0][0] if isinstance(cards[0], list) else cards[0]

        data = metadata["model_config"]

        converter = get_dependency_resolver().resolve(ValueConverter)

        config = converter.structure(data.get("_set_", data), CodecLMConfig)
    except (YAMLError, StructureError, KeyError, IndexError, TypeError, AttributeError) as ex:
        raise UserInputError(f"{checkpoints / 'model.yaml'} cannot be read: {ex!r}") from ex

    return config, checkpoints / f"step_{max(steps)}" / "model"


def from_hugging_face(folder: Path) -> InitialModel:
    """Returns the textual LLM in a folder of ``config.json`` and safetensors.

    :raises UserInputError: the model's type, or an option that it uses, is not supported.
    """
    try:
        data: dict[str, Any] = json.loads(folder.joinpath("config.json").read_text())
    except ValueError as ex:
        raise UserInputError(f"{folder / 'config.json'} is not JSON: {ex}") from None

    model_type = data.get("model_type")

    if model_type not in _SUPPORTED_HG_TYPES:
        raise UserInputError(
            f"{folder}: model type '{model_type}' is not supported, only {', '.join(_SUPPORTED_HG_TYPES)}"
        )

    for key, expected in _ONLY:
        if data.get(key, expected) != expected:
            raise UserInputError(f"{folder}: `{key}` = {data[key]} is not supported, only {expected}")

    # Where later versions of transformers say what `rope_theta` and `rope_scaling` said.
    rope = data.get("rope_parameters") or {}

    if rope.get("rope_type", "default") != "default":
        raise UserInputError(f"{folder}: `rope_parameters` = {rope} is not supported, only the default type")

    if not any(folder.glob("*.safetensors")):
        raise UserInputError(f"{folder} holds no safetensors file", hint="pickled checkpoints are not read")

    try:
        decoder = QwenConfig(
            model_dim=data["hidden_size"],
            max_seq_len=data["max_position_embeddings"],
            vocab_size=data["vocab_size"],
            tied_embeddings=data.get("tie_word_embeddings", False),
            num_layers=data["num_hidden_layers"],
            num_attn_heads=data["num_attention_heads"],
            num_key_value_heads=data["num_key_value_heads"],
            ffn_inner_dim=data["intermediate_size"],
            rope_theta=data.get("rope_theta", rope.get("rope_theta", 10_000.0)),
        )
    except KeyError as ex:
        raise UserInputError(f"{folder / 'config.json'} has no key {ex}") from None

    return InitialModel(decoder, path=folder)
