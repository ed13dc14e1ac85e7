from __future__ import annotations

import pytest

from codec_s2st.redaction import Secrets, is_secret_name


@pytest.mark.parametrize("name", ["HF_TOKEN", "wandb_api_key", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "MY_APIKEY"])
def test_is_secret_name_works(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["PATH", "MONKEY", "NODE_KEYS", "KEYBOARD"])
def test_is_secret_name_leaves_others(name: str) -> None:
    assert not is_secret_name(name)


class TestSecrets:
    def test_strike_takes_the_longest_first(self) -> None:
        secrets = Secrets.of({"A_TOKEN": "abcdef", "B_TOKEN": "abcdefgh", "HOME": "/root"})

        assert secrets.strike("abcdefgh, abcdef and /root") == "***, *** and /root"

    def test_find_names_the_variable(self) -> None:
        secrets = Secrets.of({"A_TOKEN": "abcdef", "B_TOKEN": "uvwxyz"})

        assert secrets.find("lr=uvwxyz") == "B_TOKEN"
        assert secrets.find("lr=1") is None

    def test_switches_are_no_secrets(self) -> None:
        assert Secrets.of({"TOKENIZERS_PARALLELISM": "false"}).values == {}
