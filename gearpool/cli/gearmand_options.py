"""What `gearpool server` answers to options of gearmand that it does not have: what to do instead. Floor 5; pure.

The options are those of ``gearmand --help``, 1.1.20 and 2.0.0. deploy/README has the same as a table; a test holds the two
and the real ``--help`` together.
"""

from __future__ import annotations

_FOREGROUND = "it stays in the foreground; let systemd, a container or the shell keep it in the background"
_LOG = "it logs to standard error; redirect it, or let journald or `| logger` take it"
_QUEUE = "background jobs are kept in one SQLite file: --store PATH"
_KEEPALIVE = "keepalive is always on: a peer that is gone is noticed within minutes"
_TLS = "use --tls-cert, --tls-key and, to require client certificates, --tls-ca"
_HTTP = (
    "it speaks no HTTP; what is running is told by `gearpool queues`, and by `http:` in the configuration of the daemon"
)

INSTEAD: dict[str, str] = {
    "-d": _FOREGROUND,
    "--daemon": _FOREGROUND,
    "--hashtable-buckets": "its tables grow by themselves",
    "--keepalive": _KEEPALIVE,
    "--keepalive-idle": _KEEPALIVE,
    "--keepalive-interval": _KEEPALIVE,
    "--keepalive-count": _KEEPALIVE,
    "-l": _LOG,
    "--log-file": _LOG,
    "--syslog": _LOG,
    "-P": f"{_FOREGROUND}, which then know its process id; the text command getpid tells it, too",
    "--pid-file": f"{_FOREGROUND}, which then know its process id; the text command getpid tells it, too",
    "-r": _HTTP,
    "--protocol": _HTTP,
    "--http-port": _HTTP,
    "-R": "functions of one worker always take turns; leave it out",
    "--round-robin": "functions of one worker always take turns; leave it out",
    "-q": _QUEUE,
    "--queue-type": _QUEUE,
    "--config-file": "write its few options on the command line, or use `embedded:` in a configuration of the daemon",
    "--coredump": "use `ulimit -c unlimited`, or LimitCORE= of systemd",
    "-t": "one thread serves everything; leave it out",
    "--threads": "one thread serves everything; leave it out",
    "-u": "start it as that user: User= of systemd, or `setpriv`",
    "--user": "start it as that user: User= of systemd, or `setpriv`",
    "-V": "use --version",
    "--verbose": "use --log-level",
    "--ssl": _TLS,
    "--ssl-ca-file": _TLS,
    "--ssl-certificate": _TLS,
    "--ssl-key": _TLS,
    "--store-queue-on-shutdown": "--store PATH writes each background job before it is acknowledged",
}

_QUEUES = ("--lib", "--mysql-", "--redis-")


def instead(word: str) -> str | None:
    """What to do instead of this option of gearmand; None: gearmand has none of this name, or we have it, too."""
    option = word.partition("=")[0]
    if option.startswith(_QUEUES):
        return _QUEUE
    if not option.startswith("--"):
        # ``-t4``
        option = option[:2]
    return INSTEAD.get(option)
