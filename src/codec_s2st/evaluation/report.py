"""What an evaluation found, as records that say how to find it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from codec_s2st.data.files import atomic_path
from codec_s2st.evaluation.resampling import Interval
from codec_s2st.evaluation.table import markdown, plain

REPORT_FORMAT: Final = 2

MODEL: Final = "model"

CODEC_TOPLINE: Final = "codec topline"
"""The reference's audio through the codec and back: what is lost before the model comes in."""

REFERENCE_AUDIO: Final = "reference audio"
"""The reference's audio itself: what the listener gets wrong."""

CHANCE: Final = "chance"
"""Each item answered by the reference of another one."""


@dataclass(frozen=True)
class Identity:
    """Weights that have a name."""

    name: str
    """The name of the asset card."""

    weights_hash: str
    """SHA-256, in hex."""


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
    """Such as ``bleu``, or ``asr-bleu`` if it is of what a listener heard."""

    value: float | None
    """``None`` if it was not measured."""

    interval: Interval | None = None
    """Where the value would lie on 95 % of other samples of the same kind, by a bootstrap over items."""

    not_measured: str | None = None
    """Why there is no value."""

    signature: str
    normaliser: str
    num_items: int

    transcriber: str | None
    """The listener: a name, and behind a blank its version; ``None`` where none is involved."""

    share_of_reference: float | None = None
    """The value as a share of the same listener's on the reference's audio; higher-is-better metrics only."""

    empty_hypotheses: tuple[str, ...] = ()
    """The ids of items that the system, or its listener, had no word for; they are scored."""


@dataclass(frozen=True)
class LeftOut:
    """An item, or one side of it, that could not be scored."""

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

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of one rank's work for a second of speech; below 1 is faster than speech."""
        return self.work_seconds / self.seconds_in if self.seconds_in else None


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

    def to_json(self) -> str:
        data = {"format": REPORT_FORMAT, **asdict(self)}

        data["speed"]["real_time_factor"] = self.speed.real_time_factor

        return json.dumps(data, indent=2, ensure_ascii=False)

    def to_text(self) -> str:
        """Returns what is printed: a title, the table, and lines about speed and omissions."""
        return "\n".join([self.title(), "", plain(self.table()), "", *self.remarks()])

    def to_markdown(self) -> str:
        remarks = [f"- {remark}" for remark in (*self.remarks(), *self.details())]

        return "\n".join([f"# {self.title()}", "", markdown(self.table()), "", *remarks, ""])

    def details(self) -> list[str]:
        """Returns what is needed to find the scores again, and what is missing, a line each."""
        transcribers = {record.transcriber: None for record in self.scores if record.transcriber is not None}

        signatures = {f"{record.metric}: {record.signature}": None for record in self.scores}

        return [
            *(f"listener: {transcriber}" for transcriber in transcribers),
            *signatures,
            *(f"{quality}: not measured: {reason}" for quality, reason in self.not_measured.items()),
            *(f"left out: {item.id}: {item.reason}" for item in self.left_out),
        ]

    def table(self) -> list[list[str]]:
        """Returns the cells, the head first: a row a system and listener, a column a metric."""
        metrics = list(dict.fromkeys(record.metric for record in self.scores))

        has_share = any(record.share_of_reference is not None for record in self.scores)

        head = ["system", "listener", *metrics, *([f"{metrics[0]} share"] if has_share else []), "items"]

        groups: dict[tuple[str, str | None, str | None], dict[str, ScoreRecord]] = {}

        for record in self.scores:
            groups.setdefault((record.system, record.transcriber, record.language), {})[record.metric] = record

        has_languages = len({record.language for record in self.scores}) > 1

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

    def title(self) -> str:
        model = f"{self.model.name} ({self.model.weights_hash[:12]})"

        return f"{self.task} of {model} on {self.manifest}" + ("" if self.split is None else f", split {self.split}")

    def remarks(self) -> list[str]:
        """Returns what has to be known of the table, a line each."""
        factor = self.speed.real_time_factor

        rate = "not measured" if factor is None else f"{factor:.2f}"

        normalisers = ", ".join(dict.fromkeys(record.normaliser for record in self.scores))

        remarks = [
            f"{self.num_translated} of {self.num_selected} items translated, {len(self.unfinished)} of them cut at the "
            f"largest length; normaliser {normalisers}; seed {self.seed}",
            f"real-time factor {rate} ({self.speed.device}, {self.speed.num_ranks} rank(s), batches of "
            f"{self.speed.batch_size})",
        ]

        reasons = {record.not_measured: None for record in self.scores if record.not_measured is not None}

        remarks += [f"not measured: {reason}" for reason in reasons]

        if self.left_out:
            first = self.left_out[0]

            remarks.append(f"{len(self.left_out)} left out, the first: '{first.id}': {first.reason}")

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
    """Returns a score as people write it: error rates are fractions, the others go to 100."""
    return f"{value:.3f}" if metric.endswith("er") else f"{value:.1f}"


def write_report(report: Report, folder: Path) -> None:
    """Writes ``report.json`` and ``report.md``.

    :raises CodecS2STError: the folder cannot be written.
    """
    for name, text in (("report.md", report.to_markdown()), ("report.json", report.to_json() + "\n")):
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
