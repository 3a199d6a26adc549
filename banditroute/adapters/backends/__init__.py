"""Backends: what holds the adapters."""
