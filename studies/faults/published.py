"""Published numbers that faults of the texts concern: as printed, or as read from the data of the papers' figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

JACCARD: Mapping[str, Sequence[float]] = {
    "GreedyPruning": (5.26, 5.26, 5.26, 2.25),
    "Random": (6.68, 6.76, 6.80, 4.10),
}
"""P, figure 2a (%): the columns labelled so, against NeuronIntGrad, NeuronMCT, DGR(init=1) and DGR(init=r)."""
GREEDY_RANDOM = 9.74
"""The Jaccard of those two (%)."""
GREEDY_DEAD, DEAD = 68.78, 59.51
"""P, figure 1: dead share of the greedy path, and of a random one (%)."""

LERF_STEPS: Mapping[str, Mapping[str, Sequence[float]]] = {
    "CIFAR-10": {
        "Gradient": (0.216, 0.285, 0.327, 0.361, 0.390, 0.428, 0.450, 0.477, 0.510, 0.540),
        "GBP": (0.150, 0.202, 0.242, 0.280, 0.314, 0.333, 0.350, 0.368, 0.381, 0.387),
        "GradCAM": (0.076, 0.092, 0.103, 0.111, 0.120, 0.126, 0.123, 0.134, 0.136, 0.148),
        "InputMCT": (0.150, 0.168, 0.183, 0.194, 0.200, 0.215, 0.221, 0.229, 0.235, 0.247),
        "InputIntGrad": (0.139, 0.169, 0.190, 0.207, 0.209, 0.217, 0.219, 0.229, 0.239, 0.246),
        "NeuronMCT": (0.039, 0.058, 0.073, 0.088, 0.100, 0.111, 0.118, 0.125, 0.140, 0.152),
        "NeuronIntGrad": (0.039, 0.058, 0.072, 0.088, 0.099, 0.111, 0.118, 0.125, 0.141, 0.150),
    },
    "Birdsnap": {
        "Gradient": (0.833, 0.924, 0.953, 0.966, 0.973, 0.975, 0.978, 0.978, 0.979, 0.982),
        "GBP": (0.740, 0.839, 0.881, 0.902, 0.917, 0.931, 0.939, 0.945, 0.953, 0.956),
        "GradCAM": (0.079, 0.094, 0.107, 0.125, 0.136, 0.147, 0.149, 0.162, 0.168, 0.174),
        "InputMCT": (0.856, 0.929, 0.954, 0.963, 0.968, 0.972, 0.974, 0.974, 0.975, 0.976),
        "InputIntGrad": (0.852, 0.928, 0.959, 0.966, 0.969, 0.971, 0.973, 0.974, 0.975, 0.976),
        "NeuronMCT": (0.061, 0.075, 0.090, 0.103, 0.112, 0.124, 0.137, 0.148, 0.158, 0.166),
        "NeuronIntGrad": (0.060, 0.074, 0.089, 0.102, 0.112, 0.124, 0.137, 0.148, 0.158, 0.166),
    },
    "ImageNet": {
        "Gradient": (0.324, 0.393, 0.446, 0.479, 0.506, 0.528, 0.548, 0.568, 0.583, 0.599),
        "GBP": (0.255, 0.348, 0.405, 0.453, 0.489, 0.517, 0.541, 0.563, 0.580, 0.591),
        "GradCAM": (0.065, 0.077, 0.088, 0.100, 0.110, 0.115, 0.117, 0.122, 0.129, 0.132),
        "InputMCT": (0.309, 0.371, 0.408, 0.438, 0.468, 0.489, 0.508, 0.526, 0.541, 0.556),
        "InputIntGrad": (0.305, 0.363, 0.401, 0.431, 0.456, 0.470, 0.487, 0.501, 0.513, 0.527),
        "NeuronMCT": (0.050, 0.073, 0.091, 0.100, 0.112, 0.122, 0.131, 0.141, 0.151, 0.157),
        "NeuronIntGrad": (0.060, 0.074, 0.089, 0.102, 0.112, 0.124, 0.137, 0.148, 0.158, 0.166),
    },
}
"""P, figure 6: relative change of the probability with 1 to 10 % of the pixels removed, least relevant first."""

LERF_TABLE: Mapping[str, Sequence[float]] = {
    "CIFAR-10": (0.037, 0.028, 0.010, 0.019, 0.019, 0.009, 0.009),
    "Birdsnap": (0.090, 0.085, 0.012, 0.090, 0.090, 0.010, 0.010),
    "ImageNet": (0.046, 0.044, 0.009, 0.043, 0.041, 0.010, 0.010),
}
"""P, table 2, in the same order of methods."""

ROAR_BIRDSNAP: Mapping[str, Sequence[float]] = {
    "GradCAM": (20.052, 7.816, 5.304, 4.240, 2.351),
    "NeuronMCT": (22.885, 12.678, 8.620, 3.797, 3.074),
    "NeuronIntGrad": (19.023, 9.13, 6.32, 4.01, 3.03),
}
"""P, figure 5: accuracy (%) with 10, 30, 50, 70 and 90 % of the pixels removed; 58.63 with none."""
ROAR_BIRDSNAP_START = 58.63

TEXT_FEATURES: Mapping[str, Sequence[float]] = {
    "activations": (54.17, 84.89, 91.53, 92.09),
    "gradient x activation": (73.16, 90.40, 91.95, 91.38),
    "influence": (80.58, 85.24, 85.59, 91.45),
    "conductance": (86.58, 91.45, 93.15, 93.64),
}
"""C, table 2: accuracy (%) with 5, 10, 15 and 20 features."""
TEXT_SAMPLES, TEXT_ALL = 566, 2831
"""On how many samples they were taken by the text, of how many."""
