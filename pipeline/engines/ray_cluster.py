"""What a Ray cluster has, and how much of it fits there at once."""

from typing import Any

from pipeline.resources import GB, Needs
from stages.errors import EngineError


def nodes(ray: Any) -> list[dict[str, Any]]:
    """The nodes that are alive."""
    return [node for node in ray.nodes() if node["Alive"]]


def asked(needs: Needs) -> dict[str, Any]:
    """Needs as options of a Ray task or actor."""
    memory = {"memory": int(needs.memory_gb * GB)} if needs.memory_gb else {}
    return {"num_cpus": needs.cpus, "num_gpus": needs.gpus, **memory}


def most_at_once(ray: Any, needs: Needs) -> int:
    """How many tasks of such needs fit on the cluster.

    Raises EngineError if there is no node for even one, on which Ray itself would wait for ever.
    """
    have = [node["Resources"] for node in nodes(ray)]
    most = sum(_fit(resources, needs) for resources in have)
    if not most:
        found = "; ".join(sorted({_shown(resources) for resources in have}))
        raise EngineError(
            f"a task needs {needs}, which no node of the Ray cluster has (found: {found}): add such a node, or lower "
            "`resources` in the configuration"
        )
    return most


def _fit(resources: dict[str, float], needs: Needs) -> int:
    wanted = {"CPU": needs.cpus, "GPU": needs.gpus, "memory": needs.memory_gb * GB}
    return min(int(resources.get(name, 0.0) / amount + 1e-9) for name, amount in wanted.items() if amount)


def _shown(resources: dict[str, float]) -> str:
    memory = resources.get("memory", 0.0) / GB
    return f"{resources.get('CPU', 0):g} CPU, {resources.get('GPU', 0):g} GPU, {memory:.1f} GB"
