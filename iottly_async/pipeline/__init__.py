"""One call: deadline, permit, attempt, answer, retry.

`calls` has the steps in their order; each step's work is another room's. `call_state` holds
what is known of a call under way, `outcome` decides which error it ends with, and `options`
has what the rooms above see.
"""

from .calls import Pipeline
from .options import Observer, Options, Requester, Stats, Upgrade

__all__ = ["Observer", "Options", "Pipeline", "Requester", "Stats", "Upgrade"]
