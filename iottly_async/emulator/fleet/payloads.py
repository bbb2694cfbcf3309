"""Payloads: one function for each kind of sensor, and the agent's connection events.

Each function returns compact JSON text. ``draw`` gives floats in [0, 1). ``day`` is the part of the
day that has passed, in [0, 1), so that readings follow the sun.
"""

from collections.abc import Callable
from math import cos, pi

Draw = Callable[[], float]
Payload = Callable[[Draw, float], str]


def _warmth(day: float) -> float:
    return -cos(2 * pi * (day - 0.125))  # coldest at 3:00, warmest at 15:00


def temperature(draw: Draw, day: float) -> str:
    """The reading in the vendor's example."""
    celsius = 31 + 6 * _warmth(day) + 2 * draw()
    return f'{{"sensor_data_reading":{{"temperature":{celsius:.1f}}}}}'


def climate(draw: Draw, day: float) -> str:
    """Two numbers, one of them an integer, and a text."""
    celsius = 20 + 4 * _warmth(day) + draw()
    humidity = 40 + int(20 * draw())
    comfort = "too warm" if celsius > 23 else "fine"
    return (
        f'{{"sensor_data_reading":{{"temperature":{celsius:.2f},"humidity":{humidity}}},'
        f'"comfort":"{comfort}"}}'
    )


def power(draw: Draw, day: float) -> str:
    """A list of numbers, next to a nested object."""
    load = 3 + 2 * _warmth(day) + draw()
    volts = ",".join(f"{228 + 4 * draw():.1f}" for _ in range(3))
    return f'{{"meter":{{"kw":{load:.3f},"phases":[{volts}]}},"tariff":{1 + int(3 * draw())}}}'


def position(draw: Draw, day: float) -> str:
    """Coordinates and a boolean; null if there is no position fix."""
    if draw() < 0.05:
        return '{"position":null,"fix":false}'
    lat, lon = 45.46 + 0.1 * draw(), 9.19 + 0.1 * draw()
    speed = 0 if not 0.25 < day < 0.8 else int(90 * draw())
    return f'{{"position":{{"lat":{lat:.5f},"lon":{lon:.5f}}},"speed":{speed},"fix":true}}'


def pump(draw: Draw, day: float) -> str:
    """A state, an alarm text that is not ASCII, and numbers of both signs."""
    pressure = -1 + 4 * draw()
    alarm = '"pressione troppo alta: è oltre 2 bar"' if pressure > 2.9 else "null"
    state = "on" if 0.2 < day < 0.9 else "off"
    return f'{{"pump":{{"state":"{state}","bar":{pressure:.2f}}},"alarm":{alarm}}}'


PROFILES: tuple[Payload, ...] = (temperature, climate, power, position, pump)
"""The payload of each ``Device.profile``."""


def connection_event(connected: bool, agent_version: str) -> str:
    """What the agent reports (type ``iottlyagent``) when a device connects or disconnects."""
    state = "connected" if connected else "disconnected"
    return f'{{"connection":{{"status":"{state}"}},"agent":{{"version":"{agent_version}"}}}}'
