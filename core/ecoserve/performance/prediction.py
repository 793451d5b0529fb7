"""One engine at a fixed batch: the point that measurements report, so that the model can be held against them."""

from dataclasses import dataclass

from ecoserve.performance.engine import Engine, engine_loaded_idle_watts
from ecoserve.performance.steps import engine_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A closed loop of `batch` requests. Power is of all devices, idle included (of the cores alone on a CPU)."""

    prefill_seconds: float
    tpot_seconds: float
    output_tokens_per_second: float
    power_watts: float
    joules_per_output_token: float


def predict(engine: Engine, input_tokens: float, output_tokens: float, batch: float) -> Prediction:
    """Predict steady state with `batch` requests always running; context grows from input to input + output.

    `prefill_seconds` is the time to a first token of one request on its own. `tpot_seconds` is of the decode
    step; throughput and power count the prefills between steps as well.
    """
    steps = engine_steps(engine)
    context = input_tokens + output_tokens / 2.0
    step = steps.decode_seconds(batch, context)
    prefill = steps.prefill_seconds(input_tokens)
    per_token = step + batch * prefill / output_tokens
    idle = engine_loaded_idle_watts(engine)
    if not engine.on_cpu:
        idle += engine.devices * engine.accelerator.idle_watts
    decode_joules = step * steps.decode_watts(batch, context)
    prefill_joules = batch * prefill / output_tokens * steps.prefill_watts()
    watts = idle + (decode_joules + prefill_joules) / per_token
    return Prediction(
        prefill_seconds=prefill + steps.prefill_latency_seconds,
        tpot_seconds=step,
        output_tokens_per_second=batch / per_token,
        power_watts=watts,
        joules_per_output_token=watts * per_token / batch,
    )
