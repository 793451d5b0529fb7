"""How an engine batches: the settings of its scheduler that capacity and simulation share."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """Continuous batching with chunked prefill, as vLLM's V1 scheduler does it.

    A step computes one token of every decoding request first and fills the rest of `token_budget` with chunks of
    prompts (2,048 is vLLM's default for serving, 8,192 on its largest GPUs). KV memory is given out in blocks of
    `kv_block_tokens`.
    """

    token_budget: int = 2048
    kv_block_tokens: int = 16

    @property
    def kv_waste_tokens(self) -> float:
        """Tokens of a sequence's last block that stay empty, on average."""
        return (self.kv_block_tokens - 1) / 2.0


DEFAULT_BATCHING = Batching()
