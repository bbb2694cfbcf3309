"""A Django project in one file, whose asynchronous view uses a session."""

import os
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from iottly_async import IottlySession

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="of-a-test")


async def devices(_: HttpRequest) -> JsonResponse:
    """The devices of the project."""
    async with IottlySession() as session:
        found = await session.project(os.environ["IOTTLY_PROJECT"]).devices.list()
    return JsonResponse([device.to_dict() for device in found], safe=False)


urlpatterns = [path("devices", devices)]
app: Any = get_asgi_application()
