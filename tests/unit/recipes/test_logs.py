from __future__ import annotations

import inspect
import logging
import os
import warnings
from unittest.mock import patch

import pytest
import torch
from fairseq2.logging import log
from fairseq2.models.family import StandardModelFamily
from fairseq2.recipe.internal.log import _StandardLogHelper
from fairseq2.utils.structured import StandardValueConverter
from pytest import LogCaptureFixture

from codec_s2st.recipes.common.logs import quiet_console

VARIABLES = {
    "HF_TOKEN": "hf_abcdefgh",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
    "MY_APIKEY": "1234567890",
    "DB_PASSWORD": "p4ss:{}%s",
    "TOKENIZERS_PARALLELISM": "false",
    "MONKEY": "chimpanzee",
    "NODE_KEYS": "home end",
}


@pytest.fixture
def messages(caplog: LogCaptureFixture) -> list[str]:
    """Returns what was logged of the environment."""
    with patch.dict(os.environ, VARIABLES, clear=True), caplog.at_level(logging.INFO, "fairseq2"), quiet_console():
        helper = _StandardLogHelper(torch.device("cpu"), StandardValueConverter())

        helper.log_environment_variables()

        log.info("false is {}, and hf_abcdefgh a token", False)

    log.warning("hf_abcdefgh")

    return caplog.messages


class TestQuietConsole:
    def test_no_secret_of_the_environment_is_logged(self, messages: list[str]) -> None:
        assert messages[0] == (
            "Environment Variables - HF_TOKEN=***, AWS_SECRET_ACCESS_KEY=***, MY_APIKEY=***, DB_PASSWORD=***, "
            "TOKENIZERS_PARALLELISM=false, MONKEY=chimpanzee, NODE_KEYS=home end"
        )

    def test_secrets_are_struck_out_of_every_message(self, messages: list[str]) -> None:
        assert messages[1] == "false is False, and *** a token"

    def test_the_log_is_as_before_afterwards(self, messages: list[str]) -> None:
        assert messages[2] == "hf_abcdefgh"

    def test_what_fairseq2_says_of_its_own_families_is_not_shown(self) -> None:
        shown: list[str] = []

        def show(message: Warning | str, *args: object, **kwargs: object) -> None:
            shown.append(str(message))

        said = "of `StandardModelFamily` are"

        assert said in inspect.getsource(StandardModelFamily)

        with warnings.catch_warnings(), patch("warnings.showwarning", show), quiet_console():
            warnings.simplefilter("always")

            for message in (f"`shard_specs` {said} deprecated", "`hg_exporter` is deprecated", "another"):
                warnings.warn(message, DeprecationWarning, stacklevel=1)

        assert shown == ["another"]
