"""The parent of all: no gevent, no handler code, no blocking call. One selectors loop serves signals, children, their
pages, the control socket and the service manager. Floor 4; stdlib only.

`daemon.Daemon` is the whole; `pool.Pool` has the workers, `guard.Guard` watches them, `calls` is the operator's end.
"""
