from __future__ import annotations

import pytest

from codec_s2st.tokens.fingerprint import CodecFingerprint
from codec_s2st.tokens.streams import StreamSpec
from codec_s2st.tokens.units import Frames, Samples


class TestStreamSpec:
    @pytest.mark.parametrize("hop_length", [1, 3, 320])
    def test_frames_and_samples_equal_a_slow_count(self, hop_length: int) -> None:
        spec = StreamSpec((8,), hop_length=hop_length, sample_rate=16_000)

        for num_samples in range(0, 3 * hop_length + 3):
            # The slow way: frames are opened one by one until the last sample is inside.
            num_frames = 0

            while num_frames * hop_length < num_samples:
                num_frames += 1

            assert spec.frames_in(Samples(num_samples)) == num_frames

        for num_frames in range(5):
            assert spec.samples_in(Frames(num_frames)) == sum(hop_length for _ in range(num_frames))

            assert spec.frames_in(spec.samples_in(Frames(num_frames))) == num_frames

    def test_large_counts_are_exact(self) -> None:
        spec = StreamSpec((8,), hop_length=320, sample_rate=24_000)

        # Beyond the integers that a float holds.
        assert spec.frames_in(Samples(320 * 2**60 + 1)) == 2**60 + 1

    @pytest.mark.parametrize(
        ("sample_rate", "hop_length", "expected"),
        [(24_000, 320, 75.0), (16_000, 640, 25.0), (22_050, 256, 22_050 / 256)],
    )
    def test_frame_rate_need_not_be_an_integer(self, sample_rate: int, hop_length: int, expected: float) -> None:
        spec = StreamSpec((8,), hop_length=hop_length, sample_rate=sample_rate)

        assert spec.frame_rate == expected

        assert spec.seconds_in(Frames(7)) == pytest.approx(7 / expected)

    def test_first_keeps_the_first_sizes(self) -> None:
        spec = StreamSpec((40_000, 512, 7), hop_length=320, sample_rate=24_000)

        assert spec.num_streams == 3

        assert spec.first(2) == StreamSpec((40_000, 512), hop_length=320, sample_rate=24_000)

        assert spec.first(3) == spec

    @pytest.mark.parametrize("num_streams", [-1, 0, 4])
    def test_first_raises_error_when_out_of_range(self, num_streams: int) -> None:
        with pytest.raises(ValueError, match="between 1 and 3"):
            StreamSpec((8, 8, 8), hop_length=320, sample_rate=24_000).first(num_streams)

    @pytest.mark.parametrize(
        ("sizes", "hop_length", "sample_rate"), [((), 1, 1), ((8, 0), 1, 1), ((8,), 0, 1), ((8,), 1, 0), ((-1,), 1, 1)]
    )
    def test_init_raises_error_when_a_number_is_not_positive(
        self, sizes: tuple[int, ...], hop_length: int, sample_rate: int
    ) -> None:
        with pytest.raises(ValueError):
            StreamSpec(sizes, hop_length, sample_rate)

    def test_spec_agrees_with_its_fingerprint(self) -> None:
        fingerprint = CodecFingerprint("a", "00", (8, 4), 320, 24_000)

        assert fingerprint.spec == StreamSpec((8, 4), 320, 24_000)

        assert fingerprint.first(1).spec == fingerprint.spec.first(1)
