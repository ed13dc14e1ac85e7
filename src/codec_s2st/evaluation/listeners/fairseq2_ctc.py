"""Any CTC recogniser of fairseq2's as a listener, whichever package has brought its family. Legend: N sample."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.evaluation.identity import Identity
from codec_s2st.evaluation.pretrained import name_of

if TYPE_CHECKING:
    import numpy as np
    import torch
    from fairseq2.assets import AssetCard, AssetStore
    from numpy.typing import NDArray

_SAMPLE_RATE: Final = 16_000

_BLANK: Final = 0
"""The id that stands for no letter, in fairseq2's recipes."""


@final
class Fairseq2Transcriber:
    """The most likely piece of each step, doubles and blanks dropped.

    A card of a model whose class is fairseq2's ``AsrModel``, with a tokenizer and weights in safetensors. A field
    ``normalize_audio: true`` says that it was trained on waves of zero mean and unit variance.
    """

    def __init__(self, card: str, *, device: torch.device) -> None:
        """
        :param card: The name of a card, or a file that holds one.

        :raises UserInputError: there is no such card, or it is of no recogniser, or its weights are pickles.
        """
        import fairseq2
        import torch
        from fairseq2.assets import AssetStore
        from fairseq2.data.tokenizers.hub import load_tokenizer
        from fairseq2.models.asr import AsrModel
        from fairseq2.models.family import ModelFamily
        from fairseq2.models.hub import ModelHub
        from fairseq2.runtime.dependency import get_dependency_resolver

        from codec_s2st.model_cards import checkpoint_of, hash_model, loadable_path

        resolver = get_dependency_resolver()

        store = resolver.resolve(AssetStore)

        found = _find_card(card, store)

        name = found.maybe_get_field("model_family")

        family: Any = None if name is None else resolver.maybe_resolve(ModelFamily, key=name.as_(str))

        if family is None or not issubclass(family.kls, AsrModel):
            raise UserInputError(f"card '{card}' is of no recogniser of fairseq2's", hint="it must be an `AsrModel`")

        hub: Any = ModelHub(family, store)

        # Not by the card, since fairseq2 checks no hash and reads pickles too.
        path = loadable_path(checkpoint_of(found))

        network: Any = hub.load_custom_model(path, hub.get_model_config(found), device=device, dtype=torch.float32)

        self._network = network.eval()

        self._decode = load_tokenizer(found).create_decoder(skip_special_tokens=True)

        normalised = found.maybe_get_field("normalize_audio")

        self._is_normalised = normalised is not None and normalised.as_(bool)

        self._device = device

        self.instrument: Identity | None = Identity(found.name.replace(" ", "_"), hash_model(found))

        self.name = name_of("fairseq2", self.instrument, f"fairseq2 {fairseq2.__version__}")

    def check_languages(self, languages: Iterable[str]) -> None:
        """Does nothing: there is nothing to check them by."""

    def transcribe(self, wave: NDArray[np.float32], sample_rate: int, language: str | None) -> str:
        import torch
        from fairseq2.nn import BatchLayout

        from codec_s2st.codecs.resampling import resample

        speech = resample(torch.from_numpy(wave)[None], sample_rate, _SAMPLE_RATE).to(self._device)

        if self._is_normalised:
            speech = torch.nn.functional.layer_norm(speech, speech.shape[1:])

        with torch.inference_mode():
            logits, _ = self._network(speech, BatchLayout.of(speech))

            ids = logits[0].argmax(dim=-1).unique_consecutive()

        return str(self._decode(ids[ids != _BLANK].cpu())).strip()


def _find_card(card: str, store: AssetStore) -> AssetCard:
    from codec_s2st.card_files import to_asset_card
    from codec_s2st.cards import read_cards

    path = Path(card)

    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise UserInputError(f"transcriber 'fairseq2:{card}': there is no such file")

        entries = read_cards(path)

        if len(entries) != 1:
            raise UserInputError(f"'{card}' holds {len(entries)} cards, but one recogniser is to listen")

        return to_asset_card(entries[0])

    found = store.maybe_retrieve_card(card)

    if found is None:
        raise unknown_name("card of a recogniser", card, store.asset_names, hint="fairseq2's cards, or a card file")

    return found
