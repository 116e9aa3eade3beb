"""Table 1 of the conductance paper: accuracies in percent for 5, 10, 15 and 20 filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Rows = Mapping[str, Sequence[float]]

VESSELS: Rows = {
    "activation": (37.80, 36.59, 47.56, 54.88),
    "gradient_activation": (32.93, 58.54, 64.63, 69.51),
    "influence": (45.12, 53.66, 71.95, 68.29),
    "conductance": (48.78, 68.29, 70.73, 79.27),
}
"""Five types of water vessels, 82 images."""

RANDOM: Rows = {
    "activation": (54.76, 61.90, 65.48, 69.05),
    "gradient_activation": (67.86, 83.33, 85.71, 88.10),
    "influence": (50.00, 67.86, 73.81, 75.00),
    "conductance": (88.10, 94.05, 96.43, 94.05),
}
"""Five labels drawn at random, 84 images."""

AGGREGATE: Rows = {
    "activation": (46.52, 48.51, 55.81, 60.45),
    "gradient_activation": (56.94, 76.01, 79.74, 84.39),
    "influence": (48.50, 62.23, 71.37, 72.50),
    "conductance": (68.85, 81.58, 85.99, 87.79),
}
"""Four label sets together."""
