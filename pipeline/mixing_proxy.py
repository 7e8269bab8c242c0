"""A proxy trained on a run's contexts: from settings and contexts to its log."""

import time
from collections.abc import Mapping

from pipeline.data.loops import facts_of
from pipeline.mixing_inputs import Contexts, Estimated, Place, config_of
from pipeline.proxy.model import computing, device_of, make_model, parameters_of
from pipeline.proxy.trainer import Data, ProxyRun, Training
from pipeline.proxy.vocabulary import vocabulary_of
from pipeline.proxy.windows import Division, divided
from stages.mixture import Mixture
from stages.mixture_base import plain
from stages.mixture_choice import estimator_of, fitting_rounds, trial_steps
from stages.mixture_log import MixtureLog, read_log
from stages.mixture_task import Task


def trained(settings: Mixture, contexts: Contexts, place: Place, found: Estimated) -> MixtureLog:
    """The finished log of a proxy's run, which is begun or gone on with here; `found` is told of it.

    Raises ConfigError, naming the group, for one too small to train and validate on, or for settings that do not fit.
    """
    began = time.monotonic()
    parts = divisions(settings, contexts)
    run = proxy_run(settings, contexts, parts, place)
    with computing(settings.threads, run.training.device):
        learner = run.go()
    found.notes += _notes(settings, run, parts)
    found.proxy = {
        "parameters": parameters_of(learner.model),
        "vocabulary": learner.model.config.vocab_size,
        "steps": settings.steps,
        "batch_tokens": settings.batch * settings.window,
        "spent": run.spent,
        "losses": [(step, plain(losses)) for step, losses in run.history],
        "skipped": run.skipped,
        "training_windows": dict(run.task.contexts),
        "device": run.training.device,
        "processes": place.ranks.count,
        "seconds": round(time.monotonic() - began, 1),
    }
    return read_log(place.folder.log)


def divisions(settings: Mixture, contexts: Contexts) -> dict[str, Division]:
    """The windows of each group; no more than the proxy can see."""
    most = settings.steps * settings.batch
    return {
        name: divided(name, source, settings.window, settings.held, most)
        for name, source in sorted(contexts.groups.items())
    }


def proxy_run(settings: Mixture, contexts: Contexts, parts: Mapping[str, Division], place: Place) -> ProxyRun:
    """The run of a proxy, ready to go."""
    windows = {name: len(part.training) for name, part in parts.items()}
    task = Task(windows, settings.steps, settings.batch, contexts.seed, settings.objective)
    return ProxyRun(
        task,
        estimator_of(settings, task),
        Data(
            {name: part.training for name, part in parts.items()},
            {name: part.validation.spread(settings.evaluate) for name, part in parts.items()},
        ),
        facts_of(task, contexts.checksums, contexts.tokenizer, config_of(settings, contexts)),
        training_of(settings, contexts, trial_steps(settings, task)),
        place.folder,
        place.watch,
        place.ranks,
    )


def training_of(settings: Mixture, contexts: Contexts, steps_of_trials: int) -> Training:
    """How the proxy is trained."""
    vocabulary = vocabulary_of(path for source in contexts.groups.values() for path in source.paths)
    return Training(
        lambda: make_model(settings.proxy, vocabulary, settings.window, contexts.seed),
        device_of(settings.device),
        settings.learning_rate,
        steps_of_trials,
    )


def _notes(settings: Mixture, run: ProxyRun, parts: Mapping[str, Division]) -> list[str]:
    notes = [part.note for part in parts.values() if part.note]
    rounds = fitting_rounds(settings, run.task)
    if settings.estimator == "aioli" and rounds < settings.rounds:
        notes.append(f"{rounds} rounds, not {settings.rounds}: with more, probes would have no step")
    if run.skipped:
        notes.append(f"{run.skipped} of {settings.steps} steps of the proxy were left out: gradient not finite")
    return notes
