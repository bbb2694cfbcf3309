"""The devices of the project, with their names in both generations, and the licences.

They are made from a seed: the same seed and number give the same fleet on any day.
"""

import uuid
from collections.abc import Iterable
from random import Random

import attrs

from ..settings import seeded_random

_PLACES = ("milan", "turin", "genoa", "bari", "trento", "pisa", "lecce", "parma")
_KINDS = ("gateway", "sensor", "meter", "tracker", "pump")
_BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"
_OFFLINE_SHARE = 0.2
_AGENTS = ("1.8.2", "1.8.4", "1.9.0")


@attrs.define(kw_only=True)
class Device:
    """A device: ``id`` is its id on v1.0 (a UUID), ``fleet_id`` on v1, ``token`` its licence."""

    number: int
    id: str
    fleet_id: str
    name: str
    mac: str
    token: str
    agent_version: str
    connected: bool
    profile: int
    channel: str | None


@attrs.define(kw_only=True)
class Fleet:
    """The devices of a project in order, and its available licences."""

    project_id: str
    fleet_project_id: str
    devices: list[Device]
    available: list[str]
    by_id: dict[str, Device] = attrs.field(init=False, repr=False)
    by_fleet_id: dict[str, Device] = attrs.field(init=False, repr=False)
    by_token: dict[str, Device] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.by_id = {device.id: device for device in self.devices}
        self.by_fleet_id = {device.fleet_id: device for device in self.devices}
        self.by_token = {device.token: device for device in self.devices}

    def find(self, device_id: str) -> Device:
        """The device with this id of either generation; ``KeyError`` if there is none."""
        device = self.by_id.get(device_id) or self.by_fleet_id.get(device_id)
        if device is None:
            raise KeyError(f"no device {device_id!r} in this fleet")
        return device


def make_fleet(
    seed: int | str,
    project_id: str,
    *,
    count: int = 0,
    ids: Iterable[str] = (),
    licenses: int = 5,
) -> Fleet:
    """Make ``count`` devices, or one device for each of ``ids``, and available licences.

    The first device is connected; of the others, about a fifth is not.
    """
    chosen: list[str | None] = [*ids] or [None] * count
    devices = [_make_device(seed, number, given) for number, given in enumerate(chosen)]
    rng = seeded_random(seed, "project")
    return Fleet(
        project_id=project_id,
        fleet_project_id=f"prj_{_base32(rng, 20)}",
        devices=devices,
        available=[f"{rng.getrandbits(128):032x}" for _ in range(licenses)],
    )


def _make_device(seed: int | str, number: int, given: str | None) -> Device:
    rng = seeded_random(seed, f"device/{number}")
    made = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    kind = number % len(_KINDS)
    return Device(
        number=number,
        id=given or made,
        fleet_id=f"dev_{_base32(rng, 22)}",
        name=f"{_KINDS[kind]}-{_PLACES[number % len(_PLACES)]}-{number + 1:02d}",
        mac=":".join(["02", *(f"{rng.getrandbits(8):02x}" for _ in range(5))]),
        token=f"{rng.getrandbits(128):032x}",
        agent_version=_AGENTS[rng.getrandbits(8) % len(_AGENTS)],
        connected=rng.random() >= _OFFLINE_SHARE or number == 0,
        profile=kind,
        channel="telemetry" if number % 4 == 1 else None,
    )


def _base32(rng: Random, length: int) -> str:
    return "".join(_BASE32[rng.getrandbits(5)] for _ in range(length))
