"""The model card of a published folder: its ``README.md``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from codec_s2st.model_cards import CODEC_CARD
from codec_s2st.share import CARD_PREFIX
from codec_s2st.tokens.compatibility import VocabularyFingerprint

_TEMPLATE: Final = """\
# {name}

{intro}

## Use

```
mkdir -p ~/.config/fairseq2/assets
cp -r THIS_FOLDER ~/.config/fairseq2/assets/
codec-s2st {command} --model {short}
```

or, without copying it, `--model THIS_FOLDER`. The folder is the one of fairseq2's cards: `$FAIRSEQ2_USER_ASSET_DIR` if
it is set. A training starts from the model with `--init {short}`, and from a folder elsewhere with
`--init THIS_FOLDER`. In Python: `SpeechTranslator.from_card("{short}")`.

{codec_note}

## Model

| | |
|---|---|
{model}

## Training

{data}

| | |
|---|---|
{training}

{metrics}

The whole configuration is in `training/config.json`, all metrics are in `training/metrics/`.

## Scores

{scores}

## Integrity

`card.yaml` holds the SHA-256 of the weights and of the tokenizer, and the names of all tokens; what does not fit is
refused when it is loaded. No file is a pickle.
"""

_SETTINGS: Final = (
    ("optimizer", "optimizer.name"),
    ("peak learning rate", "optimizer.config.lr"),
    ("learning rate schedule", "lr_scheduler.name"),
    ("warm-up steps", "lr_scheduler.config.num_warmup_steps"),
    ("rank of low-rank updates", "lora.rank"),
    ("their alpha", "lora.alpha"),
    ("rows of the text", "trainable.text_rows"),
    ("steps of the run", "regime.num_steps"),
    ("steps of LM in a batch, at most", "data.max_batch_steps"),
    ("batches a step", "trainer.grad_accumulation.num_batches"),
    ("gradient norm, at most", "trainer.max_grad_norm"),
    ("mixed precision", "trainer.mixed_precision.mode"),
    ("data parallelism", "trainer.data_parallelism"),
    ("tensor parallelism", "gang.tensor_parallel_size"),
    ("seed", "common.seed"),
    ("started from", "init"),
)


def make_readme(
    card: Mapping[str, Any],
    fingerprint: VocabularyFingerprint,
    training: Mapping[str, Any],
    reports: Sequence[Mapping[str, Any]],
) -> str:
    """
    :param training: As :func:`codec_s2st.exchange.training.add_training` returns it.
    :param reports: Of ``codec-s2st evaluate``.
    """
    tasks = ", ".join(card["tasks"])

    languages = ", ".join(card["languages"]) or "not stated"

    is_speech = card["tasks"][:1] == ["s2st"]

    return _TEMPLATE.format(
        name=card["name"],
        short=card["name"].removeprefix(CARD_PREFIX),
        intro=f"A model of speech and text, trained with codec_s2st. Tasks: {tasks}; languages: {languages}."
        f" Licence: {card.get('license', 'not stated')}.",
        command="translate IN.wav OUT.wav" if is_speech else "translate IN.wav OUT.txt",
        codec_note=_codec_note(card),
        model=_table(_model_rows(card, fingerprint)),
        data="Data: " + str(card.get("data", "not stated")).rstrip(".") + ".",
        training=_table(_training_rows(training)),
        metrics=_metrics(training),
        scores="\n\n".join(map(_scores, reports)) or "Not measured.",
    )


def _codec_note(card: Mapping[str, Any]) -> str:
    if CODEC_CARD in card:
        return f"The codec `{card['codec']}` is in `codecs/`."

    return f"The codec `{card['codec']}` is not in the folder; `codec-s2st ls --kind cards` says whether you have it."


def _model_rows(card: Mapping[str, Any], fingerprint: VocabularyFingerprint) -> Iterator[tuple[str, object]]:
    decoder, codec = card["model_config"]["decoder"], fingerprint.codec

    yield "family", card["model_family"]
    yield "backbone", f"{decoder['family']}, {decoder['num_layers']} layers of width {decoder['model_dim']}"
    yield "text rows", f"{fingerprint.text_size:,}"
    yield "codec", codec.describe()
    yield "codec fingerprint", f"`{codec.digest}`"
    yield "stream pattern", fingerprint.pattern
    yield "heads", card["model_config"]["heads"]
    yield "tokenizer", f"`tokenizer/`, SHA-256 `{fingerprint.tokenizer_hash}`"
    yield "weights", f"`model/`, SHA-256 `{card['checkpoint_sha256']}`"


def _training_rows(training: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "step", f"{training['step']:,} ({training['chosen']})"

    if training["score"] is not None:
        yield "validation score", f"{training['score']:.4g}"

    config = training["config"]

    if (dataset := _get(config, "dataset.name")) is not None:
        yield "dataset", dataset

    shards = _get(config, "dataset.config_overrides.shards")

    if isinstance(shards, list):
        yield "token shards", ", ".join(PurePosixPath(str(path)).name for path in shards)

    mixture = _get(config, "data.mixture")

    if isinstance(mixture, list):
        yield "mixture", ", ".join(_mixture_entry(entry) for entry in mixture if isinstance(entry, Mapping))

    for title, key in _SETTINGS:
        if (value := _get(config, key)) is not None:
            yield title, value


def _mixture_entry(entry: Mapping[str, Any]) -> str:
    name = f"{entry.get('task')}{' reversed' if entry.get('reverse') else ''}"

    return f"{name} ({entry.get('weight', 1):g})"


def _metrics(training: Mapping[str, Any]) -> str:
    rows = [
        (f"{name}, step {values['Step']:,}", f"{values['Loss']:.4f}")
        for name, values in training["metrics"].items()
        if isinstance(values.get("Loss"), float)
    ]

    return f"| metrics | loss |\n|---|---|\n{_table(rows)}" if rows else "The run recorded no metrics."


def _scores(report: Mapping[str, Any]) -> str:
    lines = [
        f"{report['task']} on `{PurePosixPath(str(report['manifest'])).name}`"
        f" (SHA-256 `{str(report.get('manifest_hash'))[:16]}`), seed {report['seed']}:",
        "",
        "| system | listener | metric | value | items |",
        "|---|---|---|---:|---:|",
    ]

    for score in report["scores"]:
        value = "not measured" if score["value"] is None else f"{score['value']:.3f}"

        cells = [score["system"], score["transcriber"] or "-", score["metric"], value, str(score["num_items"])]

        lines.append(f"| {' | '.join(cells)} |")

    return "\n".join(lines)


def _get(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config

    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None

    return value


def _table(rows: Sequence[tuple[str, object]] | Iterator[tuple[str, object]]) -> str:
    return "\n".join(f"| {title} | {str(value).replace('|', '/')} |" for title, value in rows)
