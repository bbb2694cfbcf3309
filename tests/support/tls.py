"""Certificates for tests: several server certificates, and a client context that trusts one CA."""

import ssl
from datetime import UTC, datetime, timedelta

import trustme


class Certificates:
    """A certificate authority and what it has signed; made once a run, because signing is slow.

    Attributes:
        client: a client's context that trusts the authority only.
        server: for 127.0.0.1 and localhost.
        wrong_host: for another name.
        expired: for 127.0.0.1, expired a day ago.
        untrusted: for 127.0.0.1, signed by an authority that is not trusted.
    """

    def __init__(self) -> None:
        authority, stranger = trustme.CA(), trustme.CA()
        past = datetime.now(UTC) - timedelta(days=1)
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)
        self.server = _context(authority.issue_cert("127.0.0.1", "localhost"))
        self.wrong_host = _context(authority.issue_cert("elsewhere.example"))
        self.expired = _context(authority.issue_cert("127.0.0.1", not_after=past))
        self.untrusted = _context(stranger.issue_cert("127.0.0.1"))


def _context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context
