"""From settings to guards, a project at a time."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from cluster.errors import SettingsError
from cluster.ids import new_id
from cluster.sections.guards import GuardJudge, GuardPolicy, GuardSettings, GuardsSettings
from cluster.sections.judgment import OutsideModelSettings
from deployments.guards.check import Check
from deployments.guards.checks.blocked import BlockedTermsCheck
from deployments.guards.checks.likeness import Prototypes
from deployments.guards.checks.off_topic import OffTopicCheck
from deployments.guards.checks.personal import PersonalDataCheck
from deployments.guards.checks.rules import load_rules
from deployments.guards.checks.schema import SchemaCheck
from deployments.guards.checks.secrets import SecretsCheck
from deployments.guards.checks.suspicion import Arbiter, SuspicionCheck
from deployments.guards.checks.toxicity import ToxicityCheck
from deployments.guards.judging import GuardJudgement, RecentVerdicts, outside_caller
from deployments.guards.pipeline import ArmedCheck, Guards
from deployments.guards.recogniser.recogniser import load_recogniser
from deployments.guards.verdict import Action, Place
from deployments.ports import ChatModel, TextEmbedder

if TYPE_CHECKING:
    from deployments.evaluation.toolbox import ChatCaller

__all__ = ["GuardBook"]

_JUDGING_S: Final = 10.0
"""Budget where nothing but a judgement is asked for: no answer waits for it."""
_PLACES: Final[tuple[Place, ...]] = ("input", "passages", "output")


class GuardBook:
    """The guards of each project, made when they are first asked for.

    There are as many as the settings name projects, and one for all others.
    """

    def __init__(
        self,
        settings: GuardsSettings,
        *,
        embedder: TextEmbedder,
        models: Mapping[str, ChatModel],
        outside: tuple[OutsideModelSettings, ...] = (),
    ) -> None:
        self._settings: Final = settings
        self._embedder: Final = embedder
        self._models: Final = models
        self._outside: Final = {model.id: model for model in outside}
        self._made: Final[dict[str, Guards]] = {}
        self._likenesses: Final[dict[str, Prototypes]] = {}
        self._personal: Final[dict[tuple[tuple[str, ...], float], PersonalDataCheck]] = {}
        self._judge: Final = None if settings.judge is None else self._judgement(settings.judge)

    def of(self, project_id: str) -> Guards:
        """The guards of a project's requests."""
        return self._for(project_id, judging=False)

    def judging(self, project_id: str) -> Guards:
        """All guards that have something to look for, at each place that they can be set for.

        Whether or not they are on. They flag, change nothing, and have ten seconds each.
        """
        return self._for(project_id, judging=True)

    async def warm_up(self) -> None:
        """Load what requests would else wait for."""
        for project in ("", *self._settings.projects):
            await self.of(project).warm_up()

    def _for(self, project_id: str, *, judging: bool) -> Guards:
        project = project_id if project_id in self._settings.projects else ""
        key = f"{judging}/{project}"
        if key not in self._made:
            self._made[key] = self._guards(self._settings.policy_of(project), judging)
        return self._made[key]

    def _guards(self, policy: GuardPolicy, judging: bool) -> Guards:
        if not (self._settings.enabled or judging):
            return Guards(())
        armed = []
        for settings, check in self._checks(policy):
            actions = _flags(settings) if judging else _actions(settings)
            if actions:
                made = self._armed(settings, check, actions)
                armed.append(replace(made, budget_s=_JUDGING_S) if judging else made)
        return Guards(armed, self._settings.look_ahead)

    def _armed(
        self, settings: GuardSettings, check: Check, actions: Mapping[Place, Action]
    ) -> ArmedCheck:
        asks = self._judge is not None and isinstance(check, SuspicionCheck)
        more = self._settings.judge.budget_ms if asks and self._settings.judge else 0.0
        kinds: Mapping[str, Any] = getattr(settings, "kinds", {})
        return ArmedCheck(
            check,
            settings.threshold,
            (settings.budget_ms + more) / 1000,
            actions,
            settings.on_failure == "closed",
            {kind: "pass" if action == "allow" else action for kind, action in kinds.items()},
        )

    def _checks(self, policy: GuardPolicy) -> list[tuple[GuardSettings, Check]]:
        personal, off_topic, blocked = policy.personal_data, policy.off_topic, policy.blocked_terms
        found: list[tuple[GuardSettings, Check]] = [
            (policy.secrets, SecretsCheck()),
            (personal, self._personal_data(personal.phone_regions, personal.threshold)),
            (policy.injection, self._suspicion("injection", "prompt_injection", policy.injection)),
            (policy.jailbreak, self._suspicion("jailbreak", "jailbreak", policy.jailbreak)),
            (policy.toxicity, ToxicityCheck()),
            (policy.json_schema, SchemaCheck()),
        ]
        if blocked.terms:
            found.append((blocked, BlockedTermsCheck(blocked.terms)))
        if off_topic.topic:
            check = OffTopicCheck(self._embedder, off_topic.topic, off_topic.examples)
            found.append((off_topic, check))
        return found

    def _personal_data(self, regions: tuple[str, ...], least: float) -> PersonalDataCheck:
        """Loading it takes seconds and memory: policies that ask the same share one."""
        if (regions, least) not in self._personal:
            self._personal[regions, least] = PersonalDataCheck(regions, least)
        return self._personal[regions, least]

    def _suspicion(self, name: str, category: str, settings: Any) -> SuspicionCheck:
        rules, judge = load_rules(name), self._settings.judge
        recogniser = load_recogniser(name) if settings.recogniser else None
        likeness = None
        if settings.similarity:
            if name not in self._likenesses:
                known = Prototypes(self._embedder, rules.attacks, rules.harmless)
                self._likenesses[name] = known
            likeness = self._likenesses[name]
        unsure_from = 1.0 if judge is None else judge.unsure_from
        return SuspicionCheck(
            name,
            category,
            rules,
            settings.threshold,
            recogniser,
            likeness,
            self._judge,
            unsure_from,
        )

    def _judgement(self, settings: GuardJudge) -> Arbiter:
        from deployments.evaluation.judges.judge import Judge, JudgeSettings
        from deployments.evaluation.judges.served import ServedCaller

        budget_s = settings.budget_ms / 1000
        cache = RecentVerdicts(settings.max_remembered)
        outside = self._outside.get(settings.model)
        caller: ChatCaller
        if settings.model in self._models:
            name, shape = settings.model, "choice"
            caller = ServedCaller(self._models[settings.model], budget_s, partial(new_id, "guard"))
        elif outside is not None:
            name, shape = outside.model, "json_schema"
            caller = outside_caller(outside, budget_s)
        else:
            known = ", ".join((*self._models, *self._outside)) or "none"
            raise SettingsError(
                f"guards.judge.model is {settings.model!r}; there are {known}.",
                fix="Name a served model, or one of evaluation.outside_models.",
            )
        asked = JudgeSettings.model_validate(
            {"shape": shape, "attempts": 1, "log_probabilities": False}
        )
        return GuardJudgement(Judge(name, caller, cache, asked), budget_s)


def _actions(settings: GuardSettings) -> dict[Place, Action]:
    """What a guard does by place, without those where it is off."""
    said: dict[Place, Any] = {place: getattr(settings, place, "off") for place in _PLACES}
    return {place: action for place, action in said.items() if action != "off"}


def _flags(settings: GuardSettings) -> dict[Place, Action]:
    """A flag at each place that a guard can be set for."""
    return {place: "flag" for place in _PLACES if place in type(settings).model_fields}
