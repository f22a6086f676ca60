"""Extracting steering vectors from hidden states at the steps of a generator that writes alone.

`collecting` runs the generator and keeps every step with its states; `steps` is how they lie on
disk; `extracting` takes right and wrong texts and has an `extractor` make a vector of them; `cards`
says what came of it.
"""
