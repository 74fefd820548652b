"""`gearpool result HANDLE`: another name of `gearpool job`, as no server keeps results. Floor 5."""

from gearpool.cli.job import EXAMPLES, HELP, INTERMIXED, configure, run

__all__ = ["EXAMPLES", "HELP", "INTERMIXED", "configure", "run"]
