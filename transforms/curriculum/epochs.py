"""Spaces out the copies of documents that are seen several times.

Sorted by quality, the copies of a document would be adjacent, where the second teaches least. The
corpus is never in one place, so nothing is rearranged: each part computes a position for each of
its copies, and sorting by position is the order.
"""

import numpy as np

from tamis.transforms.core.arrays import Floats, Ints


def copy_spacing(distance: Floats, most: Ints) -> Floats:
    """Spacing in position that puts the share `distance` of a group's tokens between copies.

    `most` is the largest number of copies of any document in the group. If there is too little
    room, the spacing is the largest possible: each epoch is then a separate pass.

    Positions are shares of the group's tokens, copies included. Between two positions Δ apart
    stand documents with the share Δ of the tokens. At least one of the up to `most` copies of each
    lies there (`copy_positions`): Δ / most of the tokens.
    """
    room = np.divide(1.0, most - 1, out=np.ones(np.shape(most)), where=most > 1)
    return np.minimum(distance * most, room)


def copy_positions(position: Floats, copies: Ints, spacing: Floats, copy: Ints, start: Floats | float = 0.0) -> Floats:
    """Position (0 to 1) of copy `copy` (from 0) of documents at `position` with `copies` copies.

    The last copy stays at the document's position; earlier copies come before it. If there is no
    room between `start` and the position, all copies move back as little as necessary. Sort by
    (this, `position`). Between two neighbouring copies of a document there is then at least one
    copy of every document that stands between them, since its copies have the same spacing and
    reach from at most its own position to at least it.
    """
    first = np.maximum(position - (copies - 1) * spacing, np.minimum(start, 1 - (copies - 1) * spacing))
    return np.minimum(np.maximum(first, 0.0) + copy * spacing, 1.0)


def earliest_positions(last: Floats, before: Ints, most_before: Ints, tokens: Ints, most: Ints, distance: Floats) -> Floats:
    """Earliest positions in a phase, about `distance` tokens after the copy in the phase before.

    That copy is at position `last` of `before` tokens; this phase has `tokens`. Between positions
    Δ apart lie Δ / most of the tokens (`copy_spacing`): that many after `last` and before the
    earliest position, minus the documents that are moved back themselves, whose share is estimated
    for independent orders. If a phase begins with the documents that ended the one before, half of
    the distance or less remains; `lint_repeats` warns.
    """
    moved = np.minimum(distance * most_before / np.maximum(before, 1), 1.0)
    behind = (1 - last) * before / most_before
    return np.asarray(np.maximum(distance - behind, 0.0) / np.maximum(tokens, 1) * most * (1 + moved))
