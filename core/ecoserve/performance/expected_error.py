"""How far off predictions of a class were where measurements exist; larger where there are none."""

from ecoserve.performance.engine import Engine

_MEASURED_ACCELERATORS = frozenset({"h100-sxm", "b200-sxm", "a100-80-sxm", "h200-sxm"})
_DENSE, _MIXTURE = 0.12, 0.2
_MIXTURE_IN_FP8 = 0.5
_ACCELERATOR_WITHOUT_MEASUREMENTS = 0.1
_PROCESSOR, _PROCESSOR_WITHOUT_MEASUREMENTS = 0.15, 0.4


def expected_error(engine: Engine) -> float:
    """Median absolute relative error to expect of TPOT, throughput and energy per token on `engine`."""
    if engine.on_cpu:
        measured = engine.instance.cpu.id == "xeon-8480plus"
        return _PROCESSOR if measured else _PROCESSOR_WITHOUT_MEASUREMENTS
    base = _DENSE
    if engine.model.experts:
        base = _MIXTURE_IN_FP8 if engine.precision == "fp8" else _MIXTURE
    return base + (
        0.0 if engine.accelerator.id in _MEASURED_ACCELERATORS else _ACCELERATOR_WITHOUT_MEASUREMENTS
    )
