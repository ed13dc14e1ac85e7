"""What the columns of a token shard must hold. Legend: T codec frame, Q stream, N row of a row group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from codec_s2st.data.shard_format import Codes
from codec_s2st.data.shard_rows import SideCodes
from codec_s2st.tokens.fingerprint import CodecFingerprint

Refuse: TypeAlias = Callable[[NDArray[np.bool_], str], None]
"""Raises an error that names the first row that is marked, if any is, and says what is wrong with it."""


def check_codes(column: Any, num_frames: Any, fingerprint: CodecFingerprint | None, refuse: Refuse) -> SideCodes:
    """Returns the codes of one side, which are a ``pyarrow.ListArray``.

    :param num_frames: The ``pyarrow.Int32Array`` that says how many frames each row has.
    """
    num_streams = 1 if fingerprint is None else len(fingerprint.codebook_sizes)

    is_null = to_numpy(pc.is_null(column))

    if fingerprint is None:
        refuse(~is_null, "hold codes, but the shard names no codec")

    # [N]; null lists as -1.
    lengths = to_numpy(pc.fill_null(pc.list_value_length(column), -1)).astype(np.int64)

    frames = to_numpy(pc.fill_null(num_frames, -1)).astype(np.int64)

    refuse(is_null & (frames >= 0), "are null, but the number of frames is not")
    refuse(~is_null & (frames < 0), "are there, but the number of frames is null")
    refuse(~is_null & (lengths == 0), "are empty")
    refuse(~is_null & (lengths % num_streams != 0), f"are no multiple of {num_streams} code books")
    refuse(~is_null & (lengths != frames * num_streams), "disagree with the number of frames")

    # `flatten` skips whatever lies behind null lists, so that the offsets are the lengths' running sums.
    values = column.flatten()

    if values.null_count:
        refuse(_rows_with(lengths, np.flatnonzero(to_numpy(pc.is_null(values)))), "hold a null code")

    codes: Codes = to_numpy(values).reshape(-1, num_streams)

    if fingerprint is not None and len(codes):
        for idx, size in enumerate(fingerprint.codebook_sizes):
            stream = codes[:, idx]

            if stream.min() < 0 or stream.max() >= size:
                flat = np.flatnonzero((stream < 0) | (stream >= size)) * num_streams

                refuse(_rows_with(lengths, flat), f"leave code book {idx} of size {size}")

    return SideCodes(codes, np.append(0, np.cumsum(np.maximum(lengths, 0) // num_streams)))


def check_alignments(column: Any, num_frames: Any, refuse: Refuse) -> None:
    """Checks the alignments of one side."""
    # [N]; below 1 where a row has no codes.
    frames = to_numpy(pc.fill_null(num_frames, -1)).astype(np.int64)

    # [N]; null lists as 0.
    lengths = to_numpy(pc.fill_null(pc.list_value_length(column), 0)).astype(np.int64)

    refuse(to_numpy(column.is_valid()) & (frames < 1), "is there, but codes are not")
    refuse(to_numpy(column.is_valid()) & (lengths == 0), "is empty")

    texts, begins, ends = column.flatten().flatten()

    absent = to_numpy(pc.or_(texts.is_null(), pc.or_(begins.is_null(), ends.is_null())))

    refuse(_rows_with(lengths, np.flatnonzero(absent)), "holds a span without text, begin or end")

    begin, end = (to_numpy(pc.fill_null(values, 0)) for values in (begins, ends))

    rows = np.repeat(np.arange(len(lengths)), lengths)

    # The begin of the span before, in the same row.
    last = np.where(np.append(-1, rows)[:-1] == rows, np.append(0, begin)[:-1], 0)

    bad = (begin < last) | (end < begin) | (end > frames[rows])

    refuse(_rows_with(lengths, np.flatnonzero(bad)), "holds spans that are not in order within its frames")


def _rows_with(lengths: NDArray[np.int64], flat: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Returns which of the lists hold one of the flat positions."""
    ends = np.cumsum(np.maximum(lengths, 0))

    found = np.zeros(len(lengths), dtype=np.bool_)

    found[np.searchsorted(ends, flat, side="right")] = True

    return found


def to_numpy(array: Any) -> Any:
    """Returns the values of a ``pyarrow.Array``, without a copy where that can be."""
    return array.to_numpy(zero_copy_only=isinstance(array, pa.Int16Array | pa.Int32Array) and not array.null_count)
