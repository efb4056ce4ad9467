"""Limits that differ by language: chosen from labels, or read from FineWeb-2's files."""
