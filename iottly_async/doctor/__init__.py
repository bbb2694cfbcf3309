"""The doctor: asks a service, read-only, what its documents leave open, and what follows.

The library rests on decisions (D1 to D18) where the service's documents are silent. A user
who has an account can ask the service: `diagnose` sends at most 40 requests and compares each
answer with what is documented or assumed. Settings that follow from it are fields of `Config`;
``iottly doctor --save`` writes them into a file that `Config.from_file` reads.

Pure code decides, thin code awaits:

- `plan` has the requests, step by step, with the most of each.
- `choices` says what to ask next: which device, which bound, which page size.
- `diagnose` asks in order, and `sender` sends: one attempt a request, within the quota.
- `evidence` holds what was asked and answered.
- `checks/` reads the evidence, one idea a file, and makes `findings`.
- `report` shows the requests without ids, and `profile` writes the settings as TOML.
"""

from .diagnose import diagnose
from .findings import Diagnosis, Finding, SentRequest, Setting, Verdict
from .plan import PlannedRequest, plan
from .profile import profile_text
from .report import report_of

__all__ = [
    "Diagnosis",
    "Finding",
    "PlannedRequest",
    "SentRequest",
    "Setting",
    "Verdict",
    "diagnose",
    "plan",
    "profile_text",
    "report_of",
]
