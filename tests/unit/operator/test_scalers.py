"""Who else scales Deployments, read off HorizontalPodAutoscalers and KEDA's ScaledObjects."""

from typing import Any

import pytest

from ecoserve_operator.watch.scalers import autoscaler_record, scaled_object_record, scalers_by_target


def body(name: str, target: dict[str, str] | None) -> dict[str, Any]:
    spec = {} if target is None else {"scaleTargetRef": target}
    return {"metadata": {"name": name, "namespace": "n"}, "spec": spec}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, ("n", "d")),
        ({"name": "d"}, ("n", "d")),
        ({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "d"}, None),
        ({"kind": "Deployment"}, None),
        (None, None),
    ],
)
def test_only_deployments_count(target: dict[str, str] | None, expected: tuple[str, str] | None) -> None:
    assert autoscaler_record(body("x", target)).target == expected
    assert scaled_object_record(body("x", target)).target == expected


def test_the_scaled_object_is_named_rather_than_the_autoscaler_it_makes() -> None:
    made = autoscaler_record(body("keda-hpa-x", {"kind": "Deployment", "name": "d"}))
    behind = scaled_object_record(body("x", {"name": "d"}))
    other = autoscaler_record(body("y", {"kind": "Deployment", "name": "e"}))
    found = scalers_by_target([made, other], [behind])
    assert {key: str(scaler) for key, scaler in found.items()} == {
        ("n", "d"): "ScaledObject x",
        ("n", "e"): "HorizontalPodAutoscaler y",
    }
