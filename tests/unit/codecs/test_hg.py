"""The family ``hg``: its cards, what it refuses, and EnCodec by both of its families."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from fairseq2.assets import get_asset_store

from codec_s2st.codecs import load_codec
from codec_s2st.codecs.hg.config import HgCodecConfig
from codec_s2st.codecs.hg.hub import get_hg_hub, make_hg_codec
from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.tokens.streams import StreamSpec
from tests.hg_codecs import REFERENCES, make_wave, write_card

SPECS = {
    "mimi": (StreamSpec((2048,) * 32, 1920, 24_000), 12.5),
    "dac_16khz": (StreamSpec((1024,) * 12, 320, 16_000), 50.0),
    "dac_24khz": (StreamSpec((1024,) * 32, 320, 24_000), 75.0),
    "dac_44khz": (StreamSpec((1024,) * 9, 512, 44_100), 86.1328125),
    "xcodec_wavlm": (StreamSpec((1024,) * 8, 320, 16_000), 50.0),
    "hg_encodec_24khz": (StreamSpec((1024,) * 32, 320, 24_000), 75.0),
}


@pytest.mark.parametrize("name", SPECS)
class TestCards:
    def test_spec_is_known_without_weights(self, name: str) -> None:
        spec, frame_rate = SPECS[name]

        found = get_hg_hub().get_model_config(f"codec_s2st_{name}").spec

        assert (found, found.frame_rate) == (spec, frame_rate)

    def test_checkpoint_is_on_the_hub_and_has_a_licence(self, name: str) -> None:
        card = get_asset_store().retrieve_card(f"codec_s2st_{name}")

        assert card.field("checkpoint").as_uri().scheme == "hg"

        assert card.field("license").as_(str)

    def test_network_has_the_spec_of_the_card(self, name: str) -> None:
        # Shapes suffice, and take no time: what is checked is checked when the network is built.
        config = get_hg_hub().get_model_config(f"codec_s2st_{name}")

        with torch.device("meta"):
            assert make_hg_codec(config).spec == SPECS[name][0]


def test_networks_of_transformers_are_imported_when_they_are_built() -> None:
    code = (
        "import sys\n"
        "from codec_s2st.codecs.hg.hub import get_hg_hub\n"
        "rate = get_hg_hub().get_model_config('codec_s2st_mimi').spec.frame_rate\n"
        "print('RATE', rate, [name for name in sys.modules if name.startswith('transformers.models.mimi')])"
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "RATE 12.5 []" in result.stdout, result.stderr


def tiny(name: str, **changes: Any) -> HgCodecConfig:
    reference = REFERENCES[name]

    network = {**reference.network, **changes.pop("network", {})}

    fields = {
        "adapter": reference.adapter,
        "sample_rate": reference.sample_rate,
        "hop_length": reference.hop_length,
        "codebook_sizes": list(reference.codebook_sizes),
    }

    return HgCodecConfig(**{**fields, "network": network, **changes})


class TestRefusals:
    def test_absent_transformers_is_one_line_with_the_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "transformers", None)

        with pytest.raises(CodecS2STError, match="need transformers") as info:
            make_hg_codec(tiny("mimi"))

        assert info.value.hint == "pip install 'transformers>=4.57,<5'"

        assert "\n" not in str(info.value)

    def test_old_transformers_is_one_line_with_the_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        old = ModuleType("transformers")

        old.__version__ = "4.40.0"  # type: ignore[attr-defined]

        monkeypatch.setitem(sys.modules, "transformers", old)

        with pytest.raises(CodecS2STError, match=r"4\.40\.0 has no XcodecConfig or XcodecModel") as info:
            make_hg_codec(tiny("xcodec_hubert"))

        assert info.value.hint == "pip install 'transformers>=4.57,<5'"

    @pytest.mark.parametrize(
        ("name", "changes", "message"),
        [
            ("mimi", {"adapter": "mimmi"}, "unknown adapter 'mimmi': did you mean 'mimi'"),
            ("mimi", {"hop_length": 480}, "hop of 480 at 16000 Hz, but its network has .* hop of 240"),
            ("dac_16khz", {"codebook_sizes": [1024] * 3}, "3 code books .* but its network has 4 code books"),
            ("encodec", {"sample_rate": 24_000}, "at 24000 Hz, but its network has .* at 16000 Hz"),
            ("mimi", {"network": {"num_quantizer": 8}}, "'num_quantizer': did you mean 'num_quantizers'"),
            ("xcodec_hubert", {"network": {"acoustic_model_config": {"ratios": [2]}}}, "unknown key .* 'ratios'"),
            (
                "xcodec_hubert",
                {"network": {"semantic_model_config": "facebook/hubert-base-ls960"}},
                "must be a mapping",
            ),
            ("xcodec_hubert", {"network": {"semantic_model_config": {"model_type": "bert"}}}, "'bert'"),
            (
                "xcodec_hubert",
                {"network": {"semantic_model_config": {"conv_stride": [5, 2, 2, 2, 2, 2, 4]}}},
                "acoustic part .* hop of 320, but its semantic part has 640",
            ),
            ("encodec", {"network": {"normalize": True}}, "codes alone do not carry"),
            ("encodec", {"network": {"chunk_length_s": 1.0}}, "codes alone do not carry"),
            ("encodec", {"network": {"norm_type": "batch_norm"}}, "`network` of the codec cannot be used"),
            ("mimi", {"network": {"num_semantic_quantizers": 2}}, "more than one semantic code book"),
            ("dac_16khz", {"network": {"codebook_size": 1000}}, "power of 2"),
        ],
    )
    def test_what_does_not_fit_is_one_line(self, name: str, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(UserInputError, match=message) as info:
            make_hg_codec(tiny(name, **changes))

        assert "\n" not in str(info.value)

    def test_a_card_that_does_not_fit_is_one_line(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        reference = REFERENCES["mimi"]

        codec = make_hg_codec(tiny("mimi"))

        codec.network.save_pretrained(tmp_path / "weights")

        write_card(tmp_path, reference, "fits", "weights")

        config = {**reference.card("x", "x")["model_config"], "hop_length": 120}  # type: ignore[dict-item]

        write_card(tmp_path, reference, "other_hop", "weights", model_config=config)

        config["adapter"] = "mimmi"

        write_card(tmp_path, reference, "other_adapter", "weights", model_config=config)

        write_card(tmp_path, REFERENCES["encodec"], "other_network", "weights")

        monkeypatch.setenv("FAIRSEQ2_USER_ASSET_DIR", str(tmp_path))
        monkeypatch.setattr("fairseq2.runtime.dependency._resolver", None)

        assert load_codec("fits").spec.hop_length == 240

        for name, message in (
            ("other_hop", "hop of 120 .* but its network has .* hop of 240"),
            ("other_adapter", "mimmi"),
            ("other_network", "weights.* do not fit the card 'other_network'"),
        ):
            with pytest.raises(UserInputError, match=message) as info:
                load_codec(name)

            assert "\n" not in str(info.value)


class TestEncodecByCard:
    """EnCodec at its full size, as its cards describe it, with random weights in the place of the published ones."""

    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        from transformers import EncodecConfig, EncodecModel

        folder = tmp_path_factory.mktemp("encodec")

        torch.manual_seed(3)

        model = EncodecModel(EncodecConfig()).eval()

        with torch.no_grad():
            latents = model.encoder(make_wave(4.0, 5, 24_000)).transpose(1, 2).flatten(0, 1)

            for level in model.quantizer.layers:
                chosen = latents[torch.randint(latents.size(0), (1024,))]

                level.codebook.embed.copy_(chosen + 0.5 * latents.std(0) * torch.randn_like(chosen))

        model.save_pretrained(folder / "weights")

        for family, arch in (("encodec", "24khz"), ("hg", "encodec_24khz")):
            card = {
                "name": f"my_{family}",
                "model_family": f"codec_s2st_{family}",
                "model_arch": arch,
                "checkpoint": "weights",
            }

            (folder / f"my_{family}.yaml").write_text(json.dumps(card))

        return folder

    @pytest.fixture(autouse=True)
    def _cards(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FAIRSEQ2_USER_ASSET_DIR", str(folder))
        monkeypatch.setattr("fairseq2.runtime.dependency._resolver", None)

    def test_both_families_are_the_same_codec(self) -> None:
        ours, theirs = load_codec("my_encodec"), load_codec("my_hg")

        # Shards of one are read with the other.
        assert ours.fingerprint.digest == theirs.fingerprint.digest

        wave = make_wave(1.0, 7, 24_000)[..., :-5]

        codes = ours.encode(wave)

        assert codes.shape == (1, 32, 75)

        assert torch.equal(codes, theirs.encode(wave))

        torch.testing.assert_close(ours.decode(codes), theirs.decode(codes), rtol=0, atol=1e-5)

    @pytest.mark.parametrize("family", ["encodec", "hg"])
    @pytest.mark.parametrize("num_streams", [1, 3, 8])
    def test_num_streams_takes_the_first_code_books(self, family: str, num_streams: int) -> None:
        full, narrow = load_codec(f"my_{family}"), load_codec(f"my_{family}", num_streams=num_streams)

        wave = make_wave(0.5, 9, 24_000)

        codes = full.encode(wave)

        assert torch.equal(narrow.encode(wave), codes[:, :num_streams])

        assert torch.equal(narrow.decode(codes[:, :num_streams]), full.decode(codes[:, :num_streams]))

        narrow.fingerprint.check_reads(full.fingerprint, where="a shard")

        with pytest.raises(UserInputError):
            full.fingerprint.check_reads(narrow.fingerprint, where="a shard")
