"""Kernels on the UTF-8 bytes of a batch: characters, hashes, words and lines, repetition."""

SEGMENTATION = 4
"""Version of what a word, a line, a hash and a fold are; raise it when one changes, and no old rating is reused."""
