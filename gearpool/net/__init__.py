"""The way to a job server: `addresses` says which, `dialing` opens it, `reasons` says why not. Floor 2."""
