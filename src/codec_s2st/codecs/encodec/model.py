"""EnCodec. Legend: B batch, N sample, T codec frame, Q stream, D latent width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, final

from torch import Tensor
from typing_extensions import override

from codec_s2st.codecs.chunks import EncoderContext, RecurrentState, recurrent_context, run_recurrent_chunk
from codec_s2st.codecs.codec import Codec
from codec_s2st.codecs.encodec.config import EncodecConfig
from codec_s2st.codecs.streaming import DecoderContext

_GROUP_SIZE: Final = 8
"""More gain little: with four, the LSTM is already bound by arithmetic."""


@final
class EncodecCodec(Codec):
    """EnCodec with the modules of the ``encodec`` package, for inference.

    The weight normalisation of the convolutions is not here: it is folded into the weights when they are loaded.
    """

    def __init__(self, config: EncodecConfig) -> None:
        # The package imports a good part of torchaudio.
        from encodec.modules.seanet import SEANetDecoder, SEANetEncoder
        from encodec.quantization.vq import ResidualVectorQuantizer

        super().__init__(config.spec)

        self.config = config

        shape: dict[str, Any] = {
            "channels": 1,
            "dimension": config.latent_dim,
            "n_filters": config.num_filters,
            "n_residual_layers": config.num_residual_layers,
            "ratios": config.ratios,
            "norm": "none",
            "kernel_size": config.kernel_size,
            "last_kernel_size": config.last_kernel_size,
            "residual_kernel_size": config.residual_kernel_size,
            "causal": config.causal,
            "true_skip": not config.conv_shortcut,
            "lstm": config.num_lstm_layers,
        }

        self.encoder = SEANetEncoder(**shape)

        self.quantizer = ResidualVectorQuantizer(
            dimension=config.latent_dim, n_q=config.num_codebooks, bins=config.codebook_size
        )

        self.decoder = SEANetDecoder(**shape)

        self._is_exact_together: bool | None = None

    @override
    def _do_encode(self, wave: Tensor, num_streams: int) -> Tensor:
        # The package imports a good part of torchaudio.
        from codec_s2st.codecs.encodec.encoder import run_encoder

        # (B, 1, N) -> (B, D, T)
        return self._quantize(run_encoder(self.encoder.model, wave), num_streams)

    @property
    @override
    def group_size(self) -> int:
        from codec_s2st.codecs.encodec.recurrent import is_exact_together

        lstm: Any = next(layer.lstm for layer in self.encoder.model if hasattr(layer, "lstm"))

        if lstm.weight_ih_l0.device.type != "cpu":
            return 1

        if self._is_exact_together is None:
            self._is_exact_together = is_exact_together(lstm)

        return _GROUP_SIZE if self._is_exact_together else 1

    @override
    def _do_encode_each(self, waves: Sequence[Tensor], num_streams: int) -> list[Tensor]:
        from codec_s2st.codecs.encodec.encoder import run_encoder_together

        if len(waves) == 1 or self.group_size == 1:
            return super()._do_encode_each(waves, num_streams)

        latents = run_encoder_together(list(self.encoder.model), waves)

        return [self._quantize(item, num_streams) for item in latents]

    @property
    @override
    def encoder_context(self) -> EncoderContext | None:
        return recurrent_context(list(self.encoder.model), self.spec.hop_length) if self.config.causal else None

    @override
    def _do_encode_chunk(
        self, wave: Tensor, num_streams: int, frames: slice, state: object
    ) -> tuple[Tensor, RecurrentState]:
        assert state is None or isinstance(state, RecurrentState)

        from codec_s2st.codecs.encodec.encoder import run_encoder

        latents, new_state = run_recurrent_chunk(list(self.encoder.model), wave, frames, state, run_encoder)

        return self._quantize(latents, num_streams), new_state

    def _quantize(self, latents: Tensor, num_streams: int) -> Tensor:
        # (B, D, T) -> (Q, B, T)
        codes: Tensor = self.quantizer.vq.encode(latents, n_q=num_streams)

        return codes.transpose(0, 1)

    @property
    @override
    def decoder_context(self) -> DecoderContext | None:
        # The LSTM remembers all that was. The first convolution mirrors as many frames as its kernel reaches back.
        return DecoderContext(None, 0, first=self.config.kernel_size) if self.config.causal else None

    @override
    def _do_decode(self, codes: Tensor) -> Tensor:
        # (B, q, T) -> (B, D, T)
        latents = self.quantizer.decode(codes.transpose(0, 1))

        # (B, D, T) -> (B, 1, N)
        wave: Tensor = self.decoder(latents)

        return wave
