"""The stages of the pipeline: thin command lines over the library, chained by dvc.yaml."""

from advaudio.core.determinism import fix_this_process
from advaudio.core.interrupts import answer_signals

fix_this_process()
answer_signals()
