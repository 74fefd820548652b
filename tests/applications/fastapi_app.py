"""A FastAPI application with one `AsyncClient`: it awaits jobs, submits background jobs and queries their status."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from gearpool import AsyncClient, JobFailed, JobTimedOut, NoServersAvailable
from gearpool.client import Data


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the client when the application starts and close it when it stops."""
    async with AsyncClient(os.environ["GEARMAN_SERVERS"], job_timeout=20) as client:
        app.state.gearman = client
        yield


def gearman(request: Request) -> AsyncClient:
    """The application's client."""
    client: AsyncClient = request.app.state.gearman
    return client


Gearman = Annotated[AsyncClient, Depends(gearman)]
app = FastAPI(lifespan=lifespan)


@app.exception_handler(JobTimedOut)
async def timed_out(request: Request, error: JobTimedOut) -> JSONResponse:
    """Answer 504 when a job times out."""
    return JSONResponse({"error": "timed out", "job": error.handle}, 504)


@app.exception_handler(NoServersAvailable)
async def unavailable(request: Request, error: NoServersAvailable) -> JSONResponse:
    """Answer 503 when no job server can be reached."""
    return JSONResponse({"error": "unavailable", "servers": error.reasons}, 503)


@app.exception_handler(JobFailed)
async def failed(request: Request, error: JobFailed) -> JSONResponse:
    """Answer 502 when a job failed."""
    return JSONResponse({"error": "failed", "function": error.function}, 502)


@app.get("/ready")
async def ready(client: Gearman) -> dict[str, str]:
    """Report whether the job server answers."""
    return {"echo": (await client.echo(b"ready")).decode()}


@app.get("/reverse/{text}")
async def reverse(text: str, client: Gearman) -> dict[str, str]:
    """Run a job and wait for its result."""
    return {"result": (await client.submit_job("reverse", text)).decode()}


@app.get("/several/{count}")
async def several(count: int, client: Gearman) -> list[str]:
    """Run many jobs concurrently."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(client.submit_job("reverse", f"item {number}")) for number in range(count)]
    return [task.result().decode() for task in tasks]


@app.get("/stream/{text}")
async def stream(text: str, client: Gearman) -> StreamingResponse:
    """Stream the data that the worker sends while the job runs."""
    job = await client.submit("letters", text)

    async def parts() -> AsyncIterator[bytes]:
        yield b'"'
        async for event in job.events():
            if isinstance(event, Data):
                yield event.data
        yield b'"'
        await job

    return StreamingResponse(parts(), media_type="application/json")


@app.get("/never")
async def never(client: Gearman) -> None:
    """Run a job for which there is no worker."""
    await client.submit_job("nobody", "x", timeout=1.0)


@app.get("/fails")
async def fails(client: Gearman) -> None:
    """Run a job that fails."""
    await client.submit_job("fail", "x")


@app.post("/later/{text}", status_code=202)
async def later(text: str, client: Gearman) -> dict[str, str]:
    """Submit a background job."""
    return {"job": str(await client.submit_background_job("later", text))}


@app.get("/jobs/{job:path}")
async def status(job: str, client: Gearman) -> dict[str, bool]:
    """Return the status of a background job."""
    found = await client.get_job_status(job)
    return {"known": found.is_known, "running": found.is_running}
