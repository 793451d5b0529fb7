"""One engine at a fixed batch: the point that measurements report, so that the model can be held against them."""

from dataclasses import dataclass

from ecoserve.performance import efficiency
from ecoserve.performance.engine import Engine, engine_loaded_idle_watts
from ecoserve.performance.steps import Steps, engine_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A closed loop of `batch` requests. Power is of all devices, idle included (of the cores alone on a CPU)."""

    prefill_seconds: float
    tpot_seconds: float
    output_tokens_per_second: float
    power_watts: float
    joules_per_output_token: float


def predict(
    engine: Engine, input_tokens: float, output_tokens: float, batch: float, steps: Steps | None = None
) -> Prediction:
    """Predict steady state with `batch` requests always running; context grows from input to input + output.

    Each finished request is replaced: a step serves batch/output prefills on average. `prefill_seconds` is the time
    to a first token of one request on idle devices. `tpot_seconds` is the median time between tokens: that of a
    plain decode step while prefills are rare (on a processor always, as its runtimes report it), of a step with
    prefills where most have some. Throughput and power are means over all steps.
    """
    steps = steps or engine_steps(engine)
    context = input_tokens + output_tokens / 2.0
    prompts = batch / output_tokens
    step = steps.decode_seconds(batch, context)
    interference = steps.interference_seconds(batch, context, input_tokens, prompts)
    mostly = 0.0 if engine.on_cpu else prompts**2 / (prompts**2 + efficiency.MEDIAN_PROMPTS_PER_STEP**2)
    watts = engine_idle_watts(engine) + steps.watts(batch, context, input_tokens, prompts)
    mean_step = step + interference
    return Prediction(
        prefill_seconds=steps.prefill_seconds(input_tokens) + steps.prefill_latency_seconds,
        tpot_seconds=step + mostly * interference,
        output_tokens_per_second=batch / mean_step,
        power_watts=watts,
        joules_per_output_token=watts * mean_step / batch,
    )


def engine_idle_watts(engine: Engine) -> float:
    """What the engine's devices draw while they hold the model and serve nothing (0 on the host's cores)."""
    bare = 0.0 if engine.on_cpu else engine.devices * engine.accelerator.idle_watts
    return bare + engine_loaded_idle_watts(engine)
