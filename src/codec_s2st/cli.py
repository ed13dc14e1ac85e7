"""The command ``codec-s2st``: a table of commands, each imported only when it is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final, NamedTuple

from codec_s2st import __version__
from codec_s2st.errors import CodecS2STError, StoppedError, unknown_name

TRACE_VARIABLE: Final = "CODEC_S2ST_TRACE"


class Command(NamedTuple):
    """A command of ``codec-s2st``."""

    target: str
    """``module:function``; the function takes the arguments after the command's name and returns the exit code."""

    help: str


COMMANDS: Final[dict[str, Command]] = {
    "check": Command("codec_s2st.check:main", "print versions, and what is missing with the line that mends it"),
    "ls": Command("codec_s2st.catalog:main_ls", "list asset cards and presets with the file each comes from"),
    "cp": Command("codec_s2st.catalog:main_cp", "copy a preset to a file of your own"),
    "demo-corpus": Command("codec_s2st.demo.corpus:main", "synthesise a corpus of the demo world: wavs and a manifest"),
    "prepare": Command("codec_s2st.prepare_command:main", "read a published corpus, a table or text into a manifest"),
    "stats": Command(
        "codec_s2st.data.manifest_commands:main_stats", "count what a manifest holds: hours by split and language"
    ),
    "filter": Command("codec_s2st.data.manifest_commands:main_filter", "choose rows of a manifest by rules"),
    "tokenize": Command("codec_s2st.recipes.common.command:main_tokenize", "turn a manifest into token shards"),
    "shards": Command("codec_s2st.data.shards_command:main", "look into token shards: inspect, verify, decode"),
    "codec": Command("codec_s2st.recipes.common.command:main_codec", "train the embedded codec"),
    "codec-report": Command(
        "codec_s2st.evaluation.codec_command:main", "measure what a codec does to recordings: bitrate, quality, speed"
    ),
    "cpt": Command("codec_s2st.recipes.common.command:main_cpt", "continue the pre-training of a text LLM on speech"),
    "s2st": Command("codec_s2st.recipes.common.command:main_s2st", "fine-tune on speech translation and its siblings"),
    "launch": Command("codec_s2st.launch.command:main", "run a recipe or a pipeline on several processes, or on SLURM"),
    "publish": Command(
        "codec_s2st.exchange.publish_command:main",
        "make a run's model a folder that others load by name: card, weights, README",
    ),
    "show-sequence": Command(
        "codec_s2st.recipes.show_sequence.command:main", "show what the model of a training preset will see"
    ),
    "plan": Command("codec_s2st.plan.command:main", "say what a training preset costs: operations, memory, time"),
    "import-hf": Command(
        "codec_s2st.exchange.import_hf:main", "grow a textual LLM of Hugging Face's into one of speech and text"
    ),
    "export-hf": Command(
        "codec_s2st.exchange.export_hf:main", "write a model's text backbone as a checkpoint of Hugging Face's"
    ),
    "translate": Command("codec_s2st.recipes.translate.command:main", "translate a recording, or many"),
    "evaluate": Command("codec_s2st.recipes.common.command:main_evaluate", "score a model on a manifest"),
    "text-report": Command(
        "codec_s2st.recipes.text_report.command:main", "measure what models have forgotten of text beside the base LLM"
    ),
    "experiment": Command(
        "codec_s2st.experiment.command:main", "train arms that differ in one thing, score them, and say what follows"
    ),
    "serve": Command("codec_s2st.serve.command:main", "serve a page to try models with: record or upload, and listen"),
    "compare": Command("codec_s2st.recipes.evaluate.compare_command:main", "test whether the scores of models differ"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``codec-s2st`` and returns its exit code: 0 done, 1 the machine or the run, 2 the user's input, 3 diverged,
    85 stopped on request and saved, 130 interrupted.

    An error is one line on stderr; with ``CODEC_S2ST_TRACE=1`` in the environment the stack trace is printed too.
    """
    args = list(sys.argv[1:] if argv is None else argv)

    # To what is no terminal, fairseq2's progress bars are empty lines.
    if not sys.stderr.isatty():
        os.environ.setdefault("FAIRSEQ2_NO_PROGRESS", "1")

    try:
        return _run(args)
    except StoppedError as ex:
        print(f"codec-s2st: {ex}", file=sys.stderr)

        if argv is None:
            from codec_s2st.recipes.common.stopping import ignore_stop_signals

            ignore_stop_signals()

        return ex.exit_code
    except CodecS2STError as ex:
        return _fail(str(ex), ex.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted (the same command again goes on with a run)", 130)
    except BrokenPipeError:
        # The reader, e.g. `head`, has seen enough; what is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

        return 0
    except Exception as ex:
        from codec_s2st.explain import explain

        error = explain(ex)

        return _fail(str(error), error.exit_code)


def _run(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help", "help"):
        print(_usage())

        return 0 if args else 2

    if args[0] == "--version":
        print(f"codec-s2st {__version__}")

        return 0

    name = args[0]

    command = COMMANDS.get(name)
    if command is None:
        raise unknown_name("command", name, COMMANDS, hint="see: codec-s2st --help")

    code = _load(command)(args[1:])

    # A reader that went away is noticed here and not in the interpreter's shutdown.
    sys.stdout.flush()

    return code


def _load(command: Command) -> Callable[[Sequence[str]], int]:
    module_name, _, function_name = command.target.partition(":")

    function: Callable[[Sequence[str]], int] = getattr(import_module(module_name), function_name)

    return function


def _usage() -> str:
    width = max(len(name) for name in COMMANDS)

    lines = [
        "usage: codec-s2st COMMAND [ARGUMENTS...]",
        "",
        "Codec-based speech language models for speech-to-speech translation.",
        "",
        "commands:",
        *(f"  {name:<{width}}  {command.help}" for name, command in COMMANDS.items()),
        "",
        "`codec-s2st COMMAND --help` describes one; `codec-s2st --version` prints the version.",
        "",
        "exit codes: 0 done, 1 the machine's or the run's fault, 2 your input, 3 diverged, 85 stopped and saved, "
        "130 interrupted",
    ]

    return "\n".join(lines)


def _fail(message: str, exit_code: int) -> int:
    if os.environ.get(TRACE_VARIABLE, "0") not in ("", "0") and sys.exc_info()[0] is not None:
        import traceback

        traceback.print_exc()

    print(f"codec-s2st: error: {message}", file=sys.stderr)

    return exit_code
