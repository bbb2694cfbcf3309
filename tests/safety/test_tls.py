"""TLS is verified and 1.2 or newer; no setting weakens it."""

from __future__ import annotations

import asyncio
import ssl
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from iottly_async import Config, ConfigurationError
from tests.support.raw_server import RawServer, answering

CHILD = """
import asyncio, sys
from iottly_async import Config, IottlyError, IottlySession, RateLimiter

async def main():
    config = Config(base_url=sys.argv[1], timeout=10)
    async with IottlySession("key", config=config, limiter=RateLimiter()) as session:
        try:
            await session.ping()
        except IottlyError as error:
            print(type(error).__name__, error.sent)
        else:
            print("pong")

asyncio.run(main())
"""

WEAK = """
openssl_conf = all
[all]
ssl_conf = tls
[tls]
system_default = weak
[weak]
MinProtocol = TLSv1
CipherString = DEFAULT:@SECLEVEL=0
"""
"""A system's configuration that allows old TLS, which the library does not."""


def unverified(context: ssl.SSLContext) -> None:
    """Accept any certificate."""
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE


def optional(context: ssl.SSLContext) -> None:
    """Accept no certificate."""
    context.check_hostname = False
    context.verify_mode = ssl.CERT_OPTIONAL


def any_name(context: ssl.SSLContext) -> None:
    """Accept a certificate for another host."""
    context.check_hostname = False


def old(context: ssl.SSLContext) -> None:
    """Accept TLS 1.1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1_1


@pytest.mark.parametrize("weaken", [unverified, optional, any_name, old])
def test_a_weak_context_is_refused(weaken: Callable[[ssl.SSLContext], None]) -> None:
    """A context that does not verify, or accepts old TLS, is refused."""
    context = ssl.create_default_context()
    weaken(context)
    with pytest.raises(ConfigurationError, match=r"^ssl must be a context"):
        Config(ssl=context)


def test_a_context_without_a_lowest_version_gets_one() -> None:
    """The contexts of Debian's Python have no lowest version of TLS; it becomes TLS 1.2."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    assert Config(ssl=context).ssl is context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("value", [False, True, "no", 0])
def test_there_is_no_switch(value: object) -> None:
    """`ssl` accepts a context and nothing else."""
    with pytest.raises(ConfigurationError, match="verification cannot be switched off"):
        Config(ssl=value)  # type: ignore[arg-type]


async def in_a_child(url: str, **environment: str) -> str:
    """Run a program with the default settings in this environment; return its output."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, url, env=environment, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    return out.decode().strip()


async def test_the_systems_trust_is_the_default(tmp_path: Path) -> None:
    """By default the system's trusted authorities are trusted, and no other."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "trusted.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    pong = answering(200, b'{"status": "pong"}')
    async with RawServer(pong, tls=context) as server:
        trusted, other = await asyncio.gather(
            in_a_child(server.url, SSL_CERT_FILE=str(tmp_path / "trusted.pem")),
            in_a_child(server.url, SSL_CERT_FILE=str(tmp_path / "other.pem")),
        )
    assert (trusted, other) == ("pong", "TLSError no")
    assert len(server.requests) == 1


async def test_old_tls_is_refused_whatever_the_system_allows(tmp_path: Path) -> None:
    """A server that has only TLS 1.1 is refused, even if the system allows it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "trusted.pem"))
    (tmp_path / "weak.cnf").write_text(WEAK)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with RawServer(answering(200, b'{"status": "pong"}'), tls=context) as server:
        reported = await in_a_child(
            server.url,
            SSL_CERT_FILE=str(tmp_path / "trusted.pem"),
            OPENSSL_CONF=str(tmp_path / "weak.cnf"),
        )
        # Some servers end such a handshake without a word.
        assert reported in ("TLSError no", "ConnectError no")
        assert not server.requests
