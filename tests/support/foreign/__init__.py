"""A second server of the Iottly API, written from the API's description alone.

It shares nothing with the client or the emulator: no codec, no HTTP library, no model, no data.
Its answers always agree with the description. A `Dialect` chooses everything that the
description, HTTP and JSON leave open.
"""

from .dialect import Dialect
from .dialects import EVERY, USUAL
from .server import ForeignServer
from .truth import Row, Truth, text_of

__all__ = ["EVERY", "USUAL", "Dialect", "ForeignServer", "Row", "Truth", "text_of"]
