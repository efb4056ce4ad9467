"""Kernels on the UTF-8 bytes of a batch: characters, hashes, words, lines and repetition."""

SEGMENTATION = 4
"""Version of words, lines, hashes and folding. Raise it when one of them changes, so that no old
rating is reused."""
