"""PruneGrad: how much can be pruned, at which layer, and what pruning does to the gradient and to adversarial steps."""
