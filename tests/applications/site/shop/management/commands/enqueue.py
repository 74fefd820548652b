"""``manage.py enqueue COUNT``: submits background jobs and prints their handles."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from tests.applications.site.shop.gearman import client


class Command(BaseCommand):  # type: ignore[misc]  # Django ships no types
    """The ``enqueue`` command."""

    help = "Submit background jobs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("count", type=int)

    def handle(self, *args: Any, count: int, **options: Any) -> None:
        """Submit the jobs."""
        for job in client.submit_background_jobs("later", [f"order {number}" for number in range(count)]):
            self.stdout.write(str(job))
