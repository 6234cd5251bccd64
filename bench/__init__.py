"""Measures Tellonce on this machine: ratios against a bare limit of the same run, memory, start and size. See README.md."""
