"""Transforms for your own Beam pipelines: Batches, Rate, Curate and Deduplicate.

They work on PCollections of Arrow record batches of documents; docs/beam.md has examples.
"""

from tamis.pipelines.beam_api import Batches, Curate, Deduplicate, Rate

__all__ = ["Batches", "Curate", "Deduplicate", "Rate"]
