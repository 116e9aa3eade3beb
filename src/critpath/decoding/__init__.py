"""Decoding: pictures of what drives a network, its pathway alone, or one of its neurons."""

from critpath.decoding.decode import decode
from critpath.decoding.decoded import Decoded
from critpath.decoding.examples import TopExamples, top_examples
from critpath.decoding.settings import PRESETS, Settings
from critpath.decoding.units import top_neuron
from critpath.decoding.warp import Warp

__all__ = ["PRESETS", "Decoded", "Settings", "TopExamples", "Warp", "decode", "top_examples", "top_neuron"]
