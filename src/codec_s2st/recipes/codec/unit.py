"""One training step and one validation step of the embedded codec.

Legend: B batch, N samples, T codec frame, Q stream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from fairseq2.evaluator import EvalUnit
from fairseq2.logging import log
from fairseq2.metrics import Mean, MetricBag
from fairseq2.trainer import TrainUnit
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import cross_entropy
from typing_extensions import override

from codec_s2st.codecs.melcodec.loss import SpectralLoss
from codec_s2st.codecs.melcodec.model import MelCodec
from codec_s2st.recipes.codec.config import CodecLossSection
from codec_s2st.recipes.codec.data import SpeechBatch
from codec_s2st.recipes.codec.metrics import add_code_metrics, update_code_metrics


@final
class CodecTrainUnit(TrainUnit[SpeechBatch]):
    """First an autoencoder, then k-means, then a codec; see ``CodecLossSection.num_free_steps``."""

    def __init__(
        self,
        model: Module,
        codec: MelCodec,
        criterion: SpectralLoss,
        section: CodecLossSection,
        init_wave: Callable[[], Tensor],
    ) -> None:
        """
        :param model: ``codec``, perhaps wrapped for data parallelism.
        :param init_wave: Returns the waveforms [B, N] whose latent vectors set the code books.
        """
        self._model = model
        self._codec = codec
        self._criterion = criterion
        self._section = section
        self._init_wave = init_wave
        self._step_nr = 0

    @override
    def prepare_metric_bag(self, metric_bag: MetricBag) -> None:
        for name in ("loss", "reconstruction_loss", "commitment_loss"):
            metric_bag.add(name, Mean())

        if self._codec.config.phonetic_codebook_size:
            metric_bag.add("phoneme_loss", Mean())

        add_code_metrics(metric_bag, self._codec.spec.codebook_sizes)

    @override
    def set_step_nr(self, step_nr: int) -> None:
        self._step_nr = step_nr

    @override
    def process_batch(self, batch: SpeechBatch, metric_bag: MetricBag) -> tuple[Tensor, int | None]:
        has_codebooks = self._codec.has_codebooks

        quantize = has_codebooks or self._step_nr > self._section.num_free_steps

        if quantize and not has_codebooks:
            log.info("Setting the code books by k-means.")

            self._codec.init_codebooks(self._init_wave().to(batch.wave.device))

        output = self._model(batch.wave, level_mask=self._draw_level_mask(batch), quantize=quantize)

        reconstruction_loss = self._criterion(output.wave, batch.wave)

        loss = reconstruction_loss + self._section.commitment_weight * output.commitment_loss

        if output.phoneme_logits is not None:
            assert batch.phonemes is not None

            phoneme_loss = cross_entropy(output.phoneme_logits.flatten(0, 1), batch.phonemes.flatten())

            loss = loss + self._section.phoneme_weight * phoneme_loss

            metric_bag.get("phoneme_loss", Mean).update(phoneme_loss.detach())

        metric_bag.get("loss", Mean).update(loss.detach())
        metric_bag.get("reconstruction_loss", Mean).update(reconstruction_loss.detach())
        metric_bag.get("commitment_loss", Mean).update(output.commitment_loss.detach())

        if output.codes is not None:
            update_code_metrics(metric_bag, output.codes)

        return loss, None

    def _draw_level_mask(self, batch: SpeechBatch) -> Tensor:
        """Returns [B, Q]: all levels for most rows, the first q levels for the rest."""
        batch_size, device = batch.wave.size(0), batch.wave.device

        num_levels = self._codec.config.num_codebooks

        kept = torch.randint(1, num_levels + 1, (batch_size,), device=device)

        full = torch.rand(batch_size, device=device) >= self._section.level_dropout_p

        kept = torch.where(full, num_levels, kept)

        return (torch.arange(num_levels, device=device) < kept[:, None]).float()


@final
class CodecValidUnit(EvalUnit[SpeechBatch]):
    """Reconstructs whole utterances, as a user of the codec does."""

    def __init__(self, name: str, codec: MelCodec, criterion: SpectralLoss) -> None:
        self._name = name
        self._codec = codec
        self._criterion = criterion
        self._intelligibility = _maybe_stoi()

    @override
    def prepare_metric_bag(self, metric_bag: MetricBag) -> None:
        metric_bag.add("loss", Mean())

        add_code_metrics(metric_bag, self._codec.spec.codebook_sizes)

        if self._intelligibility is not None:
            metric_bag.add("stoi", Mean())

        if self._codec.config.phonetic_codebook_size:
            metric_bag.add("phoneme_accuracy", Mean())

    @override
    def process_batch(self, batch: SpeechBatch, metric_bag: MetricBag) -> None:
        codec = self._codec

        if codec.has_codebooks:
            codes = codec.encode(batch.wave.unsqueeze(1))

            wave = codec.decode(codes).squeeze(1)

            update_code_metrics(metric_bag, codes.transpose(1, 2))

            if batch.phonemes is not None:
                accuracy = (codec.phonemes(codes) == batch.phonemes).float().mean()

                metric_bag.get("phoneme_accuracy", Mean).update(accuracy)
        else:
            wave = codec(batch.wave, quantize=False).wave

        metric_bag.get("loss", Mean).update(self._criterion(wave, batch.wave))

        if self._intelligibility is not None:
            score = self._intelligibility(batch.wave[0], wave[0], codec.spec.sample_rate)

            metric_bag.get("stoi", Mean).update(score)

    @property
    @override
    def name(self) -> str | None:
        return self._name


def _maybe_stoi() -> Callable[[Tensor, Tensor, int], float] | None:
    try:
        from pystoi import stoi
    except ImportError:
        log.info("STOI is not measured: the package 'pystoi' is not installed.")

        return None

    def measure(reference: Tensor, wave: Tensor, sample_rate: int) -> float:
        return float(stoi(reference.cpu().numpy(), wave.cpu().numpy(), sample_rate))

    return measure
