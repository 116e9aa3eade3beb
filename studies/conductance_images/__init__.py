"""Conductance on images: table 1 and figures 1 to 4 of the conductance paper."""
