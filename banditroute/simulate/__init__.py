"""Simulation: the very Router code over tables of known outcomes, and what that was worth."""
