"""Boots a Debian with systemd in Linux namespaces: no hypervisor and no container engine is needed.

Changes to the root are kept in memory (an overlay) and lost when the machine is closed. systemd is PID 1 of a PID
namespace, in a control group of its own, with a network that reaches nothing.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.processes import wait_for

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BOOT = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$PLACE"
mkdir "$PLACE/upper" "$PLACE/work" "$PLACE/merged"
mount -t overlay overlay -o "lowerdir=$ROOT,upperdir=$PLACE/upper,workdir=$PLACE/work" "$PLACE/merged"
cd "$PLACE/merged"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs tmpfs dev/shm
mkdir -p src wheels
cp -a "$SOURCE/." src
mount --bind "$WHEELS" wheels
hostname machine
pivot_root . mnt
umount -l /mnt
exec /usr/bin/env -i container=other PATH="$PATH_INSIDE" /lib/systemd/systemd --log-target=console --show-status=no
"""


class Machine:
    """One booted machine; ``source`` is copied to its /src, ``wheels`` is its /wheels."""

    def __init__(self, root: Path, source: Path, wheels: Path) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="machine-")
        self._group = Path(tempfile.mkdtemp(prefix="gearpool-machine-", dir=_cgroup2()))
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        variables = {
            "PLACE": self._place.name,
            "ROOT": str(root),
            "SOURCE": str(source),
            "WHEELS": str(wheels),
            "PATH_INSIDE": PATH,
        }
        join = f"echo $$ >{self._group}/cgroup.procs"
        kinds = ["--cgroup", "--pid", "--mount", "--uts", "--ipc", "--net"]
        self._unshare = subprocess.Popen(
            ["/bin/sh", "-c", f'{join} && exec "$@"', "sh", "unshare", *kinds, "--fork", "/bin/sh", "-c", BOOT],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, env={**os.environ, **variables},
        )  # fmt: skip
        try:
            self._first = wait_for(self._first_process, "the first process")
            wait_for(self._has_booted, "systemd to have booted", 60.0)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Kill PID 1, and with it all processes of the machine."""
        for pid in _children(self._unshare.pid):
            with contextlib.suppress(OSError):
                os.kill(pid, 9)
        self._unshare.kill()
        self._unshare.wait()
        self._place.cleanup()
        self._log.close()
        wait_for(self._remove_group, "the machine's processes to have gone")

    def run(
        self, *argv: str, user: str = "root", environment: Mapping[str, str] | None = None, time_s: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as a login of ``user`` would."""
        return subprocess.run(
            self._inside(argv, user, environment or {}), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=time_s, check=False,
        )  # fmt: skip

    def must(self, *argv: str, user: str = "root", environment: Mapping[str, str] | None = None) -> str:
        """Run a command that must succeed and return its output."""
        done = self.run(*argv, user=user, environment=environment)
        assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}\n{self.journal()}"
        return done.stdout

    def start(self, *argv: str, user: str = "root") -> subprocess.Popen[str]:
        """Start a command inside."""
        return subprocess.Popen(
            self._inside(argv, user, {}), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.must("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def journal(self) -> str:
        """Return the end of the log inside."""
        return self.run("journalctl", "--no-pager", "--lines=60").stdout

    def _inside(self, argv: Sequence[str], user: str, environment: Mapping[str, str]) -> list[str]:
        names = ["cgroup", "pid", "mount", "uts", "ipc", "net"]
        enter = ["nsenter", "--target", str(self._first), *(f"--{name}" for name in names), "--root", "--wdns=/"]
        variables = [f"{name}={value}" for name, value in {"PATH": PATH, "LANG": "C.UTF-8", **environment}.items()]
        become = [] if user == "root" else ["runuser", "-u", user, "--"]
        return [*enter, "/usr/bin/env", "-i", *variables, *become, *argv]

    def _first_process(self) -> int:
        assert self._unshare.poll() is None, self._told()
        return next(iter(_children(self._unshare.pid)), 0)

    def _has_booted(self) -> bool:
        assert self._unshare.poll() is None, self._told()
        return self.run("systemctl", "is-system-running").stdout.strip() in {"running", "degraded"}

    def _told(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def _remove_group(self) -> bool:
        with contextlib.suppress(OSError):
            for folder in sorted(self._group.glob("**/"), reverse=True):
                folder.rmdir()
        return not self._group.exists()


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _cgroup2() -> Path:
    """Return the mount point of cgroup v2, which systemd inside needs."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise FileNotFoundError("no cgroup2 file system is mounted here")
