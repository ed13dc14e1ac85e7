"""``codec-s2st launch``: a recipe here or on a cluster; and ``launch pipeline|status|logs|cancel``."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from codec_s2st.arguments import CommandParser
from codec_s2st.errors import UserInputError
from codec_s2st.launch.preset import DEFAULT_PRESET, LOCAL, SLURM, LaunchPreset, load_preset

_PROG: Final = "codec-s2st launch"

_USAGE: Final = f"""{_PROG} [--preset P] [--array N] [--dry-run] -- RECIPE OUT [ARGUMENTS...]
       {_PROG} pipeline FILE [--out DIR] [--preset P] [--dry-run]
       {_PROG} status|logs|cancel RUN|JOB"""

_DESCRIPTION: Final = """Runs a recipe as one or more processes of this machine, or as a job of SLURM. What follows `--`
is what follows `codec-s2st`: the recipe, the folder of its run, and its options. The folder OUT/launch keeps what was
launched: the resolved configuration, the file for sbatch, commit and changes, versions, asset cards, and the logs."""

_COMMANDS: Final = {
    "pipeline": "codec_s2st.launch.pipeline_command:main",
    "status": "codec_s2st.launch.watch_commands:main_status",
    "logs": "codec_s2st.launch.watch_commands:main_logs",
    "cancel": "codec_s2st.launch.watch_commands:main_cancel",
}


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    if argv and argv[0] in _COMMANDS:
        module, _, function = _COMMANDS[argv[0]].partition(":")

        command: Callable[[Sequence[str]], int] = getattr(import_module(module), function)

        return command(argv[1:])

    options = list(argv)

    call = []

    if "--" in options:
        idx = options.index("--")

        options, call = options[:idx], options[idx + 1 :]

    parser = CommandParser(
        prog=_PROG, usage=_USAGE, description=_DESCRIPTION, formatter_class=RawDescriptionHelpFormatter
    )

    add_preset_options(parser)

    parser.add_argument("--array", type=int, metavar="N", help="N jobs that share the work, of a recipe that can")

    args, rest = parser.parse_known_args(options)

    if rest:
        if rest[0].startswith("-"):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")

        raise UserInputError(f"'{rest[0]}' stands before --", hint=f"{_PROG} [--preset P] -- {' '.join(rest)}")

    return _launch(args.preset, args.array, args.dry_run, call)


def add_preset_options(parser: CommandParser) -> None:
    parser.add_argument(
        "--preset",
        metavar="P",
        help=f"a launch preset (see codec-s2st ls), or a .yaml file (default: {DEFAULT_PRESET})",
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be submitted, and its configuration")


def check_cluster(preset: LaunchPreset) -> None:
    """
    :raises UserInputError: the preset asks for SLURM, which is not there.
    """
    if preset.cluster == SLURM:
        from codec_s2st.launch.slurm import require

        require("sbatch")


def _launch(preset_name: str | None, array: int | None, dry_run: bool, argv: Sequence[str]) -> int:
    # All that can be said without reading a recipe comes first.
    preset = load_preset(preset_name or DEFAULT_PRESET)

    if array is not None and array < 1:
        raise UserInputError(f"--array is {array}, but must be at least 1")

    from codec_s2st.launch.calls import recipe_call, refuse_array, resolve_config
    from codec_s2st.launch.record import launches_dir
    from codec_s2st.launch.start import Launch, describe, start

    call = recipe_call(argv)

    assert call.out is not None

    # An array of one is none.
    array = None if array == 1 else array

    refuse_array(call, array)

    launch = Launch(
        name=f"{call.name}-{call.out.name}",
        call=call,
        preset=preset,
        parent=launches_dir(call.out),
        array=array,
    )

    if dry_run:
        print(describe(launch), end="")

        print(f"\n# {call.name}: the resolved configuration\n{resolve_config(call)}", end="")

        return 0

    _refuse_live(str(call.out), launch.parent)

    # Before the seconds that fairseq2 needs.
    check_cluster(preset)

    record, info = start(launch, resolve_config(call))

    if preset.cluster == LOCAL:
        from codec_s2st.launch.local import run_local

        return run_local(preset, record, info)

    print(f"submitted job {info.job_id}; see: {_PROG} status {info.job_id}, {_PROG} logs {info.job_id} --follow")

    return 0


def _refuse_live(out: str, parent: Path) -> None:
    """
    :raises UserInputError: an earlier launch of the same run waits or runs.
    """
    from codec_s2st.launch.states import find_states
    from codec_s2st.launch.targets import last_launch

    launched = last_launch(parent)

    if launched is None:
        return

    [states] = find_states([launched])

    for state in states:
        if state.is_live:
            raise UserInputError(
                f"'{out}' was launched and is {state.state} {state.detail}",
                hint=f"{_PROG} cancel {out}, or another OUT",
            )
