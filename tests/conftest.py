"""Settings for all tests: one thread per forward pass, no hub."""

import os
import shutil

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if shutil.which("nvidia-smi") is None:
    # Read when Triton is imported: without a GPU, its kernels are interpreted.
    os.environ.setdefault("TRITON_INTERPRET", "1")
