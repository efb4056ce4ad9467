"""The command line. Its imports make half a million objects that stay: nobody need look for garbage among them."""

import atexit
import gc

gc.set_threshold(500_000, 20, 20)  # not during the imports: an eighth of the CPU time of a run over one document
atexit.register(gc.freeze)  # nor at the end of the process: a quarter
