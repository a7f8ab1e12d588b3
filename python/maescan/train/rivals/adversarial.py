"""AnoVAEGAN (Baur et al., 2018) and f-AnoGAN (Schlegl et al., 2019)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maescan.method.slices import SliceStore
from maescan.train.rivals.common import Floats, Size, drawn, in_batches, learn, smoothed
from maescan.train.rivals.networks import down, up

LEVELS, CODE, LATENT = 4, 16, 128
KL, FOOLING = 1e-3, 1e-3
PENALTY, CRITIC_STEPS, FEATURES = 10.0, 2, 1.0


class AnoVaeGan:
    """A variational autoencoder whose code keeps the places of a slice (1/16 of its sides, CODE channels), and whose
    drawings a critic should take for slices; the score is the mean absolute difference."""

    def __init__(self, size: Size) -> None:
        self.size = size
        torch.manual_seed(size.seed)
        wide = size.width * 2 ** (LEVELS - 1)
        self.encode = nn.Sequential(down(1, size.width, LEVELS), nn.Conv2d(wide, 2 * CODE, 1)).to(size.device)
        self.decode = up(CODE, size.width, LEVELS).to(size.device)
        self.critic = nn.Sequential(down(1, size.width, LEVELS), nn.Conv2d(wide, 1, 1)).to(size.device)

    def fit(self, healthy: SliceStore) -> None:
        """The critic takes a step of its own before each of the autoencoder's."""
        judge = torch.optim.Adam(self.critic.parameters(), lr=2e-4, betas=(0.5, 0.9))
        weights = [*self.encode.parameters(), *self.decode.parameters()]
        learn(weights, drawn(healthy, self.size), lambda images: self._loss(images, judge), self.size.steps)
        self.encode.eval(), self.decode.eval()

    def _loss(self, images: Tensor, judge: torch.optim.Optimizer) -> Tensor:
        mean, spread = self.encode(images).chunk(2, dim=1)
        spread = spread.clamp(-10, 10)
        made = self.decode(mean + torch.exp(spread / 2) * torch.randn_like(spread))
        judge.zero_grad()
        real, false = self.critic(images), self.critic(made.detach())
        (F.softplus(-real).mean() + F.softplus(false).mean()).backward()
        judge.step()
        narrow = -0.5 * (1 + spread - mean.square() - spread.exp()).mean()
        loss: Tensor = (made - images).abs().mean() + KL * narrow + FOOLING * F.softplus(-self.critic(made)).mean()
        return loss

    def score(self, slices: Floats) -> tuple[Floats, Floats]:
        """The mean difference and its map."""
        maps = in_batches(slices, self._map, self.size.device)
        return maps.mean(axis=(1, 2)), maps

    def _map(self, images: Tensor) -> Tensor:
        gaps: Tensor = (self.decode(self.encode(images).chunk(2, dim=1)[0]) - images).abs()[:, 0]
        return gaps


class FAnoGan:
    """A generator of slices from LATENT numbers, trained against a critic (Wasserstein, gradient penalty); then an
    encoder that finds the numbers of a slice. The score adds the differences of the critic's features."""

    def __init__(self, size: Size) -> None:
        self.size = size
        torch.manual_seed(size.seed)
        self.wide = size.width * 2 ** (LEVELS - 1)
        self.see = down(1, size.width, LEVELS).to(size.device)
        self.draw = up(self.wide, size.width, LEVELS).to(size.device)
        self.encode = nn.Sequential(down(1, size.width, LEVELS), nn.Flatten()).to(size.device)

    def fit(self, healthy: SliceStore) -> None:
        """Half of the steps for the generator, half for the encoder."""
        batches = list(drawn(healthy, self.size))
        self.side = batches[0].shape[2] // 2**LEVELS
        cells = self.wide * self.side**2
        self.start = nn.Linear(LATENT, cells).to(self.size.device)
        self.rate = nn.Linear(cells, 1).to(self.size.device)
        self.code = nn.Sequential(nn.Linear(cells, LATENT), nn.Tanh()).to(self.size.device)
        half = len(batches) // 2
        self._against(iter(batches[:half]))
        for part in (self.start, self.draw, self.see, self.rate):
            part.requires_grad_(False)
        weights = [*self.encode.parameters(), *self.code.parameters()]
        learn(weights, batches[half:], lambda images: self._gap(images).mean(), len(batches) - half)

    def _against(self, batches: Iterator[Tensor]) -> None:
        critic = torch.optim.Adam([*self.see.parameters(), *self.rate.parameters()], lr=2e-4, betas=(0.0, 0.9))
        generator = torch.optim.Adam([*self.start.parameters(), *self.draw.parameters()], lr=2e-4, betas=(0.0, 0.9))
        for step, images in enumerate(batches):
            made = self._drawn(torch.randn(len(images), LATENT, device=images.device).tanh())
            critic.zero_grad()
            loss = self._rated(made.detach()).mean() - self._rated(images).mean()
            (loss + PENALTY * self._steepness(images, made.detach())).backward()
            critic.step()
            if step % CRITIC_STEPS == CRITIC_STEPS - 1:
                generator.zero_grad()
                (-self._rated(made).mean()).backward()
                generator.step()

    def _steepness(self, images: Tensor, made: Tensor) -> Tensor:
        """How far the critic's slope between slices and drawings is from 1."""
        share = torch.rand(len(images), 1, 1, 1, device=images.device)
        between = (share * images + (1 - share) * made).requires_grad_()
        (slope,) = torch.autograd.grad(self._rated(between).sum(), between, create_graph=True)
        steep: Tensor = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        return steep

    def _drawn(self, code: Tensor) -> Tensor:
        made: Tensor = self.draw(self.start(code).reshape(len(code), self.wide, self.side, self.side))
        return made

    def _rated(self, images: Tensor) -> Tensor:
        rated: Tensor = self.rate(self.see(images).flatten(1))
        return rated

    def _gap(self, images: Tensor) -> Tensor:
        """[B]: squared differences of slices and of features."""
        made = self._drawn(self.code(self.encode(images)))
        features = (self.see(made) - self.see(images)).square().mean(dim=(1, 2, 3))
        gap: Tensor = (made - images).square().mean(dim=(1, 2, 3)) + FEATURES * features
        return gap

    def score(self, slices: Floats) -> tuple[Floats, Floats]:
        """Both differences, and the map of the slice's."""
        return in_batches(slices, self._gap, self.size.device), in_batches(slices, self._map, self.size.device)

    def _map(self, images: Tensor) -> Tensor:
        return smoothed((self._drawn(self.code(self.encode(images))) - images).abs(), 1.0)[:, 0]
