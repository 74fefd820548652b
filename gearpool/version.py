"""The version of this package. Floor 0; read by the build, too."""

__version__ = "0.1.0"
