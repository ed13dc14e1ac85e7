"""Networks of transformers that listen or judge: where their files are, and which weights they are."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError

from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.evaluation.identity import Identity
from codec_s2st.evaluation.measures import describe

_FILES: Final = ("*.json", "*.txt", "*.model", "*.safetensors")
"""No pickles."""

LOAD_ERRORS: Final = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError)
"""What transformers raises for a folder of something else, or of damaged files."""


class AbsentModelError(CodecS2STError):
    """The hub cannot be asked, or has no such model."""


class AbsentFolderError(UserInputError):
    """There is no such folder."""


def find_pretrained(model: str, *, what: str) -> Path:
    """Returns the folder of a model, which is fetched if it is the name of a repository.

    :param model: A folder as transformers writes it, or the name of a repository of Hugging Face.
    :param what: What errors call it, such as ``transcriber 'whisper:x'``.

    :raises AbsentFolderError: it is a path, and there is nothing.
    :raises AbsentModelError: it cannot be fetched.
    """
    with suppress(OSError):
        if model and Path(model).is_dir():
            return Path(model)

    # A path that does not exist is no name of a repository.
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise AbsentFolderError(f"{what}: there is no such folder")

    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, allow_patterns=list(_FILES)))
    except Exception as ex:
        reason = str(ex).strip().partition("\n")[0]

        raise AbsentModelError(
            f"{what} cannot be fetched: {reason}",
            hint=f"huggingface-cli download {model} --local-dir DIR, and name DIR",
        ) from ex


def load_network(kls: Any, folder: Path) -> Any:
    """Returns a network with the weights of a folder, read from safetensors files.

    :param kls: A class of transformers.

    :raises ValueError: there are no weights for a part of it, which transformers would leave at random.
    """
    network, info = kls.from_pretrained(folder, use_safetensors=True, output_loading_info=True)

    # Is read in training alone, and often left out.
    missing = sorted(key for key in info["missing_keys"] if not key.endswith("masked_spec_embed"))

    if missing:
        raise ValueError(f"{len(missing)} of its weights are missing, such as '{missing[0]}'")

    return network


def identify(model: str, folder: Path) -> Identity:
    """Returns the name of a model, without blanks, and the hash of its weights.

    :param model: As the user has named it.
    """
    from codec_s2st.codecs.weights import hash_weights

    # The folder's own name, without the blanks that would part it from the version.
    name = (Path(model).resolve().name if folder == Path(model) else model).replace(" ", "_")

    return Identity(name, hash_weights(sorted(folder.glob("*.safetensors"))))


def cannot_load(what: str, ex: Exception, *, hint: str) -> UserInputError:
    """Returns the error of a folder that holds something else."""
    # Some list all models that there are.
    return UserInputError(f"{what} cannot be loaded: {describe(ex):.200}", hint=hint)


def name_of(family: str, instrument: Identity, version: str) -> str:
    """Returns what reports call a network: a word and, behind a blank, what is needed to do the same again."""
    return f"{family}:{instrument.name} ({version}, sha256 {instrument.weights_hash[:12]})"
