"""The dataset family of token shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, final

from fairseq2.datasets import DataReader
from fairseq2.gang import Gangs
from fairseq2.utils.validation import Validatable, ValidationResult

from codec_s2st.data.batch import SpeechTextBatch
from codec_s2st.data.mixture import Mixture, MixtureEntry, TaskSource
from codec_s2st.data.prefetch import PrefetchReader
from codec_s2st.data.reader import BatchMaker, MixtureReader, SourceReader
from codec_s2st.data.shards import ShardSet
from codec_s2st.data.task_entries import parse_tasks
from codec_s2st.data.templates import TaskTemplate
from codec_s2st.errors import UserInputError
from codec_s2st.tokens.fingerprint import CodecFingerprint

SHARDS_FAMILY: Final = "codec_s2st_shards"


@dataclass(kw_only=True)
class SpeechTextDatasetConfig:
    shards: list[Path] = field(default_factory=list)
    """Token shards, or folders of them."""

    verify: bool = True
    """If ``True``, everything is read and checked before the first step, which takes some minutes for a thousand hours.
    If ``False``, what is damaged ends the run when it is read; ``codec-s2st shards verify`` finds it beforehand."""

    skip_damaged: bool = False
    """If ``True``, row groups and shards that are found damaged before the first step are left out, and logged."""


@dataclass(kw_only=True)
class DataSection(Validatable):
    """What is read from the shards, and how it is batched."""

    mixture: list[MixtureEntry] = field(default_factory=lambda: [MixtureEntry()])
    """The weighted tasks."""

    tasks: list[object] = field(default_factory=list)
    """Tasks of your own, which the mixture may name; see ``docs/guides/your-task.md``."""

    temperature: float = 1.0
    """Weights are raised to ``1 / temperature``."""

    train_splits: list[str] = field(default_factory=lambda: ["train"])
    """The splits of the manifest that are trained on."""

    valid_splits: list[str] = field(default_factory=lambda: ["valid"])
    """The splits of the manifest that are validated on; empty for no validation."""

    max_batch_steps: int = 2048
    """The largest number of steps of a batch, padding included."""

    max_seq_len: int = 512
    """The largest number of steps of a sequence."""

    over_long: Literal["drop", "crop"] = "drop"
    """What becomes of longer sequences, which are counted in the log: ``drop`` leaves them out; ``crop`` keeps their
    beginning where a task has a single segment, such as text_lm and speech_lm, and leaves out the others."""

    packing: bool = False
    """If ``True``, the sequences of a batch stand one after the other in one row of ``max_batch_steps`` steps, and each
    attends to itself alone. If ``False``, those of similar lengths are padded to the longest."""

    block_size: int | None = None
    """The number of examples that are drawn, and grouped to batches, together; 512, or with packing 4096: the last row
    of a block is seldom full."""

    max_valid_examples: int = 128
    """The number of examples of each task that are validated on."""

    seed: int = 1
    """The seed of the order of examples."""

    shuffle_gib: float = 1.0
    """Texts and codes of so many GiB are shuffled together; up to twice as much is held in memory, by each worker. The
    order of examples depends on it where there is more."""

    num_workers: int = 0
    """The number of processes that prepare batches beside each training process; with 0, this one does it itself. It
    changes no batch."""

    num_prefetch: int = 4
    """The number of steps whose batches each worker keeps ready."""

    @property
    def shuffle_bytes(self) -> int:
        return int(self.shuffle_gib * (1 << 30))

    @property
    def num_drawn_together(self) -> int:
        """``block_size``, or its default."""
        if self.block_size is not None:
            return self.block_size

        return 4096 if self.packing else 512

    def own_tasks(self) -> dict[str, TaskTemplate]:
        """
        :raises UserInputError: an entry of ``tasks`` cannot be read; its key is named.
        """
        return parse_tasks(self.tasks, where="data.tasks")

    def validate(self) -> ValidationResult:
        result = ValidationResult()

        if not self.mixture:
            result.add_error("`mixture` must hold at least one task.")

        if any(entry.max_examples is not None and entry.max_examples < 1 for entry in self.mixture):
            result.add_error("`max_examples` of `mixture` must be at least 1.")

        if self.max_seq_len > self.max_batch_steps:
            result.add_error("`max_batch_steps` must not be less than `max_seq_len`.")

        if self.num_drawn_together < 1:
            result.add_error("`block_size` must be at least 1.")

        if self.num_prefetch < 1:
            result.add_error("`num_prefetch` must be at least 1.")

        if self.num_workers < 0:
            result.add_error("`num_workers` must not be negative.")

        if self.shuffle_gib <= 0:
            result.add_error("`shuffle_gib` must be positive.")

        return result


@final
class SpeechTextDataset:
    """Token shards that are opened once and read by task."""

    def __init__(self, shards: ShardSet) -> None:
        self.shards = shards

    @property
    def codec(self) -> CodecFingerprint | None:
        """The codec of the codes; ``None`` if the shards hold text alone."""
        return self.shards.fingerprint

    def first_streams(self, num_streams: int) -> SpeechTextDataset:
        """Returns the dataset with the first ``num_streams`` code books alone."""
        return self if self.codec is None else SpeechTextDataset(self.shards.first(num_streams))

    def select(self, section: DataSection, splits: Sequence[str]) -> list[TaskSource]:
        """Returns the rows of ``splits`` for each entry of the mixture.

        :raises UserInputError: a task is not known, or no row serves it.
        """
        own = section.own_tasks()

        return [TaskSource.select(entry, self.shards, splits, own=own, seed=section.seed) for entry in section.mixture]

    def mix(self, section: DataSection) -> Mixture:
        """Returns what is trained on, in its order.

        :raises UserInputError: a task is not known, or no row serves it.
        """
        sources = self.select(section, section.train_splits)

        weights = [entry.weight for entry in section.mixture]

        return Mixture(sources, weights, section.seed, section.temperature, section.shuffle_bytes)

    def create_reader(
        self, section: DataSection, maker: BatchMaker, gangs: Gangs, *, num_accumulate: int
    ) -> MixtureReader | PrefetchReader:
        """Returns an endless reader of the mixture, for training."""
        # While one window is left, the next one is entered.
        self.shards.hold(2 * section.shuffle_bytes)

        reader = MixtureReader(
            self.mix(section),
            maker,
            block_size=section.num_drawn_together,
            rank=gangs.dp.rank,
            world_size=gangs.dp.size,
            num_accumulate=num_accumulate,
        )

        if section.num_workers == 0:
            return reader

        return PrefetchReader(reader, num_workers=section.num_workers, num_prefetch=section.num_prefetch)

    def create_valid_readers(
        self, section: DataSection, maker: BatchMaker, gangs: Gangs
    ) -> Mapping[str, DataReader[SpeechTextBatch]]:
        """Returns a finite reader for each task of the mixture, by name."""
        sources: dict[str, list[TaskSource]] = {}

        for source in self.select(section, section.valid_splits) if section.valid_splits else ():
            # One that is read from two corpora is one task.
            sources.setdefault(source.name, []).append(source)

        return {
            name: SourceReader(
                parts, maker, max_examples=section.max_valid_examples, rank=gangs.dp.rank, world_size=gangs.dp.size
            )
            for name, parts in sources.items()
        }


def open_speech_text_dataset(config: SpeechTextDatasetConfig) -> SpeechTextDataset:
    """
    :raises UserInputError: no shards are given, or they cannot be read.
    """
    if not config.shards:
        raise UserInputError("no token shards are given", hint="set `dataset.config_overrides.shards`, or --shards DIR")

    if config.skip_damaged and not config.verify:
        raise UserInputError("`dataset.config_overrides.skip_damaged` needs `verify`, which finds what is damaged")

    shards = ShardSet.open(config.shards, codec=None, verify=config.verify, skip_damaged=config.skip_damaged)

    return SpeechTextDataset(shards)
