"""The application's clients: made at import, connected when first used."""

from django.conf import settings

from gearpool import AsyncClient, Client

client = Client(settings.GEARMAN_SERVERS, job_timeout=20)
async_client = AsyncClient(settings.GEARMAN_SERVERS, job_timeout=20)
