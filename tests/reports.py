"""Reports of hand-made items."""

from __future__ import annotations

from collections.abc import Sequence

from codec_s2st.evaluation.measures import Gauge
from codec_s2st.evaluation.report import CODEC_TOPLINE, MODEL, Identity, Report, Speed
from codec_s2st.recipes.evaluate.items import EvaluatedItem
from codec_s2st.recipes.evaluate.measured import item_warnings, score_measures
from codec_s2st.recipes.evaluate.scoring import score_items

CODEC = Identity("codec_s2st_c", "cd" * 32)


def make_report(
    items: Sequence[EvaluatedItem],
    *,
    model: str = "codec_s2st_m",
    num_ranks: int = 1,
    gauges: Sequence[Gauge] = (),
) -> Report:
    """Returns the report of ``items``; speech if a listener has heard one of them, transcripts if not."""
    listeners = sorted({said.transcriber for item in items for said in item.hypotheses if said.transcriber})

    kind = "s2st" if listeners else "asr"

    identity = Identity(model, "ab" * 32)

    scores = score_items(kind, items, transcribers=listeners, model=identity, codec=CODEC, seed=0)

    scores += score_measures(items, gauges, subjects={MODEL: identity, CODEC_TOPLINE: CODEC}, seed=0)

    return Report(
        tool="codec_s2st 0.1.0",
        task=kind,
        model=identity,
        codec=CODEC,
        manifest="/data/manifest.parquet",
        manifest_hash="ef" * 32,
        split=None,
        seed=0,
        generation={},
        num_selected=len(items),
        num_translated=len(items),
        scores=tuple(scores),
        speed=Speed(seconds_in=1.0, seconds_out=1.0, work_seconds=1.0, device="cpu", batch_size=8, num_ranks=num_ranks),
        left_out=(),
        unfinished=(),
        not_measured={"speech quality": "there is no predictor"},
        warnings=tuple(item_warnings(items, gauges)),
    )
