"""Where the copies of a document go when it is seen several times: apart, by positions that every part computes for itself.

Sorted by quality, the copies of a document would lie side by side, which is when the second teaches least. A corpus in parts is
never in one place, so nothing is rearranged: each copy gets a position of its own, and a ranking by these is the order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tamis.transforms.core.schedule import Floats

Integers = npt.NDArray[np.int64]


def copy_spacing(distance: Floats, most: Integers) -> Floats:
    """How far apart in position the copies of each document of a group lie, so that at least the share `distance` of the
    group's tokens is between them. `most` is how often any document of the group is seen. Where there is no room for so
    much, as far as there is: each epoch is then a pass of its own.

    Positions are shares of the group's tokens, copies counted. Documents that stand between two positions Δ apart are the share
    Δ of these, and of each at least one copy lies there (`copy_positions`): Δ / most of the tokens.
    """
    room = np.divide(1.0, most - 1, out=np.ones(np.shape(most)), where=most > 1)
    return np.minimum(distance * most, room)


def copy_positions(position: Floats, copies: Integers, apart: Floats, copy: Integers, start: Floats | float = 0.0) -> Floats:
    """Position, 0 to 1, of each copy (from 0) of documents at `position`, seen `copies` times, so far `apart`.

    The last copy stays where the document stands, earlier ones come before it; where there is no room before, from `start` on,
    all move on as little as they must. Sort by (this, `position`). Then between two neighbouring copies of a document at least
    one copy lies of every other that stands there: its own are as far apart, and reach from where it stands, or before, to
    there or beyond.
    """
    first = np.maximum(position - (copies - 1) * apart, np.minimum(start, 1 - (copies - 1) * apart))
    return np.minimum(np.maximum(first, 0.0) + copy * apart, 1.0)


def earliest_positions(
    last: Floats, before: Integers, most_before: Integers, whole: Integers, most: Integers, distance: Floats
) -> Floats:
    """Position from which each document may come in a phase of `whole` tokens, so that about `distance` tokens lie between it
    and its last copy, which is at the position `last` in the phase of `before` tokens that ends where this one begins.

    Between positions Δ apart lie Δ / most of the tokens (`copy_spacing`), so that much after `last`, and so much before an earliest_positions;
    less what entrances move away, of orders that have nothing to do with each other the share of documents that is moved. A
    phase that begins with what the one before ended with has half of the distance or less; `lint_repeats` tells.
    """
    moved = np.minimum(distance * most_before / np.maximum(before, 1), 1.0)
    behind = (1 - last) * before / most_before
    return np.asarray(np.maximum(distance - behind, 0.0) / np.maximum(whole, 1) * most * (1 + moved))
