"""Where a run's weights come from: nothing, a card, a published folder, an earlier run, or a Hugging Face folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fairseq2.assets import AssetCard, AssetStore
from fairseq2.models import ModelFamily
from fairseq2.recipe.config import ModelSection
from fairseq2.runtime.dependency import get_dependency_resolver

from codec_s2st.checkpoints.folder import CheckpointFolder
from codec_s2st.data.text import has_tokenizer
from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.model_cards import (
    checkpoint_of,
    find_model_card,
    known_model_names,
    loadable_path,
    tokenizer_in,
    tokenizer_of,
)
from codec_s2st.models.codec_lm.adapted import trained_checkpoint_path
from codec_s2st.models.codec_lm.backbones import BACKBONES, BackboneConfig
from codec_s2st.models.codec_lm.config import CODEC_LM_FAMILY, CodecLMConfig
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.models.codec_lm.loader import lazy_checkpoint_path
from codec_s2st.models.codec_lm.text_llm import CONFIG_FILE, find_text_llm, read_text_llm
from codec_s2st.share import card_name
from codec_s2st.tensor_files import read_headers
from codec_s2st.yaml_limits import check_size

ROWS_MULTIPLE_OF: Final = 32
"""Of the tables of a model that is grown from a textual LLM: up to so many ranks can split them evenly."""


@dataclass(frozen=True)
class InitialModel:
    """The architecture and the weights that a run starts from."""

    decoder: BackboneConfig

    path: Path | None = None
    """The checkpoint, as fairseq2 loads it; ``None`` for random weights."""

    name: str | None = None
    """The card, where the weights come from one."""

    vocabulary: str = ""
    """The fingerprint of the rows, where the weights are of a codec_lm model."""

    config: CodecLMConfig = field(default_factory=CodecLMConfig)

    tokenizer: str | AssetCard | None = None
    """The text tokenizer that belongs to the weights: a card, its name, or a folder; ``None`` if none is known."""

    @property
    def shown(self) -> str:
        """What an error calls the model."""
        if self.name is not None or self.path is None:
            return self.name or "with random weights"

        return str(self.path.parent if self.path.name == CONFIG_FILE else self.path)


def find_initial_model(init: str | None, section: ModelSection) -> InitialModel:
    """Returns what ``init`` names: a card, a published folder, the folder of a run, or one in Hugging Face's layout.

    :param section: The recipe's model section, which names the architecture where ``init`` is ``None``.

    :raises UserInputError: it is none of these.
    """
    if init is None:
        return _from_section(section)

    path = Path(init).expanduser()

    if path.is_dir():
        if path.joinpath(CONFIG_FILE).is_file():
            return from_hugging_face(path)

        if path.joinpath("checkpoints", "model.yaml").is_file():
            return _from_run(path)

        if path.joinpath("config.yaml").is_file() and path.joinpath("logs").is_dir():
            raise UserInputError(f"run '{init}' has no checkpoints to start from")

        if any(file.suffix in (".yaml", ".yml") for file in path.iterdir()):
            return _from_published(path)

        raise UserInputError(
            f"folder '{init}' is neither a run (checkpoints/model.yaml) nor a published model (card.yaml) nor a"
            " Hugging Face model (config.json)"
        )

    if path.is_file() and path.suffix in (".yaml", ".yml"):
        return _from_published(path)

    if path.is_file():
        raise UserInputError(f"'{init}' to start from is a file, but must be a card or a folder")

    if "/" in init:
        hint = None

        if init.count("/") == 1 and not init.startswith((".", "/", "~")):
            hint = f"a model of the hub is fetched first: hf download {init} --local-dir FOLDER"

        raise UserInputError(f"'{init}' to start from does not exist", hint=hint)

    return _from_card(init)


def _from_section(section: ModelSection) -> InitialModel:
    hub = get_codec_lm_hub()

    if section.name is not None:
        return _from_card(section.name)

    if section.path is not None:
        raise UserInputError("`model.path` is not read", hint="name the folder with `init`, or --init")

    if section.arch is None:
        raise UserInputError(
            "neither `init` nor `model.arch` is set", hint=f"--init DIR, or one of {', '.join(sorted(hub.get_archs()))}"
        )

    if section.arch not in hub.get_archs():
        raise unknown_name("architecture", section.arch, hub.get_archs())

    config = hub.get_arch_config(section.arch)

    return InitialModel(config.decoder, config=config)


def _from_card(name: str) -> InitialModel:
    store = get_dependency_resolver().resolve(AssetStore)

    card = store.maybe_retrieve_card(card_name(name)) or store.maybe_retrieve_card(name)

    if card is None:
        known = known_model_names(store, name, (CODEC_LM_FAMILY, *BACKBONES))

        raise unknown_name("model card", name, known, hint="codec-s2st ls --kind cards")

    field = card.maybe_get_field("model_family")

    family = None if field is None else field.as_(str)

    if family in BACKBONES:
        return _from_text_card(card, family)

    if family != CODEC_LM_FAMILY:
        families = ", ".join((CODEC_LM_FAMILY, *BACKBONES))

        raise UserInputError(f"card '{card.name}' is a model of the family {family}, but must be one of {families}")

    config = get_codec_lm_hub().get_model_config(card)

    # fairseq2, which loads a card by its name, checks no hash, and of a hub fetches pickles too.
    path = checkpoint_of(card)

    uri = card.field("checkpoint").as_uri()

    # Nor does it find a path with blanks.
    is_here = uri.scheme == "file" and uri.to_path() == path

    return InitialModel(
        config.decoder,
        path=None if is_here else loadable_path(path),
        name=card.name if is_here else None,
        vocabulary=config.vocabulary,
        config=config,
        tokenizer=tokenizer_of(card, config.vocabulary),
    )


def _from_text_card(card: AssetCard, family: str) -> InitialModel:
    resolver = get_dependency_resolver()

    config = BACKBONES[family].from_card_config(resolver.resolve(ModelFamily, key=family).get_model_config(card))

    path = checkpoint_of(card)

    # Says what does not fit before anything is built.
    find_text_llm(read_headers(path), config, where=f"the checkpoint {path} of card '{card.name}'")

    has_own = card.has_field("tokenizer") or card.has_field("tokenizer_ref")

    return InitialModel(
        config,
        path=lazy_checkpoint_path(path) if path.is_dir() else path,
        config=CodecLMConfig(rows_multiple_of=ROWS_MULTIPLE_OF),
        tokenizer=card if has_own else None,
    )


def _from_published(path: Path) -> InitialModel:
    card = find_model_card(str(path))

    config = get_codec_lm_hub().get_model_config(card)

    return InitialModel(
        config.decoder,
        path=checkpoint_of(card),
        vocabulary=config.vocabulary,
        config=config,
        tokenizer=tokenizer_of(card, config.vocabulary),
    )


def _from_run(run: Path) -> InitialModel:
    config, path = read_run(run)

    return InitialModel(
        config.decoder,
        path=path,
        vocabulary=config.vocabulary,
        config=config,
        tokenizer=tokenizer_in(config.vocabulary, where=f"run '{run}'"),
    )


def read_run(run: Path) -> tuple[CodecLMConfig, Path]:
    """Returns the model's configuration of a run, and the path to load its last checkpoint from.

    What is loaded is an ordinary model, even if low-rank updates of it were trained.

    :raises UserInputError: the run has no checkpoint, or its metadata cannot be read.
    """
    from fairseq2.utils.structured import StructureError, ValueConverter
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    checkpoints = run / "checkpoints"

    folder = CheckpointFolder(checkpoints)

    folder.refuse_foreign()

    steps = folder.steps()

    if not steps:
        raise UserInputError(f"run '{run}' has no checkpoint yet", hint="wait for its first checkpoint")

    try:
        cards = list(YAML(typ="safe", pure=True).load_all(checkpoints.joinpath("model.yaml").read_text()))

        check_size(cards, str(checkpoints / "model.yaml"))

        metadata = cards[0][0] if isinstance(cards[0], list) else cards[0]

        data = metadata["model_config"]

        converter = get_dependency_resolver().resolve(ValueConverter)

        config = converter.structure(data.get("_set_", data), CodecLMConfig)
    except (YAMLError, StructureError, KeyError, IndexError, TypeError, AttributeError) as ex:
        raise UserInputError(f"{checkpoints / 'model.yaml'} cannot be read: {ex!r}") from ex

    return config, trained_checkpoint_path(checkpoints, max(steps))


def from_hugging_face(folder: Path) -> InitialModel:
    """Returns the textual LLM in a folder of ``config.json``, safetensors, and maybe a tokenizer.

    :raises UserInputError: the model's type, or an option that it uses, is not supported; or the weights do not fit.
    """
    decoder, _ = read_text_llm(folder)

    return InitialModel(
        decoder,
        path=lazy_checkpoint_path(folder),
        config=CodecLMConfig(rows_multiple_of=ROWS_MULTIPLE_OF),
        tokenizer=str(folder.absolute()) if has_tokenizer(folder) else None,
    )
