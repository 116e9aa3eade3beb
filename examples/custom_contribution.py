"""A new contribution in ten lines: Taylor scores as a share of what their site contributes."""

import torch

import critpath as cp
from critpath.contributions import CONTRIBUTIONS
from critpath.response import Response


def share_of_site(activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """a dΦ/da, divided by its sum of magnitudes over the site: both arguments are [batch, *shape]."""
    scores = activation * gradient
    total = scores.flatten(1).abs().sum(dim=1).clamp(min=torch.finfo(scores.dtype).tiny)
    return scores / total.view(-1, *[1] * (scores.dim() - 1))


@CONTRIBUTIONS.register("site_share", forwards=1, backwards=1, zero_if_dead=True)
def site_share(response: Response) -> cp.NeuronValues:
    """Every site weighs the same: at each, the magnitudes sum to 1."""
    return response.run.read(response.value, share_of_site)


if __name__ == "__main__":
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(4), torch.nn.Conv2d(8, 16, 3), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Linear(256, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10),
    ).eval()  # fmt: skip
    net, x = cp.Network(model), torch.randn(1, 3, 26, 26)
    print("now registered:", ", ".join(cp.contribution_names()))
    for name in ("taylor", "site_share"):
        pathway = cp.find_pathway(net, x, name, sparsity=0.98)
        print(f"{name}: share kept at each site {[round(share, 3) for share in pathway.density()[0].tolist()]}")
