"""What a model name stands for: a served model, an adapter version, an alias of either, or an arm.

A name is resolved once for each request, so that a request is answered by one version from its
first token to its last, whatever moves meanwhile.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from cluster.adapters import ADAPTER_PREFIX, SERVED_KINDS, AdapterFiles
from cluster.arms import ARM_PREFIX, read_arm_reference
from cluster.records import Adapter, Alias, Experiment
from cluster.tenancy import acting_project
from deployments.errors import InvalidRequest, NotFound
from deployments.experiments.arms import Arm, pinned_arm
from deployments.gateway.registry.moves import live_adapter
from deployments.last_known import LastKnown
from deployments.serving import Serving

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cluster.database import Database

__all__ = ["ALIAS_TTL_S", "LAST_KNOWN_S", "ModelDirectory", "Target"]

ALIAS_TTL_S: Final = 0.25
"""So long a gateway replica may still answer by what an alias meant before, where the database
answers."""
LAST_KNOWN_S: Final = 3600.0
"""So long what was read last goes on answering while the database does not."""
_ADAPTER_TTL_S: Final = 5.0
_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class Target:
    """Who answers."""

    base: str
    """Id of the served model."""
    adapter: AdapterFiles | None = None
    alias: str | None = None
    """The name that the client used, where it was an alias."""
    serving: Serving = field(default_factory=Serving)
    """The prompt and the retrieval that the alias goes with."""

    @property
    def name(self) -> str:
        """What an answer gives as its `model`: the adapter version, else the served model."""
        return self.base if self.adapter is None else self.adapter.id


class ModelDirectory:
    """Resolves names. What was read is kept for a moment, and longer while the database is down."""

    def __init__(
        self,
        database: "Database",
        bases: Collection[str],
        default_alias: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._bases = tuple(bases)
        self._default_alias = default_alias
        self._clock = clock
        self._aliases = LastKnown(
            self._read_alias, ttl_s=ALIAS_TTL_S, stale_s=LAST_KNOWN_S, clock=clock
        )
        self._adapters = LastKnown(
            self._read_adapter, ttl_s=_ADAPTER_TTL_S, stale_s=LAST_KNOWN_S, clock=clock
        )
        self._arms = LastKnown(self._read_arm, ttl_s=ALIAS_TTL_S, stale_s=LAST_KNOWN_S, clock=clock)

    async def resolve(self, name: str, param: str = "model") -> Target:
        """Find who answers to `name`. Raises NotFound, also for an adapter without its model."""
        if name in self._bases:
            return Target(name)
        if name.startswith(ADAPTER_PREFIX):
            return await self._adapter(name, None, param)
        if name.startswith(ARM_PREFIX):
            return await self._arm(name, param)
        pointed = await self._alias(name)
        if pointed is None:
            raise self._unknown(name, param)
        found = Target(pointed.target)
        if pointed.target not in self._bases:
            found = await self._adapter(pointed.target, name, param)
        return replace(found, alias=name, serving=pointed.serving)

    def forget(self, alias: str) -> None:
        """Read this alias anew when it is next asked for."""
        self._aliases.drop(alias)

    def forget_adapter(self, adapter_id: str) -> None:
        """Read this adapter anew when it is next asked for."""
        self._adapters.drop(adapter_id)

    async def _alias(self, name: str) -> "_Pointed | None":
        return await self._aliases.get(name)

    async def _read_alias(self, name: str) -> "_Pointed | None":
        def read(session: "Session") -> _Pointed | None:
            row = session.get(Alias, (acting_project(), name))
            return None if row is None else _Pointed(row.target, Serving.of_json(row.serving))

        pointed = await self._database.run(read, read_only=True)
        if pointed is None and name == self._default_alias:
            return _Pointed(self._bases[0], Serving())
        return pointed

    async def _read_adapter(self, adapter_id: str) -> Adapter | None:
        return await self._database.run(
            lambda session: live_adapter(session, adapter_id), read_only=True
        )

    async def _read_arm(self, name: str) -> "_PointedArm | None":
        experiment_id, arm_name = read_arm_reference(name) or ("", "")

        def read(session: "Session") -> _PointedArm | None:
            row = session.get(Experiment, experiment_id)
            if row is None:
                return None
            arm = pinned_arm(row.arms, arm_name)
            return None if arm is None else _PointedArm(arm, row.alias)

        return await self._database.run(read, read_only=True)

    async def _arm(self, name: str, param: str) -> Target:
        """One arm of an experiment, asked directly; of a draft as the alias stands now."""
        found = await self._arms.get(name)
        pointed = None if found is None else await self._alias(found.alias)
        if found is None or pointed is None:
            raise NotFound(
                f"There is no arm {name[:128]!r}; `GET /v1/experiments` lists experiments with "
                "their arms.",
                param=param,
                code="model_not_found",
            )
        arm = found.arm.pinned(pointed.target, pointed.serving, found.arm.prompt)
        target = await self.resolve(str(arm.model), param)
        return replace(target, serving=arm.serving)

    async def _adapter(self, adapter_id: str, alias: str | None, param: str) -> Target:
        row = await self._adapters.get(adapter_id)
        if row is None:
            raise self._unknown(adapter_id, param)
        if row.kind not in SERVED_KINDS:
            raise InvalidRequest(
                f"The adapter {adapter_id[:256]} is of kind {row.kind}, which vLLM does not serve "
                "beside its base. `everloop export` makes a model of it.",
                param=param,
                code="adapter_not_served",
            )
        if row.base not in self._bases:
            raise NotFound(
                f"The adapter {adapter_id[:256]} needs the model {row.base}, which is not served "
                f"here. Served are: {', '.join(self._bases)}.",
                param=param,
                code="model_not_found",
            )
        return Target(row.base, AdapterFiles.of_json(row.files), alias)

    def _unknown(self, name: str, param: str) -> NotFound:
        known = ", ".join([*self._bases[:_SHOWN], self._default_alias])
        return NotFound(
            f"The model {name[:128]!r} does not exist here. There are: {known}; "
            "`GET /v1/models` lists all, adapters and aliases too.",
            param=param,
            code="model_not_found",
        )


@dataclass(frozen=True, slots=True)
class _Pointed:
    """What an alias points at."""

    target: str
    serving: Serving


@dataclass(frozen=True, slots=True)
class _PointedArm:
    """An arm, and whose traffic it has a part of."""

    arm: Arm
    alias: str
