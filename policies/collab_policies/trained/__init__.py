"""Parts of verifiers that are trained: what they read, their network, its weights, its training."""
