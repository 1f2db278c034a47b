"""Version of the package. Its metadata is built from this file."""

__version__ = "0.1.0"
