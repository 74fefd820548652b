"""How many CPUs ``processes: auto`` means. Floor 3.

What counts is what this process may use, not what the machine has: a container with two CPUs on a host of 64 gets two
workers.

Facts: cgroups(7); ``cpu.max`` of version 2 holds quota and period in µs, version 1 has a file for each.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path


def cpus(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Those it may run on, or as many as the quota of its control group and of those above it amounts to.

    Args:
        root: where the control groups are mounted.
        own: which ones are this process's.
    """
    return max(1, min([len(os.sched_getaffinity(0)), *map(math.ceil, _quotas(root, own))]))


def _quotas(root: Path, own: Path) -> Iterator[float]:
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / controllers if controllers else root
        group = Path(os.path.normpath(top / path.strip("/")))
        # In a container the path may be the host's, and only the top is mounted: its own group.
        for folder in (group, *group.parents):
            if folder == top or top in folder.parents:
                yield from _quota(folder)


def _quota(group: Path) -> Iterator[float]:
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        if quota != "max" and int(quota) > 0:  # -1 in version 1: none
            yield int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return
