"""The command line. Its imports make half a million objects that stay, so garbage is collected less often."""

import gc

gc.set_threshold(500_000, 20, 20)  # none during the imports: a fifth of the CPU time of a run over one document
