"""What is read without a cluster and what the API server takes are the same language.

Both verdicts come from one set of models, one through pydantic, one through OpenAPI and CEL; generated specs, many of
them wrong in one place, must be taken or refused by both.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, event, example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from ecoserve.api import GridZone, HardwareProfile, LLMServing
from properties import examples

Spec = dict[str, Any]


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Spec]:
    return st.fixed_dictionaries({}, optional=fields)


def mostly(good: st.SearchStrategy[Any], *bad: Any) -> st.SearchStrategy[Any]:
    """Wrong so rarely that about half of the specs are right as a whole."""
    return st.integers(0, 29).flatmap(lambda drawn: st.sampled_from(bad) if drawn == 17 else good)


names = mostly(st.sampled_from(["azure-code-2023", "x"]), "", "n" * 254)
positives = mostly(st.floats(0.001, 1e6), 0, 0.0, -1, -0.5)
tokens = mostly(st.integers(1, 2_000_000), 0, -1, 2_000_001)
durations = mostly(
    st.sampled_from(["500ms", "1s", "1h30m", "0.5s", "24h", "7d"]),
    "0s", "5", "", "1 s", "-1s", "1h 30m", "s", "1e3s", ".5s", "1.s", "0h0m", "500MS",
)  # fmt: skip
by_rate = st.fixed_dictionaries({"requestsPerSecond": positives, "lengths": names})
by_tokens = st.fixed_dictionaries(
    {"requestsPerSecond": positives, "inputTokens": tokens, "outputTokens": tokens}
)
by_trace = st.fixed_dictionaries(
    {"trace": st.fixed_dictionaries({"name": names}, optional={"scale": positives})}
)
mixed = optional(requestsPerSecond=positives, lengths=names, inputTokens=tokens, trace=st.just({"name": "x"}))
loads = st.one_of(*[by_rate, by_tokens, by_trace] * 3, mixed)
slos = st.fixed_dictionaries(
    {"ttft": durations, "tpot": durations},
    optional={"percentile": mostly(st.sampled_from([50, 90, 99, 99.9]), 49, 100, 99.95)},
)
placements = optional(
    nodeSelector=st.dictionaries(st.sampled_from(["a", "b/c"]), st.sampled_from(["", "v", "w" * 64])),
    minReplicas=mostly(st.integers(0, 8), -1, 9, 10_001),
    maxReplicas=mostly(st.integers(8, 64), 0, 10_001),
    roles=mostly(
        st.sampled_from([["both"], ["both", "prefill", "decode"], ["decode", "prefill"]]),
        [], ["prefill"], ["both", "decode"], ["encode"], ["both", "both", "prefill", "decode"],
    ),
    cpu=st.booleans(),
)  # fmt: skip
servings = st.fixed_dictionaries(
    {
        "model": st.fixed_dictionaries(
            {"name": names}, optional={"precision": mostly(st.sampled_from(["bf16", "fp8"]), "bf17", "")}
        ),
        "template": st.just({"spec": {"containers": []}}),
    },
    optional={
        "online": st.fixed_dictionaries({"slo": slos, "load": loads}),
        "offline": st.fixed_dictionaries({"load": loads}, optional={"deadline": durations}),
        "placement": placements,
        "policy": optional(
            mode=mostly(st.sampled_from(["Enforce", "Recommend", "Paused"]), "enforce"),
            objective=mostly(st.sampled_from(["carbon", "energy", "cost", "performance"]), "money"),
        ),
    },
)
constants = mostly(st.floats(0, 1000), -1, -0.1)
series = st.fixed_dictionaries(
    {"namespace": names, "name": names}, optional={"key": names, "repeat": st.booleans()}
)
accounts = mostly(st.sampled_from(["a", "electricity-maps"]), "", "A", "a/b", "-a")
urls = mostly(
    st.sampled_from(["http://p:9090", "https://x.example/a/b"]),
    "", "p:9090", "ftp://p", "http://u:w@p", "http://p?q", "http://p/a b",
)  # fmt: skip
intensities = st.one_of(
    st.fixed_dictionaries({"gramsPerKilowattHour": constants}),
    st.fixed_dictionaries({"configMap": series}),
    st.fixed_dictionaries(
        {"electricityMaps": st.fixed_dictionaries({"zone": names}, optional={"account": accounts})}
    ),
    st.fixed_dictionaries({"wattTime": st.fixed_dictionaries({"region": names})}),
    st.fixed_dictionaries(
        {"ukCarbonIntensity": optional(regionId=mostly(st.integers(1, 17), 0, 18), url=urls)}
    ),
    st.fixed_dictionaries(
        {
            "prometheus": st.fixed_dictionaries(
                {"url": urls, "query": names},
                optional={"intervalSeconds": mostly(st.integers(1, 3600), 0, 3601)},
            )
        }
    ),
    optional(gramsPerKilowattHour=constants, configMap=series),
)
zones = st.fixed_dictionaries(
    {"intensity": intensities},
    optional={
        "zones": st.lists(names, max_size=3),
        "pue": mostly(st.floats(1, 5), 0.99, 0, 6),
        "signal": mostly(st.sampled_from(["average", "marginal"]), "mean"),
        "accounting": mostly(st.sampled_from(["life-cycle", "direct", "unstated"]), "mean"),
        "fallbackGramsPerKilowattHour": mostly(st.floats(0, 1000), -1),
    },
)
facts = {
    "sockets": mostly(st.floats(0.5, 16), 0, 17),
    "supply": mostly(st.sampled_from(["scalable", "fixed"]), "spot"),
    "pricePerHour": mostly(st.floats(0, 100), -1),
    "hostLifetimeYears": positives,
}
sizes = {"cpu": names, "vcpus": mostly(st.integers(1, 400), 0), "memoryGib": positives}
accelerators = {"accelerator": names, "acceleratorCount": mostly(st.integers(1, 64), 0, 65)}
match = {"matchLabels": mostly(st.just({"lab": "yes"}), {})}
profiles = st.one_of(
    st.fixed_dictionaries({**match, "base": names}, optional=facts),
    st.fixed_dictionaries({**match, **sizes}, optional=facts),
    st.fixed_dictionaries({**match, "base": names, **accelerators}, optional=facts),
    st.fixed_dictionaries(match, optional={"base": names, **sizes, **accelerators}),
)

Model = type[LLMServing] | type[GridZone] | type[HardwareProfile]

agreeing = examples(100, HealthCheck.function_scoped_fixture)


def check_agreement(model: Model, spec: Spec, refusal: Callable[[Spec], str]) -> None:
    manifest = {
        "apiVersion": "ecoserve.dev/v1alpha1",
        "kind": model.__name__,
        "metadata": {"name": "generated", **({"namespace": "default"} if model is LLMServing else {})},
        "spec": spec,
    }
    try:
        model.model_validate(manifest)
        offline = ""
    except ValidationError as error:
        offline = str(error)
    online = refusal(manifest)
    event(f"{model.__name__} {'refused' if offline else 'taken'}")
    assert bool(offline) == bool(online), (
        f"without a cluster: {offline or 'taken'}\nAPI server: {online or 'taken'}"
    )


@agreeing
@given(spec=servings)
def test_on_servings(spec: Spec, refusal: Callable[[Spec], str]) -> None:
    check_agreement(LLMServing, spec, refusal)


@agreeing
@given(spec=zones)
@example(spec={"intensity": {"gramsPerKilowattHour": 0}})
def test_on_zones(spec: Spec, refusal: Callable[[Spec], str]) -> None:
    check_agreement(GridZone, spec, refusal)


@agreeing
@given(spec=profiles)
def test_on_profiles(spec: Spec, refusal: Callable[[Spec], str]) -> None:
    check_agreement(HardwareProfile, spec, refusal)
