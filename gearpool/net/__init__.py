"""Connections to job servers: `addresses` parses, `dialing` connects, `reasons` explains failures. Floor 2."""
