"""Performance: step times, power and SLO-feasible capacity of a model on accelerators or on a host's cores."""

from ecoserve.performance.capacity import (
    Answer,
    CapacityLimit,
    Known,
    Question,
    ReplicaCapacity,
    asked_capacities,
    capacity_range,
    count_capacities,
    estimated_capacities,
    replica_capacities,
    replica_capacity,
    take_over_capacities,
)
from ecoserve.performance.engine import (
    Engine,
    EngineResources,
    Rejection,
    RejectionReason,
    Role,
    Slo,
    engine_loaded_idle_watts,
    engine_resources,
)
from ecoserve.performance.points import OperatingPoint, PointPrediction, predict_point
from ecoserve.performance.prediction import Prediction, predict
from ecoserve.performance.profiles import Source

__all__ = [
    "Answer",
    "CapacityLimit",
    "Engine",
    "EngineResources",
    "Known",
    "OperatingPoint",
    "PointPrediction",
    "Prediction",
    "Question",
    "Rejection",
    "RejectionReason",
    "ReplicaCapacity",
    "Role",
    "Slo",
    "Source",
    "asked_capacities",
    "capacity_range",
    "count_capacities",
    "engine_loaded_idle_watts",
    "engine_resources",
    "estimated_capacities",
    "predict",
    "predict_point",
    "replica_capacities",
    "replica_capacity",
    "take_over_capacities",
]
