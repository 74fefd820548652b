"""Reads how long a platform waits before it kills a process, from a systemd unit, a Kubernetes manifest or a compose
file. Floor 5.

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
from gearpool.units import parse_span

_SYSTEMD_S, _KUBERNETES_S, _COMPOSE_S = 90.0, 30.0, 10.0


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
        raise InvalidArgument(f"{path} is not a systemd unit, Kubernetes manifest or compose file: {error}") from error
    if not found:
        raise InvalidArgument(f"{path} has no [Service], no pod with containers and no services")
    found = [each for each in found if not _is_exporter(each[1])] or found
    chosen = [each for each in found if "gearpool" in str(each[1]).lower()] or found
    return {
        name: default_s if given is None else _span(str(given), path)
        for name, runs, key, default_s in chosen
        for given in [runs.get(key)]
    }


def _is_exporter(runs: dict[str, Any]) -> bool:
    """Whether a service or a pod runs `gearpool exporter`, which has no jobs to finish."""
    for each in (runs, *(runs.get("containers") or [])):
        if isinstance(each, dict):
            words = [each.get("command") or [], each.get("args") or []]
            flat = [str(word) for part in words for word in (part.split() if isinstance(part, str) else list(part))]
            if [word for word in flat if word != "gearpool"][:1] == ["exporter"]:
                return True
    return False


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
    seconds = parse_span(text)
    if seconds is None:
        raise InvalidArgument(f"{path}: {text!r} is not a duration")
    return seconds
