"""Which requests are refused for where they come from."""

from __future__ import annotations

import socket

import pytest

from codec_s2st.serve.guard import find_flaw, is_loopback, own_names

LOCAL = own_names("127.0.0.1")


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7860", "localhost:7860", "LOCALHOST", "localhost:8080", "[::1]:7860", "192.168.0.7:7860"]
)
def test_own_names_and_addresses(host: str) -> None:
    assert find_flaw({"Host": host}, LOCAL, changes=True) is None


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1.evil.example:7860", "localhost.evil", "[::1", "a:b:c"])
def test_other_names_lead_nowhere(host: str) -> None:
    for changes in (False, True):
        flaw = find_flaw({"Host": host}, LOCAL, changes=changes)

        assert flaw is not None and "open it by its address" in flaw


def test_a_name_that_was_given() -> None:
    assert find_flaw({"Host": "gpu7:7860"}, LOCAL, changes=False) is not None
    assert find_flaw({"Host": "gpu7:7860"}, own_names("GPU7"), changes=False) is None

    # The machine's own name, where others may ask.
    assert socket.gethostname().lower() in own_names("0.0.0.0") - LOCAL


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({}, False),
        ({"Origin": "http://localhost:8080"}, False),
        ({"Origin": "https://localhost:8080", "Sec-Fetch-Site": "same-origin"}, False),
        ({"Origin": "http://localhost:9090"}, True),
        ({"Origin": "http://evil.example"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": ""}, True),
        ({"Origin": "http://[::1"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
    ],
)
def test_other_sites_change_nothing(headers: dict[str, str], refused: bool) -> None:
    headers = {"Host": "localhost:8080", **headers}

    assert (find_flaw(headers, LOCAL, changes=True) is not None) is refused

    # A link from elsewhere may be followed.
    assert find_flaw(headers, LOCAL, changes=False) is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("gpu7", False)],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
