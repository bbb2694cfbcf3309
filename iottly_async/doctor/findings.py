"""What a diagnosis finds, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from attrs import field, frozen

from ..models._model import Model


class Verdict(StrEnum):
    """What the evidence says about one check."""

    OK = "ok"
    """The service does as documented, or as the library assumes where the documents are silent."""

    DIFFERS = "differs"
    """It does something else."""

    UNKNOWN = "unknown"
    """There is not enough evidence."""


@frozen(kw_only=True)
class Setting(Model):
    """A setting that follows from a finding.

    Attributes:
        name: of a field of `Config`.
        value: that the field should have.
    """

    name: str
    value: int | float | str


@frozen(kw_only=True)
class Finding(Model):
    """The result of one check.

    Attributes:
        check: what was checked, such as "page numbers".
        decision: the decision that the check is about, such as "D3"; None if it is about none.
        verdict: ok, differs or unknown.
        evidence: what was seen, for people. It has no key, no id, no payload and no value of
            a message.
        setting: what to set because of it; None if there is nothing to set.
    """

    check: str
    decision: str | None
    verdict: Verdict
    evidence: str
    setting: Setting | None = None


@frozen(kw_only=True)
class SentRequest(Model):
    """One request of a diagnosis.

    Attributes:
        request: method and path without ids, and the names of the query's parameters.
        status: of the answer; None if there was none.
        seconds: from the request to the answer, or to the failure.
        headers: those of the answer that say something about the service, without values
            that are anybody's.
        failure: the class of the error if there was no answer; None otherwise.
    """

    request: str
    status: int | None
    seconds: float
    headers: Mapping[str, str] = field(factory=dict, hash=False)
    failure: str | None = None


@frozen(kw_only=True)
class Diagnosis(Model):
    """What the doctor found out about a service.

    Attributes:
        findings: one for each check, in a fixed order.
        requests: those that were sent, in order.
        stopped: why not all requests of the plan were sent; None if they were, or were not
            needed.
    """

    findings: tuple[Finding, ...]
    requests: tuple[SentRequest, ...]
    stopped: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that follow, by their names in `Config`.

        Example:
            ```python
            config = attrs.evolve(session.config, **diagnosis.settings)
            ```
        """
        found = (finding.setting for finding in self.findings)
        return {setting.name: setting.value for setting in found if setting is not None}

    @property
    def differences(self) -> tuple[Finding, ...]:
        """The findings that differ from what is documented or assumed."""
        return tuple(each for each in self.findings if each.verdict is Verdict.DIFFERS)


def finding(
    check: str,
    decision: str | None,
    verdict: Verdict,
    evidence: str,
    setting: tuple[str, int | float | str] | None = None,
) -> Finding:
    """Make a finding; `setting` is a name and a value."""
    follows = None if setting is None else Setting(name=setting[0], value=setting[1])
    return Finding(
        check=check, decision=decision, verdict=verdict, evidence=evidence, setting=follows
    )


def unknown(check: str, decision: str | None, why: str) -> Finding:
    """Make a finding for which there is not enough evidence; `why` says what is missing."""
    return finding(check, decision, Verdict.UNKNOWN, why)


def compared(
    check: str, decision: str | None, as_assumed: bool, evidence: str, otherwise: str
) -> Finding:
    """Make a finding with one of two texts: as documented or assumed, or otherwise."""
    verdict, text = (Verdict.OK, evidence) if as_assumed else (Verdict.DIFFERS, otherwise)
    return finding(check, decision, verdict, text)
