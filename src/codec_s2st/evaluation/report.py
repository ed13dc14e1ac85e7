"""What an evaluation found, as records that say how to find it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from codec_s2st.data.files import atomic_path
from codec_s2st.evaluation.identity import Identity as Identity
from codec_s2st.evaluation.resampling import Interval
from codec_s2st.evaluation.table import markdown, plain

REPORT_FORMAT: Final = 3

MODEL: Final = "model"

CODEC_TOPLINE: Final = "codec topline"
"""The reference's audio through the codec and back: what is lost before the model comes in."""

REFERENCE_AUDIO: Final = "reference audio"
"""The reference's audio itself: what the listener gets wrong."""

CHANCE: Final = "chance"
"""Each item answered by the reference of another one."""


@dataclass(frozen=True, kw_only=True)
class ScoreRecord:
    """One score of one system, or why there is none."""

    system: str
    """``model``, ``codec topline``, ``reference audio`` or ``chance``."""

    subject: Identity | None
    """The weights that were scored; ``None`` where the system has none."""

    language: str | None = None
    """The ISO 639-3 code of the texts' language, if it is known."""

    metric: str
    """Such as ``bleu``, ``asr-bleu`` if it is of what a listener heard, or ``stoi`` if it is of the speech itself."""

    value: float | None
    """``None`` if it was not measured."""

    interval: Interval | None = None
    """Where the value would lie on 95 % of other samples of the same kind, by a bootstrap over items."""

    not_measured: str | None = None
    """Why there is no value."""

    signature: str

    normaliser: str | None
    """``None`` where no text is compared."""

    num_items: int

    transcriber: str | None
    """The listener: a name, and behind a blank its version; ``None`` where none is involved."""

    judge: str | None = None
    """Who gave each item its number: a name, and behind a blank its version; ``None`` where it is arithmetic alone."""

    instrument: Identity | None = None
    """The weights of the listener or the judge; ``None`` where it has none."""

    share_of_reference: float | None = None
    """The value as a share of the same listener's on the reference's audio; higher-is-better metrics only."""

    empty_hypotheses: tuple[str, ...] = ()
    """The ids of items that the system, or its listener, had no word for; they are scored."""

    failed: tuple[str, ...] = ()
    """The ids of items that should have been scored, but that listener or metric gave nothing for."""

    @property
    def is_of_text(self) -> bool:
        """Whether texts were compared, in which case the score is of the corpus, not a mean over items."""
        return self.normaliser is not None


@dataclass(frozen=True)
class LeftOut:
    """An item, or one side of it, that could not be scored."""

    id: str
    reason: str


