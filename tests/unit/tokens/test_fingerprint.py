"""What the fingerprints of codec and vocabulary tell apart, and what they let pass."""

from __future__ import annotations

import dataclasses
import json
from itertools import product

import pytest

from codec_s2st.errors import UserInputError
from codec_s2st.tokens.compatibility import VocabularyFingerprint
from codec_s2st.tokens.fingerprint import CodecFingerprint
from codec_s2st.tokens.vocabulary import STANDARD_SPECIALS, Vocabulary

CODEC = CodecFingerprint("codec", "ab" * 32, (1024, 512, 256), 320, 24_000)

VOCABULARY = VocabularyFingerprint(
    tokenizer="qwen", tokenizer_hash="cd" * 32, text_size=1_000, codec=CODEC, pattern="delay"
)


class TestCodecFingerprint:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("weights_hash", "ac" * 32),
            ("codebook_sizes", (1024, 512, 255)),
            ("codebook_sizes", (512, 1024, 256)),
            ("codebook_sizes", (1024, 512)),
            ("hop_length", 321),
            ("sample_rate", 16_000),
        ],
    )
    def test_digest_differs_with_anything_but_the_name(self, field: str, value: object) -> None:
        other = dataclasses.replace(CODEC, **{field: value})  # type: ignore[arg-type]

        assert other.digest != CODEC.digest

        assert dataclasses.replace(CODEC, name="other").digest == CODEC.digest

    def test_digest_is_16_hex_digits_and_never_changes(self) -> None:
        # Shards hold it: whoever changes how it is made makes every shard of before unreadable.
        assert CODEC.digest == "ca6773358b482245"

    def test_check_reads_equals_a_slow_comparison(self) -> None:
        codecs = [
            CodecFingerprint("x", weights, sizes, hop, 24_000)
            for weights, sizes, hop in product(["00", "11"], [(8,), (8, 4), (8, 4, 2), (4, 8), (8, 5)], [320, 640])
        ]

        num_readable = 0

        for model, shard in product(codecs, codecs):
            readable = (
                model.weights_hash == shard.weights_hash
                and model.hop_length == shard.hop_length
                and len(model.codebook_sizes) <= len(shard.codebook_sizes)
                and all(a == b for a, b in zip(model.codebook_sizes, shard.codebook_sizes, strict=False))
            )

            num_readable += readable

            if readable:
                model.check_reads(shard, where="a shard")
            else:
                with pytest.raises(UserInputError, match="a shard holds codes of"):
                    model.check_reads(shard, where="a shard")

        # 9 pairs of sizes, 2 hashes, 2 hops.
        assert num_readable == 9 * 2 * 2

    def test_message_shows_both_sides(self) -> None:
        with pytest.raises(UserInputError) as info:
            CODEC.check_reads(dataclasses.replace(CODEC, name="old", weights_hash="ef" * 32), where="s.parquet")

        for words in ("s.parquet", "'old'", "'codec'", "efefefef", "abababab"):
            assert words in str(info.value)

    def test_json_is_read_back(self) -> None:
        assert CodecFingerprint.from_json(CODEC.to_json()) == CODEC

        assert json.loads(CODEC.to_json())["codebook_sizes"] == [1024, 512, 256]

    @pytest.mark.parametrize(
        "change",
        [
            {"codebook_sizes": None},
            {"codebook_sizes": []},
            {"codebook_sizes": [0]},
            {"codebook_sizes": ["a"]},
            {"hop_length": 0},
            {"hop_length": "x"},
            {"sample_rate": -1},
        ],
    )
    def test_from_json_raises_error_when_a_field_is_bad(self, change: dict[str, object]) -> None:
        text = json.dumps(json.loads(CODEC.to_json()) | change)

        with pytest.raises(UserInputError, match=r"s\.parquet cannot be read"):
            CodecFingerprint.from_json(text, where="s.parquet")

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '"a"'])
    def test_from_json_raises_error_when_text_is_no_fingerprint(self, text: str) -> None:
        with pytest.raises(UserInputError, match="cannot be read"):
            CodecFingerprint.from_json(text)

        with pytest.raises(UserInputError, match="cannot be read"):
            VocabularyFingerprint.from_json(text)


