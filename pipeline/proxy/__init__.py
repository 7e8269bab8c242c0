"""The proxy: a small causal language model that is trained on packed contexts so that an estimator can learn from it.

In reading order: `windows` (what it sees of contexts), `model`, `losses`, `learner` (a model with its optimizer),
`trainer` (the run: segments, probes, trials, decisions), `checkpoint`, `ranks` (several processes), `watch` (progress),
`merging` (averages of models of one group each). Nothing here imports torch before a model is made.
"""
