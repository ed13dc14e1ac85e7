"""Who may ask: this page, opened under a name of this machine, and no other page that is open in the same browser."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Returns whether only this machine reaches a server at ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def own_names(host: str) -> frozenset[str]:
    """Returns the names, besides addresses, under which a server at ``host`` is asked.

    Whoever makes a name of their own lead to 127.0.0.1 (DNS rebinding) makes a browser take their page and ours for one
    site; but it still sends that name. Through an SSH tunnel the port is another one, and the name is ``localhost``.
    """
    names = {"localhost", host.lower()}

    if not is_loopback(host):
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    return frozenset(names)


def find_flaw(headers: Mapping[str, str], names: frozenset[str], *, changes: bool) -> str | None:
    """Returns why a request is refused; ``None`` if it is not.

    :param headers: Those of the request, by names that are not told apart by case.
    :param names: Those of :func:`own_names`.
    :param changes: Whether it asks for more than to look at something.
    """
    host = headers.get("Host", "")

    name = _split(f"//{host}")[0]

    if not _is_address(name) and name not in names:
        return f"this server is not called '{name[:80]}'; open it by its address"

    if not changes:
        return None

    origin = headers.get("Origin")

    # Browsers send it with all that changes something; other programs need not.
    if origin is not None and _split(origin)[1] != host.lower():
        return "this request comes from another site"

    if headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return "this request comes from another site"

    return None


def _split(address: str) -> tuple[str, str]:
    """Returns the name in an address, and the name with its port; both are empty where it is none."""
    try:
        parts = urlsplit(address)

        return parts.hostname or "", parts.netloc.lower()
    except ValueError:
        return "", ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False

    return True
