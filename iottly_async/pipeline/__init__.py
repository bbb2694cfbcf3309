"""One call: deadline, retries, quota, transport, answer, in that order.

Each hop is another room's; here is only their sequence (`calls`), how far a call is and
what its caller is told of it (`course`), and what others need to know of it (`options`).
"""

from .calls import Pipeline
from .options import Observer, Options, Requester, Stats, Upgrade

__all__ = ["Observer", "Options", "Pipeline", "Requester", "Stats", "Upgrade"]
