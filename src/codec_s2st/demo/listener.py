"""The independent listener: PocketSphinx with its own English acoustic model, which shares nothing with our models.

:class:`OpenListener` hears any sequence of the demo world's words: the fair one, for headline figures.
:class:`ConstrainedListener` hears sentences of the grammar only: it snaps noise to a valid sentence, so a figure from
it says something only beside what it makes of random sentences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from codec_s2st.demo.grammar import DEMO, Automaton, english_automaton, sample_text
from codec_s2st.demo.language_model import arpa_lines
from codec_s2st.demo.signal import resample
from codec_s2st.errors import UserInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAMPLE_RATE: Final = 16_000

_INSTALL_HINT: Final = "pip install 'codec-s2st[demo]'"

# PocketSphinx hears a clean synthesiser badly: it expects silence around the speech and some noise everywhere.
_PAD_SECONDS: Final = 0.25
_DITHER: Final = 1e-3

# Of the training part, for the frequencies of words.
_NUM_SENTENCES: Final = 5_000


class _Listener:
    def __init__(self, words: Sequence[str], kind: str, lines: Iterable[str], **options: float) -> None:
        """
        :param kind: What ``lines`` are: ``fsg`` (a grammar) or ``lm`` (a language model).
        """
        try:
            from pocketsphinx import Decoder, get_model_path
        except ImportError:
            raise UserInputError("the package 'pocketsphinx' is not installed", hint=_INSTALL_HINT) from None

        model = Path(get_model_path()) / "en-us"

        # Lives as long as we do.
        self._folder = TemporaryDirectory(prefix="codec-s2st-")

        lexicon = Path(self._folder.name) / "words.dict"
        grammar = Path(self._folder.name) / f"demo.{kind}"

        # A small dictionary loads in no time.
        lexicon.write_text("".join(_dictionary_lines(model / "cmudict-en-us.dict", words)))

        grammar.write_text("".join(lines))

        def make_decoder() -> Any:
            return Decoder(
                hmm=str(model / "en-us"),
                dict=str(lexicon),
                cmn="batch",
                loglevel="FATAL",
                **{kind: str(grammar)},
                **options,
            )

        self._make_decoder = make_decoder

    def transcribe(self, wave: NDArray[np.float32], sample_rate: int) -> str:
        """Returns what is heard in ``wave``: lower-case words, or an empty text.

        :param wave: Samples [N], float32 in [-1, 1].
        :param sample_rate: Samples a second; what is not 16 kHz is resampled.

        :raises UserInputError: ``wave`` is not one row of finite samples.
        """
        if wave.ndim != 1 or not np.isfinite(wave).all():
            raise UserInputError(f"the listener needs one row of finite samples, not an array of shape {wave.shape}")

        if wave.size == 0:
            return ""

        silence = np.zeros(int(_PAD_SECONDS * _SAMPLE_RATE), np.float32)

        padded = np.concatenate((silence, resample(wave.astype(np.float32), sample_rate, _SAMPLE_RATE), silence))

        # The same noise in each call.
        padded += _DITHER * np.random.default_rng(0).standard_normal(padded.size, np.float32)

        pcm = (np.clip(padded, -1.0, 1.0) * 32767).astype("<i2")

        # A new one (0.1 s), since a used one hears a little differently: what was heard before must not matter.
        decoder = self._make_decoder()

        decoder.start_utt()
        decoder.process_raw(pcm.tobytes(), no_search=False, full_utt=True)
        decoder.end_utt()

        hypothesis = decoder.hyp()

        return "" if hypothesis is None else str(hypothesis.hypstr)


class ConstrainedListener(_Listener):
    """Hears the English sentences of the demo world's grammar and nothing else.

    Where it does not understand the end, it returns the beginning of a sentence.
    """

    def __init__(self, *, world: str = DEMO) -> None:
        """
        :param world: The name of the world whose sentences it hears.

        :raises UserInputError: The world is unknown, or PocketSphinx is not installed, or lacks a word of the grammar.
        """
        automaton = english_automaton(world)

        super().__init__(automaton.words(), "fsg", _fsg_lines(automaton))


class OpenListener(_Listener):
    """Hears any sequence of the demo world's English words."""

    def __init__(self, *, order: int = 1, world: str = DEMO) -> None:
        """
        :param order: 1 if only the frequencies of words are known to it, 2 if those of pairs of words are too: it then
            understands far better, and mends a little.
        :param world: The name of the world whose words it hears.

        :raises ValueError: ``order`` is another number.
        :raises UserInputError: The world is unknown, or PocketSphinx is not installed, or lacks a word of the grammar.
        """
        words = english_automaton(world).words()

        lines = arpa_lines(sample_text("eng", _NUM_SENTENCES, seed=0, world=world), words, order=order)

        # A word costs something, or a long word is heard as many short ones.
        super().__init__(words, "lm", lines, lw=6.5, wip=1e-4 if order == 1 else 0.1)


def _dictionary_lines(dictionary: Path, words: Iterable[str]) -> Iterator[str]:
    """Yields the lines of ``dictionary`` for ``words``, further pronunciations (``read(2)``) included."""
    missing = set(words)

    wanted = frozenset(missing)

    with dictionary.open(encoding="utf-8") as lines:
        for line in lines:
            word = line.partition(" ")[0].partition("(")[0]

            if word in wanted:
                missing.discard(word)

                yield line

    if missing:
        raise UserInputError(f"PocketSphinx's dictionary lacks the words {', '.join(sorted(missing))}")


def _fsg_lines(automaton: Automaton) -> Iterator[str]:
    """Yields the lines of PocketSphinx's grammar format, which has one final state."""
    end = len(automaton.arcs)

    yield f"FSG_BEGIN <demo>\nNUM_STATES {end + 1}\nSTART_STATE 0\nFINAL_STATE {end}\n"

    for state, arcs in enumerate(automaton.arcs):
        is_final = state in automaton.finals

        probability = 1.0 / (len(arcs) + is_final)

        for word, target in arcs.items():
            yield f"TRANSITION {state} {target} {probability:.6f} {word}\n"

        if is_final:
            yield f"TRANSITION {state} {end} {probability:.6f}\n"

    yield "FSG_END\n"
