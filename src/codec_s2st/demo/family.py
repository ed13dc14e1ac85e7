"""The dataset family of the demo world's token shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fairseq2.runtime.dependency import DependencyContainer, DependencyResolver

    from codec_s2st.data.dataset import SpeechTextDataset

DEMO_SHARDS_FAMILY: Final = "codec_s2st_demo_shards"


@dataclass(kw_only=True, frozen=True)
class DemoShardsConfig:
    world: str = "demo"
    """The world: ``small``, ``demo`` or ``large``; see docs/demo-world.md."""

    num_pairs: int = 40_000
    """The number of spoken sentence pairs to train on."""

    num_valid_pairs: int = 200
    """The number of spoken sentence pairs to validate on."""

    num_text_pairs: int = 40_000
    """The number of sentence pairs without speech to train on."""

    num_second_text: int = 0
    """The number of sentences of the second domain of English text to train on; they are on the target's side."""

    seed: int = 1
    """The seed of sentences, voices, speeds and pitches."""

    codec: str = "codec_s2st_demo_codec"
    """The codec's card."""

    alignments: bool = False
    """If ``True``, the shards say which frames say which words."""


def register(container: DependencyContainer) -> None:
    """Registers the family; grammar and codec are imported when a dataset is opened."""
    from fairseq2.composition import register_dataset_family

    from codec_s2st.data.dataset import SpeechTextDataset

    def open_dataset(resolver: DependencyResolver, config: DemoShardsConfig) -> SpeechTextDataset:
        from codec_s2st.demo.shards import open_demo_shards

        return open_demo_shards(resolver, config)

    register_dataset_family(
        container,
        DEMO_SHARDS_FAMILY,
        kls=SpeechTextDataset,
        config_kls=DemoShardsConfig,
        advanced_opener=open_dataset,
    )
