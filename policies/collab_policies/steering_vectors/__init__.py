"""Parts of steering vectors: the options they are made by, how they are made, and their file.

SEAL (arXiv:2504.07986) steers by the difference between steps that reflect or change the way and
steps that execute. RankGuide (arXiv:2604.16694) filters what it is made of by a rank; its formula
is not known to us, and what is here are readings of what is known. Nothing here needs torch.
"""
