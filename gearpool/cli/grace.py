"""How long a platform waits before it kills: read from a systemd unit, a Kubernetes manifest or a compose file. Floor 5.

Facts: systemd.service(5) (TimeoutStopSec, 90 s by default), the Kubernetes API (terminationGracePeriodSeconds, 30), the
compose specification (stop_grace_period, 10 s).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gearpool.errors import InvalidArgument

_SYSTEMD_S, _KUBERNETES_S, _COMPOSE_S = 90.0, 30.0, 10.0
_SECONDS = {
    "us": 1e-6, "ms": 1e-3, "": 1.0, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "m": 60.0, "min": 60.0,
    "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hr": 3600.0, "hour": 3600.0, "hours": 3600.0, "d": 86400.0,
    "day": 86400.0, "days": 86400.0,
}  # fmt: skip
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)\s*")


def graces(path: str) -> dict[str, float]:
    """Seconds by the name of what is killed: of what mentions gearpool, or of everything if nothing does.

    Raises:
        InvalidArgument: it cannot be read, or is none of the three.
    """
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{path} is not UTF-8") from error
    if re.search(r"(?m)^\[Service\]", text):
        return {Path(path).name: _of_a_unit(text, path)}
    import yaml

    try:
        found = [each for document in yaml.safe_load_all(text) for each in _of_a_document(document)]
    except RecursionError as error:
        raise InvalidArgument(f"{path} is nested too deep, or an alias in it holds itself") from error
    except yaml.YAMLError as error:
        raise InvalidArgument(f"{path} is no systemd unit, Kubernetes manifest or compose file: {error}") from error
    if not found:
        raise InvalidArgument(f"{path} has no [Service], no pod with containers and no services")
    chosen = [each for each in found if "gearpool" in str(each[1]).lower()] or found
    return {
        name: default_s if given is None else _span(str(given), path)
        for name, runs, key, default_s in chosen
        for given in [runs.get(key)]
    }


def _of_a_unit(text: str, path: str) -> float:
    # The last one counts; TimeoutSec sets start and stop.
    given = re.findall(r"(?m)^\s*Timeout(?:Stop)?Sec\s*=\s*(.*?)\s*$", text)
    if not given or not given[-1]:
        return _SYSTEMD_S
    return _span(given[-1], path) or math.inf  # 0 is no limit


def _of_a_document(document: Any) -> Iterator[tuple[str, dict[str, Any], str, float]]:
    """What is run: its name, its mapping, the key there with the time, and the default."""
    if not isinstance(document, dict):
        return
    services = document.get("services")
    if isinstance(services, dict):
        for name, service in services.items():
            if isinstance(service, dict):
                yield str(name), service, "stop_grace_period", _COMPOSE_S
    elif "kind" in document:
        metadata = document.get("metadata")
        name = metadata.get("name", "") if isinstance(metadata, dict) else ""
        for pod in _pods(document):
            yield f"{document['kind']}/{name}", pod, "terminationGracePeriodSeconds", _KUBERNETES_S


def _pods(value: Any) -> Iterator[dict[str, Any]]:
    """Every pod's specification in ``value``, however deep (Deployment, CronJob, List …)."""
    if isinstance(value, dict):
        if isinstance(value.get("containers"), list):
            yield value
        for each in value.values():
            yield from _pods(each)
    elif isinstance(value, list):
        for each in value:
            yield from _pods(each)


def _span(text: str, path: str) -> float:
    """``45``, ``45s``, ``1min 30s``, ``1m30s`` or ``infinity`` in seconds."""
    if text == "infinity":
        return math.inf
    parts = _SPAN.findall(text)
    if not parts or _SPAN.sub("", text) or any(unit not in _SECONDS for _, unit in parts):
        raise InvalidArgument(f"{path}: {text!r} is no time")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)
