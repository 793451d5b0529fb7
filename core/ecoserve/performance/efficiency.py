"""The fitted constants of the performance model, all of them: one place, each with what it stands for.

Accelerators: fitted by `make fit-performance` on vLLM measurements (ML.ENERGY v3: dense models and mixtures of
experts on H100 and B200), prefill times of Llama-2-70B on A100 and H100 (splitwise-sim), and, with a quarter of
the weight, estimates from measured operators for A100, H100, H200, B200 and L40S (aiconfigurator 0.12).
Processors: llama.cpp runs of Llama-3.1-8B Q4_K_M on two Sapphire Rapids sockets. Everything else is the hardware's
published peak. docs/models.md gives the errors, of rows kept out of the fit.
"""

from dataclasses import dataclass

# --- Accelerators -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratorConstants:
    """What peaks and shapes don't say: shares of peaks, times of kernels and of the host, and power."""

    bandwidth_efficiency: float = 0.884
    """Share of peak memory bandwidth at which weights that every token passes are read."""

    kv_efficiency: float = 0.696
    """Share of peak memory bandwidth at which decode reads keys and values."""

    compute_efficiency: float = 0.735
    """Share of peak matrix throughput that a long prefill reaches."""

    fp8_share: float = 0.526
    """Share of that which is left in fp8, over the fp8 peak: barely faster than bf16."""

    attention_compute_share: float = 0.69
    """Share of the compute above that a prompt's attention reaches."""

    expert_bandwidth_share: float = 0.887
    """Share of the bandwidth above at which experts are read: each has few tokens."""

    expert_compute_share: float = 0.591
    """Share of the compute above that experts' grouped kernels reach."""

    untuned_expert_share: float = 0.653
    """Share of both that is left of 16-bit experts spread over devices, with more tokens than experts on each."""

    activation_passes: float = 2.65
    """Times that each value between multiplications is written or read in device memory."""

    routing_shape: float = 164.0
    """Shape of the gamma distribution of the popularity of all experts of a layer together.

    Each of them has an even part of it, so that the finer a layer is cut into experts, the less alike they are chosen.
    """

    block_value_seconds: float = 1.15e-09
    """Time of block-scaled fp8 kernels on each expert they read, per value of its hidden and intermediate width, on an H100.

    They pad the tokens of an expert to tiles of 64 or 128 rows, however few they are.
    """

    empty_tile_share: float = 0.417
    """Share of that time which each expert takes that a device holds and no token chose: its tiles are launched and left.

    Held near 0.4 by the fit: Qwen3 235B alone asks for more, DeepSeek, whose kernels are others, for less.
    """

    link_efficiency: float = 0.549
    """Share of peak per-direction bandwidth that an exchange between devices reaches."""

    exchange_seconds_per_device: float = 2.93e-06
    """Latency of one exchange between devices, for each in it; a transformer layer has two."""

    layer_seconds: float = 5.04e-05
    """Time of a layer's kernels beside bytes and flops, replayed as a recorded graph."""

    launch_seconds: float = 0.000415
    """Time to launch a layer's kernels one by one, as in a step with a prompt; an expert layer counts twice."""

    step_seconds: float = 0.00116
    """Fixed time of one engine step: scheduling, sampling."""

    sequence_seconds: float = 3.96e-05
    """Further time of a step for each running sequence: sampling, detokenising, bookkeeping."""

    request_seconds: float = 0.00265
    """Time by which admitting a new request holds up the running ones."""

    prefill_latency_seconds: float = 0.0217
    """What a request waits for around its prefill (tokenising, scheduling) without occupying the devices."""

    power_base: float = 0.132
    """Share of the span from loaded idle to TDP that running steps draw, whatever they do."""

    power_block_experts: float = 1.21
    """Further share while block-scaled kernels work on experts: units multiply the padding, too."""

    joules_per_byte: float = 7.45e-11
    """Energy of a byte read from device memory; of one that is unpacked to 16 bit on the way, for the bytes it becomes."""

    power_compute: float = 1.56
    """Further share at full matrix throughput."""

    power_compute_exponent: float = 0.5
    """Exponent by which that falls with the share of throughput in use."""

    gddr_tflops_per_watt: float = 0.681
    """Most a card with GDDR sustains per watt of TDP at 5 nm: such cards are held by power, not by their units.

    At coarser processes it falls with the square root of the process's size, an assumption.
    """


ACCELERATOR = AcceleratorConstants()
"""The constants in use."""

BLOCK_FP8_TFLOPS = 1979.0
"""The fp8 peak of the card of `block_value_seconds`."""

TFLOPS_PER_WATT_PROCESS_NM = 5.0
"""The process of `gddr_tflops_per_watt`."""

MEDIAN_PROMPTS_PER_STEP = 3.0
"""Prefills per step at which half of their time shows in the median time between tokens."""

USABLE_MEMORY_SHARE = 0.90
"""Share of device memory an engine uses (vLLM's default)."""

RESERVED_GIB_PER_DEVICE = 1.5
"""Activations, recorded graphs and communication buffers per device."""

MAX_BATCH = 256
"""Most sequences an accelerator engine runs at once (vLLM's long-standing default)."""

# --- Processors -------------------------------------------------------------------------------------

PREFILL_LATENCY_SECONDS = 0.026
"""What a request waits for around its prefill without occupying the cores."""

CPU_BANDWIDTH_EFFICIENCY = 0.18
"""Share of the sockets' peak bandwidth that decode reaches; low, as llama.cpp spans two sockets unaware of NUMA."""

CPU_BANDWIDTH_SATURATION = 0.4
"""Share of the cores that is enough to reach that bandwidth (64 of 112 threads decode no slower than all)."""

CPU_PREFILL_GFLOPS_PER_CORE = 23.0
"""Sustained matrix rate per core in prefill."""

CPU_DECODE_GFLOPS_PER_CORE = 15.0
"""Sustained matrix rate per core in decode."""

CPU_MATRIX_SHARE = 0.5
"""Cap on either as a share of the cores' matrix peak, for processors with narrow units."""

CPU_MATRIX_UNIT_TFLOPS_PER_CORE = 1.0
"""Peak per core from which a processor counts as having matrix units (AMX has some 2)."""

CPU_MATRIX_RUNTIME_SHARE = 0.3
"""Share of the matrix units' int8 peak (twice bf16's) that a runtime made for them reaches.

Set by one figure, MLPerf Inference 5.1: two Xeon 6980P give 1,233 tokens/s of Llama-3.1-8B offline, taken as
int8 and as that benchmark's summaries of some 780 tokens in and 73 out.
"""

CPU_MATRIX_RUNTIME_BANDWIDTH_EFFICIENCY = 0.5
"""Share of peak bandwidth that decode reaches on such a runtime, one process per socket (an assumption)."""

CPU_PREFILL_POWER_SHARE = 0.95
"""Power of busy cores in prefill over what Cloud Carbon Footprint's figures give (665 W measured on two sockets)."""

CPU_DECODE_POWER_SHARE = 0.87
"""The same in decode (610 W measured)."""

CPU_STEP_SECONDS = 2e-3
"""Fixed cost of one step on a processor."""

CPU_KV_GIB = 16.0
"""Memory a processor engine sets aside for KV."""

CPU_MAX_BATCH = 32
"""Most sequences at once on a processor; the measured rows go no further."""
