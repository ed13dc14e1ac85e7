"""The format of token shards: see ``docs/token-shards.md``. Legend: T codec frame, Q stream."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from codec_s2st.data.alignment import Alignment
from codec_s2st.errors import UserInputError
from codec_s2st.tokens.fingerprint import CodecFingerprint

CODEC_KEY: Final = b"codec_s2st.codec"

PROVENANCE_KEY: Final = b"codec_s2st.provenance"

QUARANTINE_KEY: Final = b"codec_s2st.quarantine"

SIDES: Final = ("source", "target")

STRING_FIELDS: Final = ("text", "lang", "speaker")

ALIGNMENT_COLUMNS: Final = tuple(f"{side}_alignment" for side in SIDES)

MAX_SHARDS: Final = 99_999
"""As many have a name of five digits."""

TRIM_ENDS: Final = ("begin", "end")

_SHARD_NAME: Final = re.compile(r"shard-(\d{5})-of-(\d{5})\.parquet")

Codes = NDArray[np.int16] | NDArray[np.int32]
"""``[T, Q]``, frame-major."""


@dataclass(frozen=True, slots=True)
class Side:
    """What one side of a row holds; absent values are ``None``."""

    codes: Codes | None = None
    """``[T, Q]``, with T > 0; read-only where it comes from a shard."""

    text: str | None = None

    lang: str | None = None

    speaker: str | None = None

    alignment: Alignment | None = None
    """Which frames say which words; read where a shard has it."""

    trimmed: tuple[float, float] | None = None
    """The seconds of silence that were cut off begin and end of the recording; read where a shard has it."""


@dataclass(frozen=True, slots=True)
class ShardRow:
    id: str
    split: str
    source: Side
    target: Side


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that was left out of a shard, and why."""

    id: str
    reason: str


def shard_name(idx: int, num_shards: int) -> str:
    """Returns the file name of shard ``idx``, counted from 0."""
    return f"shard-{idx:05d}-of-{num_shards:05d}.parquet"


def parse_shard_name(name: str) -> tuple[int, int] | None:
    """Returns index and number of shards, or ``None`` if ``name`` is not a shard's."""
    match = _SHARD_NAME.fullmatch(name)

    return None if match is None else (int(match[1]), int(match[2]))


def code_type(codebook_sizes: Sequence[int]) -> Any:
    """Returns the smallest of int16 and int32 that holds every code."""
    return pa.int16() if max(codebook_sizes) <= 1 << 15 else pa.int32()


def alignment_type() -> Any:
    """Returns the type of the columns ``source_alignment`` and ``target_alignment``, which a shard need not have."""
    fields = [pa.field("text", pa.string()), pa.field("begin", pa.int32()), pa.field("end", pa.int32())]

    return pa.list_(pa.struct(fields))


def shard_schema(
    fingerprint: CodecFingerprint | None,
    provenance: Mapping[str, object],
    quarantined: Sequence[Quarantined] = (),
    *,
    aligned: bool = False,
    trimmed: bool = False,
) -> Any:
    """Returns the ``pyarrow.Schema`` of a shard.

    :param aligned: Whether it has alignments.
    :param trimmed: Whether it says what was cut off recordings.
    """
    value = pa.int16() if fingerprint is None else code_type(fingerprint.codebook_sizes)

    fields = [pa.field("id", pa.string(), nullable=False), pa.field("split", pa.string(), nullable=False)]

    for side in SIDES:
        # An element that cannot be null costs no definition levels.
        fields.append(pa.field(f"{side}_codes", pa.list_(pa.field("element", value, nullable=False))))
        fields.append(pa.field(f"{side}_num_frames", pa.int32()))
        fields.extend(pa.field(f"{side}_{name}", pa.string()) for name in STRING_FIELDS)

    if aligned:
        fields.extend(pa.field(name, alignment_type()) for name in ALIGNMENT_COLUMNS)

    if trimmed:
        fields.extend(pa.field(f"{side}_trimmed_{end}", pa.float32()) for side in SIDES for end in TRIM_ENDS)

    metadata = {PROVENANCE_KEY: json.dumps(provenance, sort_keys=True)}

    if fingerprint is not None:
        metadata[CODEC_KEY] = fingerprint.to_json()

    if quarantined:
        metadata[QUARANTINE_KEY] = json.dumps([[item.id, item.reason] for item in quarantined])

    return pa.schema(fields, metadata)


@dataclass(frozen=True, slots=True)
class ShardMetadata:
    """What the schema of a shard says about it."""

    fingerprint: CodecFingerprint | None
    """The codec that made the codes; ``None`` where the shard holds text only."""

    provenance: dict[str, object]

    quarantined: tuple[Quarantined, ...]


def parse_metadata(path: Path, metadata: Mapping[bytes, bytes] | None) -> ShardMetadata:
    """Reads the metadata that :func:`shard_schema` made.

    :raises UserInputError: ``path`` is not a token shard, or its metadata are damaged.
    """
    metadata = metadata or {}

    if PROVENANCE_KEY not in metadata:
        raise UserInputError(
            f"{path} is not a token shard: its schema has no '{PROVENANCE_KEY.decode()}'",
            hint="make shards: codec-s2st tokenize OUT --manifest MANIFEST --preset demo",
        )

    try:
        provenance = json.loads(metadata[PROVENANCE_KEY])
        quarantined = json.loads(metadata.get(QUARANTINE_KEY, b"[]"))

        if not isinstance(provenance, dict):
            raise TypeError("it is no mapping")

        items = tuple(Quarantined(str(id_), str(reason)) for id_, reason in quarantined)
    except (ValueError, TypeError) as ex:
        raise UserInputError(f"{path}: the provenance in its schema cannot be read: {ex}") from None

    fingerprint = None

    if CODEC_KEY in metadata:
        text = metadata[CODEC_KEY].decode("utf-8", errors="replace")

        fingerprint = CodecFingerprint.from_json(text, where=f"{path}: the codec fingerprint in its schema")

        # Also refuses sizes that make no sense.
        try:
            fingerprint.spec  # noqa: B018
        except ValueError as ex:
            raise UserInputError(f"{path}: the codec fingerprint in its schema is wrong: {ex}") from None

    return ShardMetadata(fingerprint, provenance, items)
