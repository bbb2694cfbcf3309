"""The asyncio SDK for the Iottly IoT cloud.

Open an `IottlySession`, ask it for a project, and walk its devices' messages::

    from iottly_async import IottlySession

    async with IottlySession() as session:  # IOTTLY_API_KEY from the environment
        async for message in session.project(project_id).messages.walk(device_id):
            print(message.timestamp, message.payload)

To run it without an account, see `iottly_async.emulator`.
"""

from ._version import __version__
from .config import Config, RetryPolicy
from .errors import (
    ApiError,
    BadRequestError,
    CommandOutcomeUnknownError,
    ConfigurationError,
    ConflictError,
    ConnectError,
    ConnectionLostError,
    CursorMismatchError,
    DeadlineExceededError,
    DecodeError,
    DeviceOfflineError,
    ForbiddenError,
    IottlyError,
    NotFoundError,
    PageOrderError,
    ProtocolError,
    RateLimitedError,
    ResponseTooLargeError,
    ServerError,
    SessionClosedError,
    StoreError,
    TLSError,
    TransportError,
    TruncatedResponseError,
    UnauthorizedError,
    UnexpectedRedirectError,
    UnstableTieOrderError,
    WalkError,
    WebhookError,
    WebhookSecretError,
    WebhookTooLargeError,
)
from .live.doorbell import Doorbell
from .live.events import Gap
from .live.protocol import DefaultStreamProtocol, StreamProtocol
from .live.stream import Stream
from .models import (
    Board,
    Command,
    CommandResult,
    CommandStatus,
    Cursor,
    Device,
    FleetDevice,
    FleetDevicePage,
    FleetStatus,
    License,
    LicenseStatus,
    Message,
    MessageBatch,
    MessagePage,
    MessageType,
    OperatingStatus,
    ProjectInfo,
    Quota,
)
from .ratelimit import RateLimiter
from .session import IottlySession

__all__ = [
    "ApiError",
    "BadRequestError",
    "Board",
    "Command",
    "CommandOutcomeUnknownError",
    "CommandResult",
    "CommandStatus",
    "Config",
    "ConfigurationError",
    "ConflictError",
    "ConnectError",
    "ConnectionLostError",
    "Cursor",
    "CursorMismatchError",
    "DeadlineExceededError",
    "DecodeError",
    "DefaultStreamProtocol",
    "Device",
    "DeviceOfflineError",
    "Doorbell",
    "FleetDevice",
    "FleetDevicePage",
    "FleetStatus",
    "ForbiddenError",
    "Gap",
    "IottlyError",
    "IottlySession",
    "License",
    "LicenseStatus",
    "Message",
    "MessageBatch",
    "MessagePage",
    "MessageType",
    "NotFoundError",
    "OperatingStatus",
    "PageOrderError",
    "ProjectInfo",
    "ProtocolError",
    "Quota",
    "RateLimitedError",
    "RateLimiter",
    "ResponseTooLargeError",
    "RetryPolicy",
    "ServerError",
    "SessionClosedError",
    "StoreError",
    "Stream",
    "StreamProtocol",
    "TLSError",
    "TransportError",
    "TruncatedResponseError",
    "UnauthorizedError",
    "UnexpectedRedirectError",
    "UnstableTieOrderError",
    "WalkError",
    "WebhookError",
    "WebhookSecretError",
    "WebhookTooLargeError",
    "__version__",
]
