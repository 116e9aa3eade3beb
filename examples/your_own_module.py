"""From a module of your own to the pathway gradient, and how the pathway differs from a random one."""

import torch
from torch import nn

import critpath as cp

torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    nn.Linear(32, 10),
).eval()  # fmt: skip
x = torch.randn(2, 3, 32, 32)

net = cp.Network(model)
scores = cp.score(net, x)
pathway = cp.select(scores, sparsity=0.9)
pathway_gradient = cp.attribute(net, x, "pathway_gradient", pathway=pathway)

random = cp.find_pathway(net, x, "random", sparsity=0.9)
random_gradient = cp.attribute(net, x, "pathway_gradient", pathway=random)
plain = cp.attribute(net, x, "gradient")


def alone(kept: cp.Pathway) -> torch.Tensor:
    """The network's output where every neuron off the pathway is set to zero."""
    output: torch.Tensor = net.run(x, rule=lambda site, a: a * kept.keep[site.name], graph=False).output
    return output


classes = model(x).argmax(dim=1, keepdim=True)
print("overlap with a random pathway of the same size:")
print(cp.overlap(pathway, random))
for name, path, found in (("contribution", pathway, pathway_gradient), ("random", random, random_gradient)):
    logits = alone(path).gather(1, classes).flatten().tolist()
    close = nn.functional.cosine_similarity(found.flatten(1), plain.flatten(1)).tolist()
    print(
        f"{name:12} logits on its own {logits[0]:.3f}, {logits[1]:.3f}; cosine with the plain gradient {close[0]:.2f}"
    )
print("logits of the whole network:", *(f"{value:.3f}" for value in model(x).gather(1, classes).flatten().tolist()))
