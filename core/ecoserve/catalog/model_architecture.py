"""Shapes of transformer models: what they weigh, what a token of context costs, what a token computes."""

from dataclasses import dataclass

from ecoserve.errors import UnknownNameError

BYTES_PER_WEIGHT = {"bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.56}
"""Bytes per weight. int4 carries its group scales (4.5 bits, as of GPTQ/AWQ with groups of 128 and of Q4_K)."""

_KV_BYTES_PER_VALUE = 2.0


def check_precision(precision: str) -> str:
    """Return `precision` if it is known; raise UnknownNameError otherwise."""
    if precision not in BYTES_PER_WEIGHT:
        raise UnknownNameError("precision", precision, BYTES_PER_WEIGHT)
    return precision


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelArchitecture:
    """A decoder-only transformer by its shape, dense or a mixture of experts.

    `intermediate_size` is of one expert where there are experts. `parameters` is the published total.
    """

    name: str
    parameters: float
    layers: int
    hidden_size: int
    intermediate_size: int
    attention_heads: int
    kv_heads: int
    head_dim: int
    vocabulary_size: int
    tied_embeddings: bool = False
    experts: int = 0
    experts_per_token: int = 0

    @property
    def embedding_parameters(self) -> float:
        """Parameters of one embedding table (the output head has as many again unless tied)."""
        return float(self.vocabulary_size * self.hidden_size)

    @property
    def expert_parameters(self) -> float:
        """Parameters of one expert (or of the dense feed-forward network) over all layers."""
        return 3.0 * self.layers * self.hidden_size * self.intermediate_size

    @property
    def attention_parameters(self) -> float:
        """Parameters of the query, key, value and output projections over all layers."""
        heads = 2 * self.attention_heads + 2 * self.kv_heads
        return float(self.layers * self.hidden_size * heads * self.head_dim)

    @property
    def parameters_from_shape(self) -> float:
        """The total rebuilt from the shape; norms and biases are left out (under 0.1 %)."""
        tables = 1 if self.tied_embeddings else 2
        experts = self.expert_parameters * max(self.experts, 1)
        return tables * self.embedding_parameters + self.attention_parameters + experts

    @property
    def active_parameters(self) -> float:
        """Parameters one token passes through, the embedding table included."""
        return self.parameters - self.expert_parameters * max(self.experts - self.experts_per_token, 0)

    @property
    def matmul_parameters(self) -> float:
        """Parameters multiplied for one token: all active ones but the embedding look-up."""
        return self.active_parameters - (0.0 if self.tied_embeddings else self.embedding_parameters)

    def parameters_read(self, tokens: float) -> float:
        """Parameters read from memory by one step over `tokens` tokens.

        A mixture reads only the experts that some token chose: with uniform choice a share
        1 − (1 − k/E)^tokens of them.
        """
        if self.experts == 0:
            return self.matmul_parameters
        fixed = self.matmul_parameters - self.expert_parameters * self.experts_per_token
        touched: float = 1.0 - (1.0 - self.experts_per_token / self.experts) ** tokens
        return fixed + self.expert_parameters * self.experts * touched

    def weight_bytes(self, precision: str) -> float:
        """Bytes of all weights in memory."""
        return self.parameters * BYTES_PER_WEIGHT[check_precision(precision)]

    def kv_bytes_per_token(self, precision: str = "bf16") -> float:
        """Bytes of keys and values per token of context; kept in 16 bit whatever the weights' precision."""
        check_precision(precision)
        return 2.0 * self.layers * self.kv_heads * self.head_dim * _KV_BYTES_PER_VALUE
