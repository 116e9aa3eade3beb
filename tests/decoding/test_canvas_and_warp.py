"""Parameters to pictures and back, and what pictures have to withstand."""

from __future__ import annotations

from math import cos, pi, sin
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor
from torch.nn import functional as F

from critpath.decoding.canvas import COLOURS, CONTRAST, Fourier, Pixels, colour_matrix
from critpath.decoding.warp import Warp, resized
from critpath.errors import OptionError

ZERO = Warp(pad=0, jitter=0, scale=0, degrees=0, second_jitter=0)
SIZES = [(8, 8), (8, 6), (7, 9), (6, 5)]


def pictures(*shape: int) -> Tensor:
    return torch.sigmoid(tiny.numbers(*shape, seed=7))


def draws(count: int, seed: int = 3) -> Tensor:
    return torch.rand(count, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class TestCanvas:
    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("kind", [Fourier, Pixels])
    @pytest.mark.parametrize("decorrelate", [True, False])
    def test_there_and_back(self, kind: type, size: tuple[int, int], decorrelate: bool) -> None:
        canvas, given = kind(3, *size, decorrelate), pictures(2, 3, *size)
        parameters = canvas.parameters(given)
        assert parameters.shape == (2, *canvas.shape)
        assert torch.allclose(canvas.pictures(parameters), given)

    @pytest.mark.parametrize("size", SIZES)
    def test_spectrum_against_its_sum_of_waves(self, size: tuple[int, int]) -> None:
        """Parameter 1 at one frequency is a wave of amplitude (1 or 2) / (4 sqrt(hw) f)."""
        (h, w), canvas = size, Fourier(1, *size, False)
        for v, u in [(0, 0), (1, 0), (h - 1, 1), (2, 2), (0, 1)]:
            parameters = torch.zeros(1, *canvas.shape, dtype=torch.float64)
            parameters[0, 0, v, u, 0] = 1
            cycles = (min(v, h - v) / h, u / w)
            frequency = max((cycles[0] ** 2 + cycles[1] ** 2) ** 0.5, 1 / max(h, w))
            real = torch.tensor([[cos(2 * pi * (v * y / h + u * x / w)) for x in range(w)] for y in range(h)]).double()
            # a column that has no mirror image in the half that is kept counts twice
            amplitude = (1 if u == 0 or 2 * u == w else 2) / (CONTRAST * (h * w) ** 0.5 * frequency)
            assert torch.allclose(canvas.plane(parameters)[0, 0], amplitude * real, atol=1e-6)

    def test_colours(self) -> None:
        """RGB is the matrix times what is uncorrelated; its longest column has length 1."""
        matrix = colour_matrix(torch.zeros((), dtype=torch.float64))
        longest = max(sum(row[i] ** 2 for row in COLOURS) ** 0.5 for i in range(3))
        assert torch.allclose(matrix, torch.tensor(COLOURS, dtype=torch.float64) / longest)
        plane = tiny.numbers(1, 3, 4, 4)
        red = sum(COLOURS[0][i] / longest * plane[0, i] for i in range(3))
        assert torch.allclose(Pixels(3, 4, 4, True).pictures(plane)[0, 0], torch.sigmoid(red))
        assert torch.equal(Pixels(3, 4, 4, False).pictures(plane), torch.sigmoid(plane))

    @pytest.mark.parametrize("kind", [Fourier, Pixels])
    def test_differentiable_and_bounded(self, kind: type) -> None:
        canvas = kind(3, 4, 3, True)
        parameters = tiny.numbers(1, *canvas.shape).requires_grad_()
        assert torch.autograd.gradcheck(canvas.pictures, (parameters,))
        wild = canvas.pictures(1000 * parameters)
        assert wild.min() >= 0
        assert wild.max() <= 1

    def test_black_and_white_can_be_started_from(self) -> None:
        canvas = Fourier(3, 4, 4, True)
        given = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
        given[..., 2:] = 1
        assert torch.allclose(canvas.pictures(canvas.parameters(given)), given, atol=2e-3)


class TestWarp:
    @pytest.mark.parametrize("size", SIZES)
    def test_nothing_at_zero(self, size: tuple[int, int]) -> None:
        given = pictures(3, 2, *size)
        assert torch.allclose(ZERO(given, size, draws(3)), given, atol=1e-12)

    def test_shift_is_whole_pixels(self) -> None:
        """Even jitters move a picture as slicing does; what comes in is grey."""
        given = pictures(1, 1, 8, 8)
        warp = Warp(pad=2, jitter=4, scale=0, degrees=0, second_jitter=0)
        padded = F.pad(given, (2, 2, 2, 2), value=0.5)
        seen = set()
        for across in range(5):
            for down in range(5):
                draw = torch.tensor([[(across + 0.5) / 5, (down + 0.5) / 5, 0, 0, 0, 0]], dtype=torch.float64)
                expected = padded[..., down : down + 8, across : across + 8]
                assert torch.allclose(warp(given, (8, 8), draw), expected, atol=1e-12)
                seen.add((across, down))
        assert len(seen) == 25

    def test_pad_shows_more(self) -> None:
        """Padding alone: the window is larger than the picture by twice the padding."""
        given = pictures(2, 3, 6, 8)
        shown = Warp(pad=3, jitter=0, scale=0, degrees=0, second_jitter=0)(given, (12, 14), draws(2))
        assert torch.allclose(shown, F.pad(given, (3, 3, 3, 3), value=0.5), atol=1e-12)

    def test_place_of_every_pixel(self) -> None:
        """Pixel by pixel, by what the steps do to a point: shift, scale about the middle, turn, shift."""
        size, warp = (9, 7), Warp(pad=4, jitter=3, scale=0.2, degrees=30, second_jitter=2)
        given, draw = pictures(4, 1, *size), draws(4, seed=9)
        shown, window = warp(given, (6, 5), draw), (9 + 8 - 5, 7 + 8 - 5)
        for n, (a, b, c, d, e, f) in enumerate(draw.tolist()):
            shift, second = (int(a * 4) - 1.5, int(b * 4) - 1.5), (int(e * 3) - 1, int(f * 3) - 1)
            scale, angle = 1 + 0.2 * (int(c * 11) - 5) / 5, _angle(d) * pi / 180
            for i in range(6):
                for j in range(5):
                    x = ((j + 0.5) / 5 - 0.5) * window[1] + second[0]
                    y = ((i + 0.5) / 6 - 0.5) * window[0] + second[1]
                    x, y = (cos(angle) * x - sin(angle) * y) / scale, (sin(angle) * x + cos(angle) * y) / scale
                    expected = _bilinear(given[n, 0], y + shift[1] + 4.5 - 0.5, x + shift[0] + 3.5 - 0.5)
                    assert float(shown[n, 0, i, j]) == pytest.approx(expected, abs=1e-10)

    def test_bounds_of_what_is_drawn(self) -> None:
        warp, many = Warp(), draws(4000)
        scales, angles = warp._scales(many[:, 2]), warp._angles(many[:, 3]) * 180 / pi
        assert sorted({round(s, 3) for s in scales.tolist()}) == [round(0.9 + 0.02 * i, 3) for i in range(11)]
        assert sorted({round(a, 6) for a in angles.tolist()}) == list(range(-10, 11))
        assert float((angles == 0).double().mean()) == pytest.approx(6 / 26, abs=0.03)

    def test_each_picture_has_its_own(self) -> None:
        given, draw = pictures(3, 3, 8, 8), draws(3)
        alone = [Warp()(given[i : i + 1], (12, 12), draw[i : i + 1]) for i in range(3)]
        assert torch.allclose(Warp()(given, (12, 12), draw), torch.cat(alone), atol=1e-12)

    def test_differentiable(self) -> None:
        draw = draws(1)
        warp = Warp(pad=1, jitter=2, second_jitter=0)
        assert torch.autograd.gradcheck(lambda x: warp(x, (5, 5), draw), (pictures(1, 1, 4, 4).requires_grad_(),))

    @pytest.mark.parametrize("options", [{"pad": -1}, {"scale": 1.0}, {"degrees": float("nan")}, {"jitter": "a"}])
    def test_out_of_range(self, options: dict[str, Any]) -> None:
        with pytest.raises(OptionError, match=f"{next(iter(options))} of a Warp is"):
            Warp(**options)

    def test_resized(self) -> None:
        """Corners stay corners; the size it has already is left alone."""
        given = pictures(1, 2, 4, 4)
        larger = resized(given, (7, 7))
        assert torch.allclose(larger[..., ::2, ::2], given)
        assert resized(given, (4, 4)) is given


def _angle(draw: float) -> float:
    return 0.0 if draw < 5 / 26 else 30 * (int((draw - 5 / 26) / (21 / 26) * 21) - 10) / 10


def _bilinear(picture: Tensor, y: float, x: float) -> float:
    """The picture between its pixels, grey outside."""
    top, left = int(y // 1), int(x // 1)

    def at(i: int, j: int) -> float:
        return float(picture[i, j]) if 0 <= i < picture.shape[0] and 0 <= j < picture.shape[1] else 0.5

    a, b = y - top, x - left
    upper = (1 - b) * at(top, left) + b * at(top, left + 1)
    return (1 - a) * upper + a * ((1 - b) * at(top + 1, left) + b * at(top + 1, left + 1))
