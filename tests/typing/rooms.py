"""The rooms besides the top level as a user writes them: never run, checked by ``mypy --strict``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

from banditroute import (
    AdapterBusyError,
    AdapterCapacityError,
    AdapterError,
    AdapterIncompatibleError,
    AdapterNotFoundError,
    BackendUnavailableError,
    BanditRouteError,
    ConflictingFeedbackError,
    Decision,
    EnergyCounterError,
    IncompatibleStoreError,
    InvalidConfigurationError,
    InvalidInputError,
    InvalidRequestError,
    InvalidResponseError,
    Learner,
    MissingDependencyError,
    NotGrantedError,
    Preference,
    Router,
    Step,
    admin,
    config,
    graders,
)
from banditroute.beliefs import (
    ArmStatistics,
    Belief,
    BeliefSpec,
    Hybrid,
    LinearBelief,
    Logistic,
    Observation,
    PageHinkley,
    Prediction,
    Prior,
    Reset,
)
from banditroute.config import Deployment, ServeSettings, Upstream
from banditroute.energy import NVML, RAPL, EnergyCounter, EnergyReading
from banditroute.features import (
    Complexity,
    FourierFeatures,
    Hashed,
    RandomProjection,
    Vocabulary,
    WarmUp,
    generic_prompts,
)
from banditroute.graders import JudgeCalibration, Signal, SignalCalibration
from banditroute.integrations.langchain import ChatBandit
from banditroute.integrations.litellm import BanditPlugin
from banditroute.integrations.pydantic_ai import BanditModel
from banditroute.learners import learner_of
from banditroute.limits import Quota
from banditroute.logs import FORMATS, SHIPPED, DecisionLog, LogFile, OutcomeTable, open_log, read_any
from banditroute.objectives import CHEAPEST, JOULES_PER_TOKEN, STANDARD_OBJECTIVES, Objective, willingness_to_pay
from banditroute.policies import (
    Adaptive,
    Greedy,
    InverseGap,
    LearningPolicy,
    PolicyState,
    RiverPolicy,
    SharedPolicyState,
    Thompson,
)
from banditroute.pricing import GENAI_RETIRED, GENAI_UNKNOWN, PROMPT_CACHES, PromptCache, TokenPrices
from banditroute.router import PoolStatus, RouteOptions


def settings() -> None:
    quota = Quota(arms=["gpt-4o"], requests_per_minute=5, input_tokens_per_minute=1e6, output_tokens_per_minute=1e5)
    assert_type(quota.input_tokens_per_minute, float | None)
    router = Router(arms=["a", "gpt-4o"], quotas=[quota], preference=Preference(quality=1.0, within=0.02))
    assert_type(Preference(within=0.02).within, float | None)
    assert_type(router.status().pool, tuple[PoolStatus, ...])
    assert_type(router.status().pool[0].context_worth, float)
    options: RouteOptions = {"arms": ["a"], "deadline_seconds": 2.0}
    assert_type(router.preview("Why?", **options), Decision)
    assert_type(router.route_many(["Why?"], session="s"), list[Decision])
    assert_type(router.route("Why?").excluded, Mapping[str, str])
    router.route_many(["Why?"], input_tokens=5)  # type: ignore[call-arg]


def steps(step: Step) -> None:
    assert_type(step.reason, str)
    assert_type(step.expected_quality, float)
    assert_type(step.audit_of, str | None)


def files() -> None:
    router = config.load_router("router.toml")
    assert_type(router, Router)
    assert_type(config.dump_router(router), str)
    assert_type([str(mistake) for mistake in config.check_router({"arms": []})], list[str])
    deployment = config.load_deployment("router.toml", environment={})
    assert_type(deployment, Deployment)
    assert_type(deployment.upstreams, Mapping[str, Upstream])
    assert_type(deployment.serve, ServeSettings)
    assert_type(config.json_schema(), dict[str, Any])


def frameworks(router: Router) -> None:
    assert_type(ChatBandit(router=router, models={}), ChatBandit)
    assert_type(BanditModel(router, {}), BanditModel)
    assert_type(BanditPlugin(router), BanditPlugin)


def marks(answer: str) -> list[Signal]:
    curve = graders.calibrate_judge([0.5] * 20, [1.0] * 20)
    assert_type(curve, JudgeCalibration)
    SignalCalibration().add("judge", Signal(quality=0.5), quality=1.0)
    assert_type(graders.openai_logprobs(None), list[list[float]])
    return [
        graders.choice_match(answer, "A"),
        graders.is_finished(answer, finish_reason="stop"),
        graders.judge_score(answer, low=0, high=10),
        graders.matches_pattern(answer, "[0-9]+"),
        graders.matches_schema(answer, {"type": "object"}),
        graders.no_correction(answer),
        graders.no_loop([("ls", ".")]),
        graders.no_refusal(answer),
        graders.no_repetition("Why?", answer),
        graders.numeric_match(answer, 42, relative_tolerance=0.01),
        graders.probability_margin([[-0.1, -2.0]]),
        graders.retrieval_overlap(answer, ["a passage"]),
        graders.self_consistency([answer, None]),
        graders.share_kept(answer, answer),
        graders.thumbs(up=1),
        graders.token_f1(answer, "expected", "or this"),
        graders.tools_succeeded(["ok"]),
        graders.unit_tests(3, 4),
        graders.usual_length(answer, median_words=50),
    ]


def databases(url: str) -> None:
    (epoch,) = admin.inspect(url)
    assert_type(epoch, admin.EpochRecord)
    assert_type(epoch.arms, tuple[admin.ArmRecord, ...])
    assert_type(admin.erase(url, session="user 1", dry_run=True), int)
    assert_type(admin.copy(url, "postgresql:///routes"), int)
    assert_type(admin.export(url, "log.parquet"), int)
    assert_type(admin.prune(url), int)
    assert_type(admin.roll_back(url, epoch=1, version=2), int)
    assert_type(admin.snapshot(url), dict[int, int])
    assert_type(admin.verify(url), list[str])
    assert_type(len(admin.shared_changes(url)), int)
    admin.rebuild(url)
    admin.upgrade(url)


def logs(path: str) -> None:
    assert_type(read_any(path), OutcomeTable | DecisionLog)
    assert_type(sorted(FORMATS), list[str])
    assert_type(SHIPPED, str)
    assert_type(open_log(path), LogFile)
    assert_type(learner_of("linucb(alpha=1)"), Learner)


def prices(caches: TokenPrices) -> None:
    assert_type(PROMPT_CACHES["openai"], PromptCache)


def objectives() -> tuple[Objective, ...]:
    assert_type(willingness_to_pay(0.01), Preference)
    assert_type(CHEAPEST, Preference)
    assert_type(JOULES_PER_TOKEN, Objective)
    return tuple(STANDARD_OBJECTIVES)


def parts(policy: LearningPolicy, spec: BeliefSpec, belief: Belief) -> list[Learner]:
    learners = [Learner(policy=each) for each in (Greedy(), InverseGap(scale=1.0), Thompson(), Adaptive())]
    learners += [Learner(policy=Greedy(), belief=each) for each in (Hybrid(), Logistic())]
    return [*learners, Learner(policy=policy, belief=spec, drift=PageHinkley())]


def features() -> None:
    projected = RandomProjection(block=Complexity(), secret="a long secret", dimension=20)
    assert_type(projected.dimension, int)
    assert_type(WarmUp(block=projected, prompts=50).dimension, int)
    assert_type(FourierFeatures(block=projected, bandwidth=1.0).dimension, int)
    assert_type(Hashed(slots=4).slots, int)
    assert_type(Vocabulary(size=4).size, int)
    assert_type(list(generic_prompts()), list[str])


def joules(counter: EnergyCounter, reading: EnergyReading) -> float:
    counters: list[EnergyCounter] = [NVML(), RAPL(), counter]
    assert_type(reading.joules, float)
    return reading.carbon_grams(grams_per_kwh=50.0) * len(counters)


def errors() -> tuple[type[BanditRouteError], ...]:
    adapters = (
        AdapterBusyError,
        AdapterCapacityError,
        AdapterIncompatibleError,
        AdapterNotFoundError,
        BackendUnavailableError,
    )
    assert_type(AdapterError("it is gone"), AdapterError)
    return (
        *adapters,
        ConflictingFeedbackError,
        EnergyCounterError,
        IncompatibleStoreError,
        InvalidConfigurationError,
        InvalidInputError,
        InvalidRequestError,
        InvalidResponseError,
        MissingDependencyError,
        NotGrantedError,
    )


def learned(
    linear: LinearBelief, observation: Observation, prediction: Prediction, prior: Prior, reset: Reset, blob: bytes
) -> None:
    assert_type(ArmStatistics.from_bytes(blob), ArmStatistics)
    assert_type(prediction.means, NDArray[np.float64])
    assert_type(reset.times, int)


def own_policies(state: PolicyState, shared: SharedPolicyState, river: RiverPolicy) -> tuple[PolicyState, ...]:
    return (state, shared, river.start(objectives=["quality"]))


def recorded(
    arm: admin.RecordedArm, outcome: admin.RecordedOutcome, kind: admin.ArmAtKind, expected: admin.ExpectedOutcome
) -> float:
    assert_type(expected.mean, float)
    return expected.std


def retired() -> tuple[object, ...]:
    return (GENAI_RETIRED, GENAI_UNKNOWN)
