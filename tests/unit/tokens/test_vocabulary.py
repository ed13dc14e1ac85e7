"""The id intervals against a table that is filled one id at a time."""

from __future__ import annotations

import pytest
import torch

from codec_s2st.tokens.vocabulary import (
    LANGUAGES,
    NUM_SPECIAL_SLOTS,
    OWN_SLOTS,
    PAD,
    STANDARD_SPECIALS,
    TASKS,
    TEXT_END,
    Vocabulary,
    assign_own_slots,
    language_tag,
    own_task_tag,
    task_tag,
)

SHAPES = [(0, (4,)), (10, (5, 3, 7)), (100, (40_000, 2)), (3, (8,) * 8)]


def slow_table(text_size: int, sizes: tuple[int, ...]) -> list[tuple[str, int]]:
    """Returns the (kind, index in its kind) of every id, counted up from 0; kinds are text, special and q0, q1, .."""
    table: list[tuple[str, int]] = []

    for index in range(text_size):
        table.append(("text", index))

    for index in range(256):
        table.append(("special", index))

    for stream, size in enumerate(sizes):
        for index in range(size):
            table.append((f"q{stream}", index))

    return table


@pytest.mark.parametrize(("text_size", "sizes"), SHAPES)
class TestIntervals:
    def test_bounds_equal_the_table(self, text_size: int, sizes: tuple[int, ...]) -> None:
        vocabulary = Vocabulary(text_size, sizes)

        table = slow_table(text_size, sizes)

        assert vocabulary.size == len(table)

        assert vocabulary.num_streams == len(sizes)

        assert vocabulary.specials_begin == table.index(("special", 0))

        assert vocabulary.codes_begin == table.index(("q0", 0))

        offsets = tuple(table.index((f"q{stream}", 0)) for stream in range(len(sizes)))

        assert vocabulary.codebook_offsets() == offsets

        assert tuple(vocabulary.codebook_begin(stream) for stream in range(len(sizes))) == offsets

        in_stream0 = [id_ for id_, (kind, _) in enumerate(table) if kind in ("text", "special", "q0")]

        assert in_stream0 == list(range(vocabulary.stream0_size))

    def test_spaces_equal_the_table(self, text_size: int, sizes: tuple[int, ...]) -> None:
        vocabulary = Vocabulary(text_size, sizes)

        table = slow_table(text_size, sizes)

        def ids_of(*kinds: str) -> list[int]:
            return [id_ for id_, (kind, _) in enumerate(table) if kind in kinds]

        assert list(vocabulary.text_space) == ids_of("text", "special")

        assert list(vocabulary.speech_space) == ids_of("special", "q0")

        # Text ids and the end of a text segment are predicted among text; every other id of stream 0 among speech.
        in_text_space = vocabulary.is_text_space(torch.arange(vocabulary.stream0_size))

        for id_ in range(vocabulary.stream0_size):
            kind, index = table[id_]

            is_text_end = kind == "special" and dict(STANDARD_SPECIALS).get(index) == TEXT_END

            assert bool(in_text_space[id_]) == (kind == "text" or is_text_end)

            # Each id competes in the space that it is predicted in.
            assert id_ in (vocabulary.text_space if in_text_space[id_] else vocabulary.speech_space)

    def test_names_equal_the_table(self, text_size: int, sizes: tuple[int, ...]) -> None:
        vocabulary = Vocabulary(text_size, sizes)

        names = dict(STANDARD_SPECIALS)

        for id_, (kind, index) in list(enumerate(slow_table(text_size, sizes)))[:: max(1, sum(sizes) // 1_000)]:
            if kind == "special":
                expected = names.get(index, f"<reserved:{index}>")
            else:
                expected = f"{kind}:{index}"

            assert vocabulary.name_of(id_) == expected

        for id_ in (-1, vocabulary.size):
            with pytest.raises(ValueError):
                vocabulary.name_of(id_)

    def test_specials_are_found_by_name(self, text_size: int, sizes: tuple[int, ...]) -> None:
        vocabulary = Vocabulary(text_size, sizes)

        for slot, name in STANDARD_SPECIALS:
            assert vocabulary.special(name) == text_size + slot

            assert vocabulary.name_of(text_size + slot) == name

        assert vocabulary.pad == text_size

        with pytest.raises(KeyError):
            vocabulary.special("<nothing>")


class TestSpecials:
    def test_slots_fit_and_do_not_repeat(self) -> None:
        slots = [slot for slot, _ in STANDARD_SPECIALS]
        names = [name for _, name in STANDARD_SPECIALS]

        assert len(set(slots)) == len(slots) == len(set(names))

        assert 0 <= min(slots) <= max(slots) < NUM_SPECIAL_SLOTS

        assert {task_tag(task) for task in TASKS} | {language_tag(language) for language in LANGUAGES} < set(names)

    def test_slots_are_given_forever(self) -> None:
        """Checkpoints hold these pairs: whoever changes one makes every model of before unreadable."""
        given = {
            0: PAD, 1: "<speech>", 2: "</speech>", 3: "<text>", 4: "</text>", 5: "<flush>",
            16: "<task:text_lm>", 17: "<task:speech_lm>", 18: "<task:asr>", 19: "<task:tts>", 20: "<task:s2tt>",
            21: "<task:t2st>", 22: "<task:mt>", 23: "<task:s2st>",
            64: "<lang:spa>", 65: "<lang:eng>", 66: "<lang:cmn>", 67: "<lang:deu>", 68: "<lang:fra>",
        }  # fmt: skip

        assert given.items() <= dict(STANDARD_SPECIALS).items()

    def test_own_tags_have_slots_that_nothing_but_their_names_decides(self) -> None:
        tags = [own_task_tag(name) for name in ("one", "two", "three")]

        slots = {tag: slot for slot, tag in assign_own_slots(STANDARD_SPECIALS, tags)}

        assert [slots[tag] for tag in tags] == [254, 228, 227]

        assert assign_own_slots(STANDARD_SPECIALS, reversed(tags)) == tuple(sorted((s, t) for t, s in slots.items()))

        for tag in tags:
            [alone] = set(assign_own_slots(STANDARD_SPECIALS, [tag])) - set(STANDARD_SPECIALS)

            assert alone == (slots[tag], tag)

        assert set(STANDARD_SPECIALS).isdisjoint((slot, tag) for tag, slot in slots.items() if tag in tags)

    def test_own_tags_that_have_a_slot_keep_it(self) -> None:
        tag = own_task_tag("one")

        known = ((200, tag), (254, own_task_tag("other")))

        assert assign_own_slots(known, [tag]) == known

        # Another one has its slot.
        assert assign_own_slots(known[1:], [tag]) == (*known[1:], (255, tag))

    def test_all_own_slots_can_be_taken_and_no_more(self) -> None:
        tags = [own_task_tag(f"t{i}") for i in range(len(OWN_SLOTS))]

        specials = assign_own_slots(STANDARD_SPECIALS, tags)

        assert {slot for slot, _ in set(specials) - set(STANDARD_SPECIALS)} == set(OWN_SLOTS)

        with pytest.raises(ValueError, match=r"no slot for <own:more>: all 64 are taken"):
            assign_own_slots(specials, [own_task_tag("more")])

    @pytest.mark.parametrize("specials", [((0, "a"), (0, "b")), ((0, "a"), (1, "a")), ((256, "a"),), ((-1, "a"),)])
    def test_init_raises_error_when_specials_are_bad(self, specials: tuple[tuple[int, str], ...]) -> None:
        with pytest.raises(ValueError):
            Vocabulary(10, (4,), specials)

    @pytest.mark.parametrize(("text_size", "sizes"), [(-1, (4,)), (10, ()), (10, (4, 0))])
    def test_init_raises_error_when_sizes_are_bad(self, text_size: int, sizes: tuple[int, ...]) -> None:
        with pytest.raises(ValueError):
            Vocabulary(text_size, sizes)
