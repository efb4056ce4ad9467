"""The line rules of C4: their options and kernels, which the rater `c4` and the editor `c4_lines` share."""
