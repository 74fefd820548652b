"""The supervisor process. One selectors loop serves signals, children, their shared pages, the control socket and the
service manager; it never loads gevent or handler code and never makes a blocking call. Floor 4; stdlib only.

`daemon.Daemon` wires the pieces, `fleet.Fleet` owns the workers, `guard.Guard` kills blocked ones, and
`control_client` is the operator's end of the control socket.
"""
