"""The exit codes of every gearpool process, from sysexits.h. Floor 0."""

OK = 0
FAILED = 1
USAGE = 64
NO_SERVER = 69
INTERNAL = 70
CANNOT_CREATE = 73
TIMED_OUT = 75
NO_PERMISSION = 77
CONFIGURATION = 78
INTERRUPTED = 130
