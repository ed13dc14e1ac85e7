"""Fetches the weights of codecs: safetensors and nothing else, and what went wrong in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NoReturn

from fairseq2.assets import AssetDownloadError, get_asset_download_manager
from fairseq2.error import OperationalError
from fairseq2.utils.uri import Uri

from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.integrity import check_remote, https_stays_https, is_offline, offline_error

HUB_SCHEME: Final = "hg"


def download_weights(name: str, uri: Uri) -> Path:
    """Returns the file or the folder of a checkpoint that is not on this machine by its own path.

    :param name: The name of the card, for messages.
    :raises UserInputError: the URI is of an unknown kind or plain http, or there is no such repository, or only for
        others.
    :raises CodecS2STError: the weights cannot be downloaded.
    """
    if uri.scheme == HUB_SCHEME:
        return _download_from_hub(name, str(uri).removeprefix(f"{HUB_SCHEME}://"))

    manager = get_asset_download_manager()

    if uri.scheme not in manager.supported_schemes:
        raise UserInputError(f"the card '{name}' names a checkpoint of an unknown kind: '{uri}'")

    check_remote(name, uri, "checkpoint")

    # Whatever else it is, it would be executed, not read.
    if not str(uri).partition("?")[0].endswith(".safetensors"):
        raise UserInputError(
            f"the card '{name}' names a checkpoint that is not a safetensors file: {uri}",
            hint="pickled checkpoints are not read",
        )

    try:
        with https_stays_https():
            return manager.download_model(uri, local_only=is_offline())
    except (AssetDownloadError, OSError, OperationalError, ValueError) as ex:
        if is_offline():
            raise offline_error(name, uri, "checkpoint") from ex

        raise CodecS2STError(
            f"the weights of '{name}' cannot be downloaded from {uri}: {_reason(ex)}",
            hint="fetch it by other means, and write its path as `checkpoint` of the card",
        ) from ex


def _download_from_hub(name: str, repo: str) -> Path:
    # Not by fairseq2's manager, which fetches pickles too.
    from huggingface_hub import snapshot_download

    try:
        path = Path(snapshot_download(repo, allow_patterns=["*.safetensors", "*.safetensors.index.json"]))
    except (OSError, ValueError) as ex:
        _raise_hub_error(name, repo, ex)

    if not any(path.glob("*.safetensors")):
        raise UserInputError(
            f"{HUB_SCHEME}://{repo}, which the card '{name}' names, holds no safetensors; pickles are never read",
            hint=f"if it does by now: {_download_command(repo)}",
        )

    return path


def _raise_hub_error(name: str, repo: str, ex: Exception) -> NoReturn:
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    what = f"the weights of '{name}' cannot be downloaded from {HUB_SCHEME}://{repo}"

    if isinstance(ex, GatedRepoError):
        raise UserInputError(
            f"{what}: the repository is gated", hint="accept its conditions on its page, then run: hf auth login"
        ) from ex

    if isinstance(ex, RepositoryNotFoundError):
        raise UserInputError(
            f"{what}: there is no such repository, or it is private",
            hint="mend `checkpoint` of the card; for a private one run: hf auth login",
        ) from ex

    if isinstance(ex, HFValidationError):
        raise UserInputError(f"{what}: a repository is named OWNER/NAME", hint="mend `checkpoint` of the card") from ex

    hint = f"where there is a network, run: {_download_command(repo)}"

    if constants.HF_HUB_OFFLINE:
        raise CodecS2STError(
            f"{what}: they are not in the cache, and HF_HUB_OFFLINE forbids a download", hint=hint
        ) from ex

    # What the library says when it has no copy hides why it could not get one.
    cause = ex.__cause__ or ex

    if isinstance(cause, HfHubHTTPError) and cause.response is not None:
        reason = f"the hub answered {cause.response.status_code}"
    else:
        # A missing connection is one of many kinds of OSError; a full disk is another.
        reason = getattr(cause, "strerror", None) or "the hub cannot be reached"

    raise CodecS2STError(f"{what}: {reason}", hint=hint) from ex


def _reason(ex: BaseException) -> str:
    """Returns the first cause's words: those of the machine, not of the library."""
    while ex.__cause__ is not None:
        ex = ex.__cause__

    return str(getattr(ex, "reason", None) or getattr(ex, "strerror", None) or ex)


def _download_command(repo: str) -> str:
    return f"hf download {repo} --include '*.safetensors'"
