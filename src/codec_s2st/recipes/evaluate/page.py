"""The report as one page to listen to, which needs no other file and no network. Legend: N sample."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from random import Random
from string import Template
from typing import Final

from torch import Tensor

from codec_s2st.codecs.audio import encode_audio, read_audio
from codec_s2st.data.files import atomic_path
from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.metrics import is_unspaced, item_counts
from codec_s2st.evaluation.normalise import BASIC
from codec_s2st.evaluation.report import MODEL, Report, format_value
from codec_s2st.evaluation.spectrogram import spectrogram_png
from codec_s2st.recipes.evaluate.items import EvaluatedItem

NUM_ITEMS: Final = 20
"""The worst ones that are shown, and as many of the others."""

MAX_SECONDS: Final = 30.0
"""Of a recording, what is put into the page."""

WORST: Final = "worst"

RANDOM: Final = "random"


@dataclass(frozen=True)
class PageItem:
    """An item that is shown."""

    item: EvaluatedItem

    error: float
    """That of :func:`item_error`."""

    group: str
    """:data:`WORST` or :data:`RANDOM`."""


def choose_items(items: Sequence[EvaluatedItem], *, seed: int, num: int = NUM_ITEMS) -> list[PageItem]:
    """Returns the worst items, the worst first, and so many of the others at random, in the order of the report.

    What has no wrong word is not among the worst, however few items there are.
    """
    scored = [PageItem(item, error, WORST) for item in items if (error := item_error(item)) is not None]

    # Of equal ones, those that come first.
    order = sorted(range(len(scored)), key=lambda idx: -scored[idx].error)

    worst = [idx for idx in order[:num] if scored[idx].error > 0]

    rest = sorted(order[len(worst) :])

    others = Random(seed).sample(rest, min(num, len(rest)))

    return [
        *(scored[idx] for idx in worst),
        *(PageItem(scored[idx].item, scored[idx].error, RANDOM) for idx in sorted(others)),
    ]


def item_error(item: EvaluatedItem) -> float | None:
    """Returns the word error rate of what the model said (to the first listener), or ``None`` if nothing was said.

    In a language that is written without blanks it is the character error rate.
    """
    reference = BASIC(item.reference)

    said = next((hypothesis.text for hypothesis in item.hypotheses if hypothesis.system == MODEL), None)

    if not item.translated or not reference or said is None:
        return None

    metric = "cer" if is_unspaced(item.language) else "wer"

    return item_counts(metric, [reference], [BASIC(said)]).score()


def write_page(
    report: Report,
    items: Sequence[EvaluatedItem],
    folder: Path,
    *,
    recordings: Callable[[EvaluatedItem], Mapping[str, Path | str]],
    sample_rate: int,
) -> Path:
    """Writes ``report.html``.

    :param recordings: Maps an item to the recordings to be heard, by what they are.
    :param sample_rate: At which they are put into the page, in Hz.

    :raises CodecS2STError: the folder cannot be written.
    """
    chosen = choose_items(items, seed=report.seed)

    num_worst = sum(item.group == WORST for item in chosen)

    text = Template(files(__package__).joinpath("page.html").read_text(encoding="utf-8")).substitute(
        title=escape(report.title()),
        remarks="".join(f"<p>{escape(remark)}</p>" for remark in report.remarks()),
        scores="".join(_table(cells) for cells in report.tables()),
        plot=_data_uri("image/png", _draw(items)),
        chosen=f"The {num_worst} with the most wrong words, and {len(chosen) - num_worst} others at random; of"
        f" recordings, the first {MAX_SECONDS:g} seconds.",
        items=_items(chosen, recordings, sample_rate),
        details=_list(report.details()),
    )

    file = folder / "report.html"

    with atomic_path(file) as temporary:
        temporary.write_text(text, encoding="utf-8")

    return file


def _items(
    chosen: Sequence[PageItem],
    recordings: Callable[[EvaluatedItem], Mapping[str, Path | str]],
    sample_rate: int,
) -> str:
    rows = []

    for entry in chosen:
        item = entry.item

        said = [("reference", item.reference)]

        said += [
            (f"{hypothesis.system}{'' if hypothesis.transcriber is None else f', {hypothesis.transcriber}'}", text)
            for hypothesis in item.hypotheses
            for text in [hypothesis.text or "(nothing)"]
        ]

        texts = "".join(
            f'<div class="said"><span class="who">{escape(who)}:</span> {escape(text)}</div>' for who, text in said
        )

        texts += "".join(
            f'<div class="said"><span class="who">{escape(system)}:</span> {escape(", ".join(figures))}</div>'
            for system, figures in _figures(item).items()
        )

        texts += "".join(f'<div class="said warning">{escape(warning)}</div>' for warning in item.warnings)

        heard = "".join(_player(name, path, sample_rate) for name, path in recordings(item).items())

        rows.append(
            f"<tr><td><code>{escape(item.id)}</code></td><td>{entry.group}</td>"
            f"{_number(entry.error, format_value('wer', entry.error))}"
            f"{_seconds(item.seconds_in)}{_seconds(item.seconds_out)}"
            f"<td>{texts}</td><td>{heard}</td></tr>"
        )

    heads = ("item", "chosen as", "wrong words", "seconds in", "seconds out", "said", "recordings")

    return _wrap(heads, rows)


def _figures(item: EvaluatedItem) -> dict[str, list[str]]:
    """Returns what was measured of an item's speech, by system."""
    figures: dict[str, list[str]] = {}

    for measure in item.measures:
        if measure.value is not None:
            text = f"{measure.metric} {format_value(measure.metric, measure.value)}"

            figures.setdefault(measure.system, []).append(text)

    return figures


