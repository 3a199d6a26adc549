"""Queue lookahead: serve waiting requests adapter by adapter, so that one load serves many, and load ahead of them.

Batching by adapter within a server is described by Sheng et al. 2024, "S-LoRA" (arXiv 2311.03285).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from banditroute.adapters.facility import best_cache
from banditroute.core.arrays import Vector
from banditroute.core.validation import whole
from banditroute.errors import InvalidConfigurationError


def service_order(
    adapters: Sequence[str | None], *, resident: Collection[str], max_overtaken: int = 16
) -> tuple[int, ...]:
    """Return the order in which to serve waiting requests whose adapters are chosen already.

    Requests whose adapter is resident go first. Then come those of the adapter that most requests wait for; it passes
    through the staging slot until the next takes its place. No request is overtaken more than ``max_overtaken`` times.

    Parameters
    ----------
    adapters
        The adapter of each waiting request, oldest first; None for a request without an adapter.
    resident
        Adapters that are resident and stay.
    max_overtaken
        How many later requests may go before any one, at least 0; 0 keeps the order of arrival.

    Returns
    -------
    tuple of int
        Positions in ``adapters``, each once.

    Raises
    ------
    InvalidConfigurationError
        If ``max_overtaken`` is not a whole number of at least 0.

    Examples
    --------
    >>> service_order(["law", "code", "law", "base", "law"], resident={"base"})
    (3, 0, 2, 4, 1)
    >>> service_order(["law", "code", "law", "base", "law"], resident={"base"}, max_overtaken=1)
    (3, 0, 1, 2, 4)
    """
    whole(max_overtaken, name="max_overtaken", low=0, error=InvalidConfigurationError)
    waiting = list(range(len(adapters)))
    overtaken = [0] * len(adapters)
    staged: str | None = None
    order = []
    while waiting:
        ready = [i for i in waiting if adapters[i] is None or adapters[i] in resident or adapters[i] == staged]
        if overtaken[waiting[0]] >= max_overtaken:  # the oldest has always been overtaken the most
            following = waiting[0]
        elif ready:
            following = ready[0]
        else:
            asked = [adapters[i] for i in waiting]
            following = max(waiting, key=lambda i: (asked.count(adapters[i]), -i))
        for i in waiting[: waiting.index(following)]:
            overtaken[i] += 1
        waiting.remove(following)
        order.append(following)
        if adapters[following] is not None and adapters[following] not in resident:
            staged = adapters[following]
    return tuple(order)


def loads_ahead(
    adapters: Sequence[str],
    *,
    load_seconds: Mapping[str, float],
    slots: int | None = None,
    sizes: Mapping[str, int] | None = None,
    room: int | None = None,
) -> list[str]:
    """Return the adapters to load for waiting requests, in the order of their gain.

    Loading an adapter gains its load seconds for every request that waits for it. The chosen ones fit, and gain most
    together.

    Parameters
    ----------
    adapters
        The adapter of each waiting request whose adapter is not resident.
    load_seconds
        Seconds of each load; an adapter that takes no time is not loaded ahead.
    slots
        How many can be loaded while all that should stay do; None: no limit.
    sizes, room
        Bytes of each, and the limit of their sum; None: no limit.

    Examples
    --------
    >>> loads_ahead(["law", "code", "math", "code"], load_seconds={"law": 3.0, "code": 1.0, "math": 1.0}, slots=2)
    ['law', 'code']
    """
    names = list(dict.fromkeys(adapters))
    if not names or (slots is not None and slots < 1):
        return []
    costs = np.array([load_seconds[name] for name in names])
    worth: Vector = costs * (np.array(adapters)[:, None] == np.array(names))
    sized = None if sizes is None else np.array([float(sizes[name]) for name in names])
    return [names[k] for k in best_cache(worth, costs, among=range(len(names)), slots=slots, sizes=sized, room=room)]
