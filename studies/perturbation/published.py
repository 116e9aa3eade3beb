"""P, figure 6 a to c and table 2: LeRF, the change of the response |p - p'| / p, means over 2000 images.

The curves are the numbers of the authors' plotting file. CIFAR-10 is on a ResNet-8, Birdsnap and ImageNet on ResNet-50.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

SHARES = tuple(k / 100 for k in range(1, 11))
MORE = tuple(k / 10 for k in range(2, 10))
"""Of ``CIFAR_MORE``; the file does not give them, 20 to 90 % is what eight steps after 10 % suggest."""

CURVES: Mapping[str, Mapping[str, Sequence[float]]] = {
    "cifar10": {
        "gradient": (0.216, 0.285, 0.327, 0.361, 0.39, 0.428, 0.45, 0.477, 0.51, 0.54),
        "gbp": (0.15, 0.202, 0.242, 0.28, 0.314, 0.333, 0.35, 0.368, 0.381, 0.387),
        "gradcam": (0.076, 0.092, 0.103, 0.111, 0.12, 0.126, 0.123, 0.134, 0.136, 0.148),
        "input-mct": (0.15, 0.168, 0.183, 0.194, 0.2, 0.215, 0.221, 0.229, 0.235, 0.247),
        "input-intgrad": (0.139, 0.169, 0.19, 0.207, 0.209, 0.217, 0.219, 0.229, 0.239, 0.246),
        "neuron-mct": (0.039, 0.058, 0.073, 0.088, 0.1, 0.111, 0.118, 0.125, 0.14, 0.152),
        "neuron-intgrad": (0.039, 0.058, 0.072, 0.088, 0.099, 0.111, 0.118, 0.125, 0.141, 0.15),
    },
    "birdsnap": {
        "gradient": (0.833, 0.924, 0.953, 0.966, 0.973, 0.975, 0.978, 0.978, 0.979, 0.982),
        "gbp": (0.74, 0.839, 0.881, 0.902, 0.917, 0.931, 0.939, 0.945, 0.953, 0.956),
        "gradcam": (0.079, 0.094, 0.107, 0.125, 0.136, 0.147, 0.149, 0.162, 0.168, 0.174),
        "input-mct": (0.856, 0.929, 0.954, 0.963, 0.968, 0.972, 0.974, 0.974, 0.975, 0.976),
        "input-intgrad": (0.852, 0.928, 0.959, 0.966, 0.969, 0.971, 0.973, 0.974, 0.975, 0.976),
        "neuron-mct": (0.061, 0.075, 0.09, 0.103, 0.112, 0.124, 0.137, 0.148, 0.158, 0.166),
        "neuron-intgrad": (0.06, 0.074, 0.089, 0.102, 0.112, 0.124, 0.137, 0.148, 0.158, 0.166),
    },
    "imagenet": {
        "gradient": (0.324, 0.393, 0.446, 0.479, 0.506, 0.528, 0.548, 0.568, 0.583, 0.599),
        "gbp": (0.255, 0.348, 0.405, 0.453, 0.489, 0.517, 0.541, 0.563, 0.58, 0.591),
        "gradcam": (0.065, 0.077, 0.088, 0.1, 0.11, 0.115, 0.117, 0.122, 0.129, 0.132),
        "input-mct": (0.309, 0.371, 0.408, 0.438, 0.468, 0.489, 0.508, 0.526, 0.541, 0.556),
        "input-intgrad": (0.305, 0.363, 0.401, 0.431, 0.456, 0.47, 0.487, 0.501, 0.513, 0.527),
        "neuron-mct": (0.05, 0.073, 0.091, 0.1, 0.112, 0.122, 0.131, 0.141, 0.151, 0.157),
        "neuron-intgrad": (0.06, 0.074, 0.089, 0.102, 0.112, 0.124, 0.137, 0.148, 0.158, 0.166),
    },
}
"""By data set and method, over ``SHARES``. ImageNet's NeuronIntGrad equals Birdsnap's in all ten: a copy."""

CIFAR_MORE: Mapping[str, Sequence[float]] = {
    "gradient": (0.751, 0.826, 0.856, 0.864, 0.875, 0.877, 0.863, 0.871),
    "gbp": (0.502, 0.591, 0.634, 0.641, 0.641, 0.644, 0.713, 0.831),
    "gradcam": (0.192, 0.207, 0.26, 0.311, 0.39, 0.501, 0.643, 0.772),
    "input-mct": (0.368, 0.423, 0.475, 0.517, 0.546, 0.57, 0.636, 0.845),
    "input-intgrad": (0.341, 0.391, 0.429, 0.454, 0.488, 0.51, 0.589, 0.836),
    "neuron-mct": (0.222, 0.294, 0.375, 0.466, 0.57, 0.676, 0.765, 0.833),
    "neuron-intgrad": (0.22, 0.293, 0.377, 0.465, 0.57, 0.667, 0.764, 0.831),
}

TABLE_2: Mapping[str, Mapping[str, float]] = {
    "cifar10": {
        "gradient": 0.037,
        "gbp": 0.028,
        "gradcam": 0.01,
        "input-mct": 0.019,
        "input-intgrad": 0.019,
        "neuron-mct": 0.009,
        "neuron-intgrad": 0.009,
    },
    "birdsnap": {
        "gradient": 0.09,
        "gbp": 0.085,
        "gradcam": 0.012,
        "input-mct": 0.09,
        "input-intgrad": 0.09,
        "neuron-mct": 0.01,
        "neuron-intgrad": 0.01,
    },
    "imagenet": {
        "gradient": 0.046,
        "gbp": 0.044,
        "gradcam": 0.009,
        "input-mct": 0.043,
        "input-intgrad": 0.041,
        "neuron-mct": 0.01,
        "neuron-intgrad": 0.01,
    },
}
"""Areas as printed, cut to three digits."""


def untruncated(data: str, method: str) -> float:
    """The area of a curve, which table 2 has cut to three digits."""
    line = (0.0, *CURVES[data][method])
    return sum((a + b) / 200 for a, b in pairwise(line))


COPIED = ("imagenet", "neuron-intgrad")
"""A row that is another one's copy, and no measurement."""

ACCURACY = 0.8436
"""Of P's ResNet-8 on CIFAR-10."""
