"""The rank of a text's hidden states over its last steps: how many directions it goes in.

RankGuide (arXiv:2604.16694) asks the large model for help where a "tensor rank signal derived from
consecutive hidden states" is low: the small model loops, checks again or restates. The tensor, its
decomposition and the formula of that signal are not known to us. What is here are readings of what
is known, each testable; none claims to be the paper's:

- D1 `trajectory`, the default: the effective rank of the tensor steps x layers x hidden.
- D2 `folded`: the sum of the multilinear ranks of steps x d1 x d2, the hidden axis folded. For
  comparison only, as the basis of a hidden state means nothing.
- D3 `tokens`: the rank of the tokens x hidden of one step.
- D4: the error of a CP fit of a few components, in `comparing`. Too slow but for studies.
- D5: D1 or D3 over all steps of a whole text, by a window as long as it.

`options.RankOptions` chooses; `trajectory.Trajectory` is the memory of one problem;
`observing` says what to ask of a backend. Nothing here needs torch.
"""
