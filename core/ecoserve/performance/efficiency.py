"""The fitted constants of the performance model, all of them: one place, each with where it comes from.

Accelerators: fitted on vLLM measurements of Llama-3.1-8B and Llama-3.3-70B on H100 (ML.ENERGY v3), on
Llama-2-70B on A100 (splitwise-sim) and on operator-level estimates for A100, H100 and L40S
(aiconfigurator 0.12). Processors: fitted on llama.cpp runs of Llama-3.1-8B Q4_K_M on two Sapphire Rapids
sockets. Everything else is the hardware's published peak. docs/models.md gives the errors.
"""

# --- Accelerators -----------------------------------------------------------------------------------

MEMORY_BANDWIDTH_EFFICIENCY = 0.80
"""Share of peak memory bandwidth that decode's weight and KV reads reach."""

COMPUTE_EFFICIENCY = 0.72
"""Share of peak matrix throughput that prefill and batched decode reach."""

TFLOPS_PER_WATT_GDDR = 0.58
"""Most a card with GDDR sustains per watt of TDP (L40S, 5 nm class): such cards are held by power, not by their units.

At coarser processes it falls with the square root of the process's size, an assumption that gives T4 some 24 TFLOPS.
"""

TFLOPS_PER_WATT_PROCESS_NM = 5.0
"""The process of that figure."""

INTERCONNECT_EFFICIENCY = 0.40
"""Share of peak per-direction bandwidth that an all-reduce of a prefill reaches."""

ALL_REDUCE_SECONDS = 10e-6
"""Latency of one all-reduce between devices; a transformer layer has two."""

EXPERT_DISPATCH_SECONDS = 25e-6
"""Further latency of a collective where a mixture's experts are spread over devices."""

STEP_SECONDS = 1.1e-3
"""Fixed cost of one engine step: launching, scheduling, sampling."""

SEQUENCE_SECONDS = 32e-6
"""Further cost of a step for each running sequence: sampling, detokenising, bookkeeping."""

PREFILL_LATENCY_SECONDS = 0.026
"""What a request waits for around its prefill (tokenising, scheduling, first sampling) without occupying the device."""

USABLE_MEMORY_SHARE = 0.90
"""Share of device memory an engine uses (vLLM's default)."""

RESERVED_GIB_PER_DEVICE = 1.5
"""Activations, CUDA graphs and communication buffers per device."""

MAX_BATCH = 256
"""Most sequences an accelerator engine runs at once (vLLM's long-standing default)."""

# --- Power: share of the span from loaded idle to TDP -------------------------------------------------

PREFILL_POWER_SHARE = 1.0
"""Prefill runs at TDP (Splitwise, ISCA'24: 400 of 400 W on A100, 700 of 700 W on H100)."""

DECODE_POWER_SHARE_LEAST = 0.57
"""Decode at batch 1, bound by memory."""

DECODE_POWER_HALF_REUSE = 35.0
"""Sequences per byte read (the batch, less where KV outweighs weights) at which decode is half-way to TDP."""

COMMUNICATION_POWER_SHARE = 0.15
"""While devices wait for one another."""

# --- Processors -------------------------------------------------------------------------------------

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

CPU_STEP_SECONDS = 2e-3
"""Fixed cost of one step on a processor."""

CPU_KV_GIB = 16.0
"""Memory a processor engine sets aside for KV."""

CPU_MAX_BATCH = 32
"""Most sequences at once on a processor; the measured rows go no further."""
