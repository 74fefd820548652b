"""The application's clients: created at import, connected at first use."""

from django.conf import settings

from gearpool import AsyncClient, Client

client = Client(settings.GEARMAN_SERVERS, job_timeout=20)
async_client = AsyncClient(settings.GEARMAN_SERVERS, job_timeout=20)
