"""Loading checkpoints of the shape of Qwen2.5-0.5B: ours beside transformers' ``from_pretrained``.

``python benchmarks/load_model.py`` writes checkpoints once (random weights in bfloat16), loads them in fresh processes,
all in turn, and prints a table of all that was measured and the rows. There are two cases:

- ``warm``: the same folder in both libraries. What is built is not the same model. Ours has two tables where
  transformers' has a tied one, and new rows: 636 M parameters against 494 M.
- ``own``: a published folder of ours, its hash included, and a model of transformers' with an untied head and as many
  bytes.

Where the type of the numbers is that of the file, both map the file into memory and read nothing: the clock is stopped
both when the call returns and when every page of every parameter has been read.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, Final

from rows import Peer, Row, make_parser, print_table, run_parts

OURS: Final = "codec_s2st"

THEIRS: Final = "transformers"

LIBRARIES: Final = (OURS, THEIRS)

CASES: Final = (("warm", "bfloat16"), ("own", "bfloat16"), ("warm", "float32"), ("own", "float32"))
"""What is loaded, and the type of the numbers in memory."""

_REASONS: Final = {
    "bfloat16": "both map the file; what is left is building modules, and new rows ({:.2f} times the model)",
    "float32": "both convert into fresh memory, of which ours is {:.2f} times as large",
}

FORK: Final = get_context("fork")

_NAME: Final = "codec_s2st_load_benchmark"


@dataclass(frozen=True, kw_only=True)
class Load:
    """One loading, in a process of its own."""

    call_seconds: float
    """Until the call returned."""

    read_seconds: float
    """Until every page of every parameter had been read."""

    cpu_seconds: float
    """Of this process, in all threads, until the call returned."""

    model_bytes: int
    """Of all parameters, a tied one counted once."""

    peak_bytes: int
    """The largest resident memory of the process, minus what it was before the call."""

    process_peak_bytes: int
    """The same with what it was before: Python, torch, and the libraries."""


def write_checkpoints(folder: Path) -> None:
    """Writes random weights in bfloat16 with the shapes of Qwen2.5-0.5B, unless they are there.

    ``base`` is what is warm-started from, ``own`` is what becomes of it when it is published, and ``large`` a model of
    transformers' with as many parameters as that.
    """
    import torch
    from fairseq2 import init_fairseq2

    from codec_s2st.exchange.import_hf import import_hf
    from codec_s2st.tensor_files import read_headers

    if folder.joinpath("large").is_dir():
        return

    shutil.rmtree(folder, ignore_errors=True)

    init_fairseq2()

    torch.set_default_dtype(torch.bfloat16)

    write_llm(folder / "base", vocab_size=151_936, tied=True)

    import_hf(folder / "base", folder / "own", name=_NAME, num_streams=3)

    sizes = {name: tensor.shape[0] for name, tensor in read_headers(folder / "own" / "model").items()}

    num_rows = sizes["decoder_frontend.embed.weight"] + sizes["heads.stream0_weight"] + sizes["heads.codebook_weight"]

    write_llm(folder / "large", vocab_size=num_rows // 2, tied=False)


def run_write_checkpoints(folder: Path) -> None:
    """Writes them in a process of its own, whose memory is no part of what is measured."""
    process = FORK.Process(target=write_checkpoints, args=(folder,))

    process.start()

    process.join()

    if process.exitcode:
        raise SystemExit("the checkpoints could not be written")


def write_llm(folder: Path, *, vocab_size: int, tied: bool) -> None:
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=vocab_size,
        hidden_size=896,
        intermediate_size=4_864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        max_position_embeddings=32_768,
        rope_theta=1_000_000.0,
        tie_word_embeddings=tied,
    )

    torch.manual_seed(0)

    Qwen2ForCausalLM(config).save_pretrained(str(folder), safe_serialization=True)


def import_libraries(folder: Path) -> None:
    """Imports what is needed in any case, which is no part of what is measured."""
    from fairseq2 import init_fairseq2
    from transformers import Qwen2ForCausalLM

    # transformers imports a model's module when it is first asked for.
    assert Qwen2ForCausalLM is not None

    init_fairseq2()

    for library in LIBRARIES:
        prepare(library, "warm", folder, None)


def prepare(library: str, case: str, folder: Path, dtype: Any) -> Callable[[], Any]:
    """Returns the call that is measured."""
    if library == THEIRS:
        from transformers import AutoModelForCausalLM

        path = folder / ("base" if case == "warm" else "large")

        return lambda: AutoModelForCausalLM.from_pretrained(str(path), torch_dtype=dtype)

    from codec_s2st.model_cards import checkpoint_of, find_model_card, loadable_path
    from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
    from codec_s2st.recipes.common.initial import from_hugging_face

    hub = get_codec_lm_hub()

    def load_warm() -> Any:
        initial = from_hugging_face(folder / "base")

        config = initial.config

        # Three code books of 1,024 codes: what the family has by default.
        config.decoder = initial.decoder

        assert initial.path is not None

        return hub.load_custom_model(initial.path, config, dtype=dtype)

    def load_own() -> Any:
        card = find_model_card(str(folder / "own"))

        # It compares the hash, which was computed in the round that is not measured.
        path = loadable_path(checkpoint_of(card))

        return hub.load_custom_model(path, hub.get_model_config(card), dtype=dtype)

    return load_warm if case == "warm" else load_own


def measure(library: str, case: str, folder: Path, dtype_name: str) -> Load:
    """Loads once, in this process."""
    import torch

    load = prepare(library, case, folder, getattr(torch, dtype_name))

    resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    cpu_begin, begin = time.process_time(), time.perf_counter()

    model = load()

    call_seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu_begin

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    sizes = {}

    for parameter in model.parameters():
        data = parameter.detach()

        sizes[data.data_ptr()] = data.numel() * data.element_size()

        content = data.view(-1).view(torch.uint8)

        content[:: resource.getpagesize()].sum()
        content[-1:].sum()

    read_seconds = time.perf_counter() - begin

    # What is mapped counts when it is read.
    peak = max(peak, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)

    return Load(
        call_seconds=call_seconds,
        read_seconds=read_seconds,
        cpu_seconds=cpu_seconds,
        model_bytes=sum(sizes.values()),
        peak_bytes=peak - resident,
        process_peak_bytes=peak,
    )


def run_measure(library: str, case: str, folder: Path, dtype_name: str) -> Load:
    """Loads once, in a fresh process: a copy of this one, which has imported everything and loaded nothing."""
    receiver, sender = FORK.Pipe(duplex=False)

    process = FORK.Process(target=lambda: sender.send(measure(library, case, folder, dtype_name)))

    process.start()

    sender.close()

    try:
        load: Load = receiver.recv()
    except EOFError:
        raise SystemExit(f"{library} could not load {case}") from None
    finally:
        process.join()

    return load


def median_of(loads: Sequence[Load], name: str) -> float:
    return float(median(getattr(load, name) for load in loads))


def make_rows(case: str, dtype_name: str, loads: dict[str, list[Load]]) -> list[Row]:
    """Compares the medians with the goals."""
    name = f"{case}-{dtype_name}"

    theirs = loads[THEIRS]

    sizes = median_of(loads[OURS], "model_bytes") / median_of(theirs, "model_bytes")

    ratio = median_of(loads[OURS], "peak_bytes") / median_of(loads[OURS], "model_bytes")

    rows = [
        Row(
            id=f"load-peak-{name}",
            what=f"peak memory of loading 0.5B ({case}) in {dtype_name}, over the size of the built model",
            unit="x",
            value=ratio,
            goal="<= 1.3",
        )
    ]

    for kind, field, what in (
        ("call", "call_seconds", "seconds until the call returns"),
        ("read", "read_seconds", "seconds until every page of the weights has been read"),
        ("cpu", "cpu_seconds", "seconds of the CPU until the call returns"),
    ):
        value, limit = median_of(loads[OURS], field), median_of(theirs, field)

        rows.append(
            Row(
                id=f"load-{kind}-{name}",
                what=f"loading 0.5B ({case}) in {dtype_name}, {what}",
                unit="s",
                value=value,
                peer=Peer(name=THEIRS, value=limit),
                ratio=value / limit,
                goal="<= 1",
                equal="the file" if case == "warm" else "as many bytes, an untied head",
                not_equal=f"our model has {sizes:.2f} times the bytes"
                if case == "warm"
                else "ours reads a card and a hash",
                reason=_REASONS[dtype_name].format(sizes),
            )
        )

    return rows


def main() -> int:
    parser = make_parser(__doc__, ["load"])

    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"), help="where the checkpoints go")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process (1)")
    parser.add_argument("--checkpoints", type=Path, help="where the checkpoints are (OUT/qwen2_5_0_5b_random)")

    args = parser.parse_args()

    folder = args.checkpoints or args.out / "qwen2_5_0_5b_random"

    args.out.mkdir(parents=True, exist_ok=True)

    os.environ |= {"OMP_NUM_THREADS": str(args.threads), "HF_HUB_OFFLINE": "1", "FAIRSEQ2_NO_PROGRESS": "1"}

    return run_parts({"load": lambda: measure_all(folder, args.rounds)}, args)


def measure_all(folder: Path, rounds: int) -> list[Row]:
    run_write_checkpoints(folder)

    import_libraries(folder)

    rows: list[Row] = []

    table = []

    for case, dtype_name in CASES:
        loads: dict[str, list[Load]] = {library: [] for library in LIBRARIES}

        # In turn, so that whatever else the machine does meets all; the first round is for the cache of the disk.
        for repeat in range(rounds + 1):
            for library in LIBRARIES:
                load = run_measure(library, case, folder, dtype_name)

                if repeat > 0:
                    loads[library].append(load)

        for library in LIBRARIES:
            measured = loads[library]

            size = median_of(measured, "model_bytes")

            spread = [load.call_seconds for load in measured]

            table.append(
                [
                    library,
                    case,
                    dtype_name,
                    f"{median_of(measured, 'call_seconds'):.2f} ({min(spread):.2f}-{max(spread):.2f})",
                    f"{median_of(measured, 'read_seconds'):.2f}",
                    f"{median_of(measured, 'cpu_seconds'):.2f}",
                    f"{size / 1e6:,.0f}",
                    f"{median_of(measured, 'peak_bytes') / size:.2f}",
                    f"{median_of(measured, 'process_peak_bytes') / size:.2f}",
                ]
            )

        rows += make_rows(case, dtype_name, loads)

    print_table(["", "case", "type", "call s (range)", "read s", "CPU s", "model MB", "peak", "peak of process"], table)

    return rows


if __name__ == "__main__":
    sys.exit(main())
