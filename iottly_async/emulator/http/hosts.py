"""Who may reach the emulator: the names in ``Host``, and the credential of the control address.

A page in a browser can make a name of its own point to this machine. It cannot choose the ``Host``
header, so only names that are known are answered.
"""

import hmac
import re
from ipaddress import ip_address

from aiohttp import web

from ..settings import EmulatorSettings, is_loopback
from .answers import HttpError

_PORT = re.compile(r":\d{1,5}$")


class HostCheck:
    """Accepts requests by their ``Host``.

    Args:
        settings: The settings; of each allowed host any port is accepted unless it names one.
        address: The address and the port that the emulator listens on.
    """

    def __init__(self, settings: EmulatorSettings, address: tuple[str, int]) -> None:
        host, port = address
        names = {named(host), "localhost", "127.0.0.1", "[::1]"}
        self._own = frozenset(f"{name}:{port}" for name in names)
        self._allowed = frozenset(name.lower() for name in settings.allowed_hosts)

    def is_own(self, request: web.BaseRequest) -> bool:
        """Whether ``Host`` is the address that the emulator itself listens on."""
        return request.headers.get("Host", "").lower() in self._own

    def check(self, request: web.BaseRequest) -> None:
        """Refuse a request for another host with 421."""
        host = request.headers.get("Host", "").lower()
        if host not in self._own and self._allowed.isdisjoint((host, _PORT.sub("", host))):
            raise HttpError(421, "unknown host")


class ControlGuard:
    """Lets requests to the control address pass, or refuses them.

    Without ``allowed_hosts`` and ``control_token`` whoever reaches the emulator is on this machine,
    and passes. With a token, it must be given. With hosts and no token, only a connection from this
    machine to the emulator's own address passes, and none if the emulator listens on loopback only:
    what comes from other machines then comes through a proxy on this one, and looks the same.
    """

    def __init__(self, settings: EmulatorSettings, hosts: HostCheck) -> None:
        self._settings = settings
        self._hosts = hosts

    def check(self, request: web.BaseRequest) -> None:
        """Refuse a request with 401 or 403."""
        settings = self._settings
        if settings.open_control:
            return
        if settings.control_token is not None:
            wanted = f"Bearer {settings.control_token}".encode()
            given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(wanted, given):
                raise HttpError(401, "the control address needs its token: Authorization: Bearer …")
        elif settings.allowed_hosts and not self._is_from_here(request):
            raise HttpError(
                403, "the control address answers this machine only: set control_token to open it"
            )

    def _is_from_here(self, request: web.BaseRequest) -> bool:
        peer = request.transport.get_extra_info("peername") if request.transport else None
        return (
            not is_loopback(self._settings.host)
            and self._hosts.is_own(request)
            and peer is not None
            and ip_address(peer[0]).is_loopback
        )


def named(host: str) -> str:
    """An address as it stands in a URL: of all addresses, the loopback one; IPv6 in brackets."""
    if ip_address(host).is_unspecified:
        host = "::1" if ":" in host else "127.0.0.1"
    return f"[{host}]" if ":" in host else host