def _player(name: str, path: Path | str, sample_rate: int) -> str:
    try:
        wave = read_audio(path, sample_rate=sample_rate)[:, : round(MAX_SECONDS * sample_rate)]
    except UserInputError as ex:
        return f"<figure><figcaption>{escape(name)}: {escape(ex.message)}</figcaption></figure>"

    picture = _data_uri("image/png", spectrogram_png(wave[0], sample_rate))

    return (
        f'<figure><figcaption>{escape(name)}</figcaption><img alt="Spectrogram: {escape(name)}" src="{picture}">'
        f'<audio controls preload="metadata" src="{_sound(wave, sample_rate)}"></audio></figure>'
    )


def _sound(wave: Tensor, sample_rate: int) -> str:
    return _data_uri("audio/flac", encode_audio(wave, sample_rate, ".flac"))


def _draw(items: Sequence[EvaluatedItem]) -> bytes:
    """Draws how many items have how many wrong words, and if there is speech, how long it is beside the input."""
    from matplotlib.figure import Figure

    spoken = [item for item in items if item.seconds_out]

    num_plots = 2 if spoken else 1

    figure = Figure(figsize=(5 * num_plots, 3), layout="constrained")

    left, *right = figure.subplots(1, num_plots, squeeze=False)[0]

    errors = [min(error, 2.0) for item in items if (error := item_error(item)) is not None]

    left.hist(errors, bins=20, range=(0.0, max([1.0, *errors])), color="#0072b2")
    left.set_xlabel("wrong words, as a share of the reference's (2 and more: 2)", fontsize=8)
    left.set_ylabel("items", fontsize=8)

    for plot in right:
        plot.plot([item.seconds_in for item in spoken], [item.seconds_out for item in spoken], ".", color="#0072b2")
        plot.set_xlabel("seconds in", fontsize=8)
        plot.set_ylabel("seconds out", fontsize=8)

    content = BytesIO()

    figure.savefig(content, dpi=120, format="png")

    return content.getvalue()


def _table(cells: Sequence[Sequence[str]]) -> str:
    rows = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in cells[1:]]

    return _wrap(cells[0], rows)


def _wrap(heads: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)

    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _number(value: float, text: str) -> str:
    return f'<td class="number" data-value="{value!r}">{text}</td>'


def _seconds(value: float) -> str:
    return _number(value, f"{value:.1f}")


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{b64encode(content).decode()}"