class TestVocabularyFingerprint:
    @pytest.mark.parametrize(
        ("field", "value", "words"),
        [
            ("tokenizer_hash", "ce" * 32, "text tokenizer"),
            ("text_size", 1_001, "text vocabulary size"),
            ("codec", dataclasses.replace(CODEC, weights_hash="00" * 32), "codec"),
            ("codec", CODEC.first(2), "codec"),
            ("pattern", "parallel", "stream pattern"),
        ],
    )
    def test_check_raises_error_when_anything_differs(self, field: str, value: object, words: str) -> None:
        other = dataclasses.replace(VOCABULARY, **{field: value})  # type: ignore[arg-type]

        for mine, theirs in ((VOCABULARY, other), (other, VOCABULARY)):
            with pytest.raises(UserInputError, match=f"model: the {words} is"):
                mine.check_loads_into(theirs, where="model")

    @pytest.mark.parametrize(
        ("field", "value", "hint"),
        [
            ("tokenizer_hash", "ce" * 32, "tokenizer.name=auto"),
            ("codec", CODEC.first(2), f"num_streams={len(CODEC.codebook_sizes)}"),
            ("pattern", "parallel", f"model.config_overrides.pattern={VOCABULARY.pattern}"),
        ],
    )
    def test_check_says_what_to_set(self, field: str, value: object, hint: str) -> None:
        other = dataclasses.replace(VOCABULARY, **{field: value})  # type: ignore[arg-type]

        with pytest.raises(UserInputError) as info:
            VOCABULARY.check_loads_into(other, where="model")

        assert info.value.hint is not None and hint in info.value.hint

    def test_names_do_not_matter(self) -> None:
        other = dataclasses.replace(VOCABULARY, tokenizer="a copy", codec=dataclasses.replace(CODEC, name="a copy"))

        VOCABULARY.check_loads_into(other, where="model")

    def test_specials_must_be_a_subset_of_the_runs(self) -> None:
        pairs = [(0, "<pad>"), (1, "<a>"), (2, "<b>")]

        moved = [(0, "<pad>"), (1, "<b>"), (2, "<a>")]

        choices = [tuple(pairs[:1]), tuple(pairs[:2]), tuple(pairs), tuple(reversed(pairs)), tuple(moved), ()]

        num_loaded = 0

        for mine, theirs in product(choices, choices):
            model = dataclasses.replace(VOCABULARY, specials=mine)
            run = dataclasses.replace(VOCABULARY, specials=theirs)

            # The slow way.
            if all(any(pair == other for other in theirs) for pair in mine):
                model.check_loads_into(run, where="model")

                num_loaded += 1
            else:
                with pytest.raises(UserInputError, match="special tokens"):
                    model.check_loads_into(run, where="model")

        assert 0 < num_loaded < len(choices) ** 2

    def test_a_new_tag_breaks_nothing(self) -> None:
        newer = dataclasses.replace(VOCABULARY, specials=(*STANDARD_SPECIALS, (255, "<task:new>")))

        VOCABULARY.check_loads_into(newer, where="model")

        with pytest.raises(UserInputError, match="task:new"):
            newer.check_loads_into(VOCABULARY, where="model")

    def test_vocabulary_is_made_of_it(self) -> None:
        assert VOCABULARY.vocabulary == Vocabulary(1_000, (1024, 512, 256))

    def test_json_is_read_back(self) -> None:
        assert VocabularyFingerprint.from_json(VOCABULARY.to_json()) == VOCABULARY

    @pytest.mark.parametrize(
        "change",
        [
            {"text_size": -1},
            {"text_size": "x"},
            {"specials": None},
            {"specials": [[0]]},
            {"specials": [[0, "a"], [0, "b"]]},
            {"specials": [[256, "a"]]},
            {"codec": None},
            {"codec": {}},
        ],
    )
    def test_from_json_raises_error_when_a_field_is_bad(self, change: dict[str, object]) -> None:
        text = json.dumps(json.loads(VOCABULARY.to_json()) | change)

        with pytest.raises(UserInputError, match=r"model\.yaml cannot be read"):
            VocabularyFingerprint.from_json(text, where="model.yaml")
