"""Receives, remembers and answers."""
