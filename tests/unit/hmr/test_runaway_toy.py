"""The canary: on a toy with two modes, one of them good, Eq. 6 without kappa runs away and the guard notices.

The reference is the exact noise predictor of a 2-D mixture of two Gaussians; the policy adds a small network
that starts at zero. 32 fixed groups of 8, drawn from the mixture, are scored by distance to the good mode.
"""

import pytest
import torch
from torch import nn

from hmr.advantage import group_advantages
from hmr.guard import Decision, Evaluation, GuardSettings, StabilityGuard
from hmr.metrics import diversity
from hmr.objectives import Head, alignment_loss, draw_noise, draw_timesteps, noise_errors, preset

MODES = torch.tensor([[4.0, 0.0], [-4.0, 0.0]])  # the first is good; a length of 1 stands for 1 m
WIDTH = 0.5
ALPHA_BAR = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)
HEADS = (Head(name="point", dims=2),)
LIMITS = GuardSettings(patience=1000)  # its own thresholds; patience is not what is tested


def reference(x_t, t):
    """Exact E[eps | x_t] under the mixture; t (image,) or a step for all."""
    abar = ALPHA_BAR[t].view(-1, 1, 1)
    apart = x_t[..., None, :] - abar[..., None].sqrt() * MODES  # image, member, mode, dim
    variance = (abar * WIDTH**2 + 1 - abar)[..., None]
    weight = (-apart.square().sum(-1, keepdim=True) / (2 * variance)).softmax(-2)
    return ((1 - abar[..., None]).sqrt() * weight * apart / variance).sum(-2)


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.change = nn.Sequential(
            nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2)
        )
        nn.init.zeros_(self.change[-1].weight)
        nn.init.zeros_(self.change[-1].bias)

    def forward(self, x_t, t):
        time = (t.view(-1, 1, 1) / 500 - 1).expand(*x_t.shape[:2], 1)
        return reference(x_t, t) + self.change(torch.cat([x_t, time], -1))


@torch.no_grad()
def sample(policy, start):
    """DDIM, eta 0, 20 calls."""
    x = start
    steps = torch.linspace(999, 0, 20).long()
    for t, after in zip(steps, [*steps[1:], None]):
        eps = policy(x, t.view(1))
        clean = (x - (1 - ALPHA_BAR[t]).sqrt() * eps) / ALPHA_BAR[t].sqrt()
        x = clean if after is None else ALPHA_BAR[after].sqrt() * clean + (1 - ALPHA_BAR[after]).sqrt() * eps
    return x


class Run:
    """Training on the toy with one preset; `decision` is the guard's after each 50 steps."""

    def __init__(self, settings, seed=0):
        self.settings, self.random = settings, torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        self.policy = Policy()
        self.optimiser = torch.optim.Adam(self.policy.parameters(), lr=1e-3)
        self.groups, self.held_out = self.draw_groups(32), self.draw_groups(16)
        self.starts = torch.randn(16, 8, 2, generator=self.random)
        self.starts[:, 0] = 0
        self.history = [self.evaluate(0)]

    def draw_groups(self, images):
        mode = torch.randint(2, (images, 8), generator=self.random)
        x0 = MODES[mode] + WIDTH * torch.randn(images, 8, 2, generator=self.random)
        return x0, group_advantages(100 - 10 * error(x0), **self.settings.advantage.model_dump())

    def loss(self, groups, random):
        x0, advantages = groups
        t = draw_timesteps(self.settings, random, len(x0))
        noise = draw_noise(random, len(x0), 2)
        abar = ALPHA_BAR[t].view(-1, 1, 1)
        x_t = abar.sqrt() * x0 + (1 - abar).sqrt() * noise
        errors = noise_errors(self.policy(x_t, t), noise, reference(x_t, t), heads=HEADS)
        return alignment_loss(errors, advantages, self.settings)

    @torch.no_grad()
    def evaluate(self, step):
        drawn = sample(self.policy, self.starts)
        watched = self.loss(self.held_out, torch.Generator().manual_seed(7)).diagnostics
        head = "point" if self.settings.per_head else "all"
        return Evaluation(
            step=step,
            zero_noise_mm=1000 * error(drawn[:, 0]).mean().item(),
            best_of_g_mm=1000 * error(drawn).min(1).values.mean().item(),
            diversity_mm=float(diversity(drawn[:, :, None] @ torch.eye(2, 3)).mean()),
            statistic=watched[f"S/{head}"].item(),
            winner_change=watched[f"winner_change/{head}"].item(),
            distance=watched[f"distance/{head}"].item(),
        )

    def train(self, steps, guard=LIMITS) -> Decision | None:
        """Train until the guard stops, at most to `steps`; without a guard, to `steps`."""
        while True:
            decision = guard and StabilityGuard(guard).decide(self.history)
            if (decision and decision.stop) or self.history[-1].step >= steps:
                return decision
            for _ in range(50):
                self.optimiser.zero_grad()
                self.loss(self.groups, self.random).loss.backward()
                self.optimiser.step()
            self.history.append(self.evaluate(self.history[-1].step + 50))

    def mean_error(self):
        """Mean distance of draws to the good mode, metres."""
        return error(sample(self.policy, self.starts)).mean().item()


def error(points):
    return (points - MODES[0]).norm(dim=-1)


def test_eq_6_without_kappa_trips_the_guard_within_500_steps():
    run = Run(preset("paper_eq6", heads=HEADS))
    assert run.train(500).stop, run.history


def test_eq_6_without_kappa_does_run_away():
    """What the guard prevents: by step 300 winners, too, are predicted far worse than knowing nothing."""
    run = Run(preset("paper_eq6", heads=HEADS))
    run.train(300, guard=None)
    assert run.history[-1].winner_change > 1
    assert run.history[-1].distance > 10 * run.history[1].distance


@pytest.mark.parametrize("steps", [500, pytest.param(3000, marks=pytest.mark.slow)])
def test_stable_improves_and_holds(steps):
    run = Run(preset("stable", heads=HEADS))
    start = run.mean_error()
    decision = run.train(steps)
    assert not decision.stop, decision.reason
    assert run.mean_error() < 0.9 * start
    assert run.history[-1].zero_noise_mm < 0.5 * run.history[0].zero_noise_mm
    assert all(evaluation.statistic < 0 for evaluation in run.history[1:])
    assert all(evaluation.distance < 0.05 for evaluation in run.history)
