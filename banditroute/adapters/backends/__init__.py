"""Backends: the owners of the memory that adapters are loaded into."""
