"""Views that wait for jobs: sync ones with `Client`, async ones with `AsyncClient`."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse

from gearpool import JobTimedOut
from tests.applications.site.shop.gearman import async_client, client


def ready(request: HttpRequest) -> JsonResponse:
    """Report whether the job server answers."""
    return JsonResponse({"echo": client.echo(b"ready").decode()})


def reverse(request: HttpRequest, text: str) -> JsonResponse:
    """Run a job and wait for its result."""
    return JsonResponse({"result": client.submit_job("reverse", text).decode()})


async def reverse_async(request: HttpRequest, text: str) -> JsonResponse:
    """Run a job from an async view."""
    return JsonResponse({"result": (await async_client.submit_job("reverse", text)).decode()})


def never(request: HttpRequest) -> JsonResponse:
    """Run a job for which there is no worker."""
    try:
        client.submit_job("nobody", "x", timeout=1.0)
    except JobTimedOut as error:
        return JsonResponse({"error": "timed out", "job": error.handle}, status=504)
    return JsonResponse({})
