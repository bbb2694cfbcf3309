"""A second server of the Iottly API, written from the API's description alone.

It shares nothing with the client and nothing with the emulator: no codec, no HTTP library, no
model, no data. What it says is always right by the description, and how it says it is a
`Dialect`: what the description leaves open, and what HTTP and JSON leave open.
"""

from .dialect import Dialect
from .dialects import EVERY, USUAL
from .server import ForeignServer
from .truth import Row, Truth

__all__ = ["EVERY", "USUAL", "Dialect", "ForeignServer", "Row", "Truth"]
