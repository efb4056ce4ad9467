"""Megatron's `GPTDataset` without its shuffles: sequence n is the n-th of the export."""

import numpy as np
import numpy.typing as npt
from megatron.core.datasets import helpers
from megatron.core.datasets.gpt_dataset import GPTDataset

from tamis.transforms.core.arrays import Ints


class PlannedGPTDataset(GPTDataset):
    """For `BlendedMegatronDatasetBuilder`, in place of `GPTDataset`, which shuffles documents and
    sequences whatever its settings.

    Sequence n is tokens [n·L, (n + 1)·L] of the export, where L is the sequence length; the last
    token is only a label. A rest too short for a sequence is left out. If more samples are asked
    for than one pass has, the next pass begins where the last one ended.

    The indices, 4 bytes for each document and 8 or 16 for each sequence, are built in every
    process and not written to `path_to_cache`.
    """

    def _build_document_sample_shuffle_indices(self) -> tuple[npt.NDArray[np.int32], Ints, Ints]:
        """(documents,), (sequences + 1, 2) of first document and offset in it, (sequences,)."""
        tokens = self._get_num_tokens_per_epoch()
        epochs = self._get_num_epochs(tokens)
        documents = np.tile(np.asarray(self.indices, np.int32), epochs)
        starts = helpers.build_sample_idx(
            np.array(self.dataset.sequence_lengths),
            documents,
            self.config.sequence_length,
            epochs,
            tokens,
            True,
            self.config.add_extra_token_to_sequence,
        )
        return documents, starts, np.arange(len(starts) - 1)
