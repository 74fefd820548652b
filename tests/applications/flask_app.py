"""A Flask application with one `Client` in its module: created and used before gunicorn forks, if it preloads."""

from __future__ import annotations

import os

from flask import Flask
from flask.typing import ResponseReturnValue

from gearpool import Client, JobTimedOut

client = Client(os.environ["GEARMAN_SERVERS"], job_timeout=20)
loaded_in = os.getpid()
client.echo()  # a connection that forked workers must not share

app = Flask(__name__)


@app.errorhandler(JobTimedOut)
def timed_out(error: JobTimedOut) -> ResponseReturnValue:
    """Answer 504 when a job times out."""
    return {"error": "timed out", "job": error.handle}, 504


@app.get("/ready")
def ready() -> ResponseReturnValue:
    """Report whether the job server answers."""
    return {"pid": os.getpid(), "loaded_in": loaded_in, "echo": client.echo(b"ready").decode()}


@app.get("/reverse/<text>")
def reverse(text: str) -> ResponseReturnValue:
    """Run a job and wait for its result."""
    return {"result": client.submit_job("reverse", text).decode(), "pid": os.getpid()}


@app.get("/several/<int:count>")
def several(count: int) -> ResponseReturnValue:
    """Run many jobs concurrently."""
    return [result.decode() for result in client.map("reverse", [f"item {number}" for number in range(count)])]


@app.get("/never")
def never() -> ResponseReturnValue:
    """Run a job for which there is no worker."""
    return {"result": client.submit_job("nobody", "x", timeout=1.0).decode()}


@app.post("/later/<text>")
def later(text: str) -> ResponseReturnValue:
    """Submit a background job."""
    return {"job": str(client.submit_background_job("later", text))}, 202