@dataclass(frozen=True)
class ItemWarning:
    """What is odd about an item that was scored all the same, or that one metric has no value for."""

    id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How long translating took; reading, writing and listening are not in it."""

    seconds_in: float
    """Speech that was translated."""

    seconds_out: float
    """Speech that came out; 0 for tasks that end in text."""

    work_seconds: float
    """Wall time of translating, added up over ranks."""

    device: str
    batch_size: int
    num_ranks: int

    peak_memory: int | None = None
    """The most memory that a rank has held, in bytes, listeners and judges among it (but not their commands)."""

    peak_device_memory: int | None = None
    """The most that a rank's tensors have held of a GPU, in bytes; ``None`` without one."""

    first_audio_seconds: float | None = None
    """From a recording's end to the first sound of its translation, streamed alone; the median over items. ``None`` if
    it was not measured."""

    first_audio_items: int = 0

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of one rank's work for a second of speech; below 1 is faster than speech.

        It is of the speech that came in, or of what came out where the task starts from text.
        """
        seconds = self.seconds_in or self.seconds_out

        return self.work_seconds / seconds if seconds else None

    def remarks(self) -> str:
        """Returns the rest of what is known, in words."""
        memory = "not measured" if self.peak_memory is None else f"{self.peak_memory / 2**20:,.0f} MiB"

        if self.peak_device_memory is not None:
            memory += f", {self.peak_device_memory / 2**20:,.0f} MiB of the GPU"

        first = "not measured"

        if self.first_audio_seconds is not None:
            first = f"{self.first_audio_seconds:.2f} s (median of {self.first_audio_items} item(s))"

        return f"peak memory {memory}; time to first audio {first}"


@dataclass(frozen=True, kw_only=True)
class Report:
    """The whole of an evaluation."""

    tool: str
    """Package and version."""

    task: str
    model: Identity
    codec: Identity

    manifest: str
    manifest_hash: str
    """The SHA-256 of the manifest's file, in hex."""

    split: str | None
    """``None`` if rows of every split were taken."""

    seed: int
    generation: Mapping[str, object]

    num_selected: int
    """The items of the manifest that were to be translated."""

    num_translated: int

    scores: tuple[ScoreRecord, ...]
    speed: Speed

    left_out: tuple[LeftOut, ...]
    unfinished: tuple[str, ...]
    """The ids of outputs that were cut at their largest length; they are scored."""

    not_measured: Mapping[str, str]
    """Qualities that nothing here says anything about, each with the reason."""

    warnings: tuple[ItemWarning, ...] = ()
    """Silent or clipped recordings, and metrics that failed on an item."""

    def to_json(self) -> str:
        data = {"format": REPORT_FORMAT, **asdict(self)}

        data["speed"]["real_time_factor"] = self.speed.real_time_factor

        return json.dumps(data, indent=2, ensure_ascii=False)

    def to_text(self) -> str:
        """Returns what is printed: a title, the table, and lines about speed and omissions."""
        tables = [line for cells in self.tables() for line in (plain(cells), "")]

        return "\n".join([self.title(), "", *tables, *self.remarks()])

    def to_markdown(self) -> str:
        remarks = [f"- {remark}" for remark in (*self.remarks(), *self.details())]

        tables = [line for cells in self.tables() for line in (markdown(cells), "")]

        return "\n".join([f"# {self.title()}", "", *tables, *remarks, ""])

    def details(self) -> list[str]:
        """Returns what is needed to find the scores again, and what is missing, a line each."""
        transcribers = {record.transcriber: None for record in self.scores if record.transcriber is not None}

        judges = {record.judge: None for record in self.scores if record.judge is not None}

        instruments = {record.instrument: None for record in self.scores if record.instrument is not None}

        signatures = {f"{record.metric}: {record.signature}": None for record in self.scores}

        return [
            *(f"listener: {transcriber}" for transcriber in transcribers),
            *(f"judge: {judge}" for judge in judges),
            *(f"weights of {weights.name}: {weights.weights_hash}" for weights in instruments),
            *signatures,
            *(f"{quality}: not measured: {reason}" for quality, reason in self.not_measured.items()),
            *(f"left out: {item.id}: {item.reason}" for item in self.left_out),
            *(f"warning: {item.id}: {item.reason}" for item in self.warnings),
        ]

    def tables(self) -> list[list[list[str]]]:
        """Returns the cells of each table: that of texts, and that of the speech itself where something is known."""
        measures = self.measures_table()

        return [self.table(), *([measures] if len(measures) > 1 else [])]

    def table(self) -> list[list[str]]:
        """Returns the cells of the texts' scores, the head first: a row a system and listener, a column a metric."""
        scores = [record for record in self.scores if record.is_of_text]

        metrics = list(dict.fromkeys(record.metric for record in scores))

        has_share = any(record.share_of_reference is not None for record in scores)

        head = ["system", "listener", *metrics, *([f"{metrics[0]} share"] if has_share else []), "items"]

        groups: dict[tuple[str, str | None, str | None], dict[str, ScoreRecord]] = {}

        for record in scores:
            groups.setdefault((record.system, record.transcriber, record.language), {})[record.metric] = record

        has_languages = len({record.language for record in scores}) > 1

        rows = [head]

        for (system, transcriber, language), records in groups.items():
            if has_languages:
                system = f"{system}, {language or 'unknown'}"

            # The version behind the name would make the table too wide for a terminal.
            row = [system, (transcriber or "-").partition(" ")[0]]

            row += [_cell(records.get(metric)) for metric in metrics]

            if has_share:
                share = records[metrics[0]].share_of_reference if metrics[0] in records else None

                row.append("-" if share is None else f"{100 * share:.0f} %")

            row.append(str(max(record.num_items for record in records.values())))

            rows.append(row)

        return rows

    def measures_table(self) -> list[list[str]]:
        """Returns the cells of what is measured of speech itself, the head first: a row a metric, a column a system."""
        scores = [record for record in self.scores if not record.is_of_text]

        systems = list(dict.fromkeys(record.system for record in scores))

        groups: dict[tuple[str, str | None], dict[str, ScoreRecord]] = {}

        for record in scores:
            groups.setdefault((record.metric, record.judge), {})[record.system] = record

        rows = [["metric", "judge", *systems, "items"]]

        for (metric, judge), records in groups.items():
            cells = [_cell(records.get(system)) for system in systems]

            num_items = max(record.num_items for record in records.values())

            rows.append([metric, (judge or "-").partition(" ")[0], *cells, str(num_items)])

        return rows

    def title(self) -> str:
        model = f"{self.model.name} ({self.model.weights_hash[:12]})"

        return f"{self.task} of {model} on {self.manifest}" + ("" if self.split is None else f", split {self.split}")

    def remarks(self) -> list[str]:
        """Returns what has to be known of the table, a line each."""
        factor = self.speed.real_time_factor

        rate = "not measured" if factor is None else f"{factor:.2f}"

        normalisers = ", ".join(dict.fromkeys(record.normaliser for record in self.scores if record.normaliser))

        remarks = [
            f"{self.num_translated} of {self.num_selected} items translated, {len(self.unfinished)} of them cut at the "
            f"largest length; normaliser {normalisers}; seed {self.seed}",
            f"real-time factor {rate} ({self.speed.device}, {self.speed.num_ranks} rank(s), batches of "
            f"{self.speed.batch_size}); {self.speed.remarks()}",
        ]

        reasons = {record.not_measured: None for record in self.scores if record.not_measured is not None}

        remarks += [f"not measured: {reason}" for reason in reasons]

        if self.left_out:
            first = self.left_out[0]

            remarks.append(f"{len(self.left_out)} left out, the first: '{first.id}': {first.reason}")

        if self.warnings:
            num_items, odd = len({item.id for item in self.warnings}), self.warnings[0]

            remarks.append(
                f"{len(self.warnings)} warning(s) of {num_items} item(s), the first: '{odd.id}': {odd.reason}"
            )

        return remarks


def _cell(record: ScoreRecord | None) -> str:
    if record is None:
        return "-"

    if record.value is None:
        return "not measured"

    text = format_value(record.metric, record.value)

    # All of them would make the table too wide.
    if record.interval is None or record.system != MODEL:
        return text

    low, high = (format_value(record.metric, bound) for bound in record.interval)

    return f"{text} [{low}, {high}]"


def format_value(metric: str, value: float) -> str:
    """Returns a score as people write it: BLEU and chrF go to 100, error rates and the others are small numbers."""
    return f"{value:.1f}" if metric.removeprefix("asr-") in _OF_HUNDRED else f"{value:.3f}"


_OF_HUNDRED: Final = frozenset({"bleu", "chrf", "chrf++"})


def write_report(report: Report, folder: Path) -> None:
    """Writes ``report.json`` and ``report.md``.

    :raises CodecS2STError: the folder cannot be written.
    """
    for name, text in (("report.md", report.to_markdown()), ("report.json", report.to_json() + "\n")):
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
