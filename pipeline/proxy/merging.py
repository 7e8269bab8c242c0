"""Models of one group each, from common first steps, whose averages score mixtures (`stages.mixture_merge`).

    models = group_models(run, seed_steps=100, steps=200)
    ranked(models, mixtures, scorer(run))

All are trained as long, on windows of their own group alone; the common steps are on all groups alike. Without common
steps, averages of models mean little.
"""

from collections.abc import Callable, Mapping

import numpy as np

from pipeline.proxy.learner import Learner
from pipeline.proxy.trainer import ProxyRun
from stages.mixture_estimator import Segment
from stages.mixture_merge import Array, Parameters
from stages.mixture_simplex import uniform


def group_models(run: ProxyRun, seed_steps: int, steps: int) -> dict[str, Parameters]:
    """The parameters of a model of each group, after `seed_steps` common steps and `steps` of its own.

    `run` says what a proxy is trained on and how; nothing of it is changed. Costs steps x groups + seed_steps.
    """
    common = _trained(run, run.task.by_name(uniform(len(run.task.groups))), seed_steps, None)
    return {
        name: _trained(run, run.task.by_name(one), steps, common)
        for name, one in zip(run.task.groups, np.eye(len(run.task.groups)), strict=True)
    }


def scorer(run: ProxyRun) -> Callable[[Mapping[str, Array]], float]:
    """Gives the mean validation loss (nats) of parameters, weighted by the objective."""
    learner = _learner(run, 1)
    weights = run.task.weights / run.task.weights.sum()

    def score(parameters: Mapping[str, Array]) -> float:
        _put(learner, parameters)
        losses, _ = learner.losses(run.data.validation)
        return float(weights @ run.task.values(losses, "losses"))

    return score


def parameters_of(learner: Learner) -> dict[str, Array]:
    """The trained weights as arrays, by name."""
    return {name: value.detach().cpu().numpy().copy() for name, value in learner.model.named_parameters()}


def _trained(run: ProxyRun, mixture: Mapping[str, float], steps: int, first: Parameters | None) -> dict[str, Array]:
    learner = _learner(run, max(steps, 1))
    if first is not None:
        _put(learner, first)
    if steps:
        learner.follow(Segment(0, steps, mixture))
    for _ in range(steps):
        learner.train(run.data.training)
    return parameters_of(learner)


def _learner(run: ProxyRun, steps: int) -> Learner:
    model = run.training.make().to(run.training.device)
    return Learner(model, run.facts.schedule(), steps, run.task.batch, run.training.learning_rate, run.ranks)


def _put(learner: Learner, parameters: Mapping[str, Array]) -> None:
    import torch

    with torch.no_grad():
        for name, value in learner.model.named_parameters():
            value.copy_(torch.from_numpy(np.asarray(parameters[name])))
