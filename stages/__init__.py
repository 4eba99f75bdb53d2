"""The stages of the pipeline: thin command lines over the library, chained by dvc.yaml."""

import os

from advaudio.parallel import THREAD_VARIABLES

# One numeric thread per process, set before NumPy and PyTorch start theirs: sums then have one order,
# and a stage's output does not depend on the number of cores.
os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
