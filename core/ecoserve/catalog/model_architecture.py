"""Shapes of transformer models: what they weigh, what a token of context costs, what a token computes."""

from dataclasses import dataclass

from ecoserve.errors import InvalidInputError, UnknownNameError

BYTES_PER_WEIGHT = {"bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.56, "mxfp4": 0.53125}
"""Bytes per weight. int4 carries its group scales (4.5 bits, as of GPTQ/AWQ with groups of 128 and of Q4_K).

mxfp4 is 4 bits and one 8-bit scale per 32 of them, of the experts alone (of a dense model: the feed-forward
weights): the rest stays in 16 bit.
"""

FP8_SCHEMES = ("channel", "block", "feed-forward")
_KV_BYTES_PER_VALUE = 2.0
_STATE_BYTES_PER_VALUE = 4.0


def check_precision(precision: str) -> str:
    """Return `precision` if it is known; raise UnknownNameError otherwise."""
    if precision not in BYTES_PER_WEIGHT:
        raise UnknownNameError("precision", precision, BYTES_PER_WEIGHT)
    return precision


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSpace:
    """The state-space (Mamba-2) layers of a hybrid: each keeps a state of fixed size per sequence instead of KV."""

    layers: int
    heads: int
    head_dim: int
    groups: int
    state_size: int

    def parameters(self, hidden_size: int) -> float:
        """Parameters of the input and output projections over all such layers."""
        inner = self.heads * self.head_dim
        projected = 2 * inner + 2 * self.groups * self.state_size + self.heads
        return float(self.layers * hidden_size * (projected + inner))

    @property
    def state_bytes(self) -> float:
        """Bytes of state that one sequence keeps, in 32 bit."""
        return self.layers * self.heads * self.head_dim * self.state_size * _STATE_BYTES_PER_VALUE


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelArchitecture:
    """A decoder-only language model by its shape: dense, a mixture of experts, or a hybrid with state-space layers.

    `intermediate_size` is of one expert where there are experts; `shared_intermediate_size` is of the experts that
    every token passes. `dense_layers` of a mixture have no experts but a feed-forward network of
    `dense_intermediate_size`. `windowed_layers` attend to the last `window_tokens` only. `latent_kv_width` is
    what latent attention (MLA) caches per token and layer, with `latent_attention_parameters` per layer.
    `feed_forward_matrices` is 2 for networks without a gate. `attention_layers` and `feed_forward_layers` are all
    layers unless a hybrid gives them. `parameters` is the published total of the language model. `vision_parameters`
    are held beside it, where the model is published with a vision tower, and never see a text token.
    `native_precision` is what the weights are published in. `fp8_scheme` says how fp8 weights of the model are published:
    all matrices with a scale per output channel, all with one per block of 128 × 128, or the experts alone (of a dense
    model: the feed-forward weights), the rest in 16 bit.
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
    feed_forward_matrices: int = 3
    experts: int = 0
    experts_per_token: int = 0
    shared_intermediate_size: int = 0
    dense_layers: int = 0
    dense_intermediate_size: int = 0
    windowed_layers: int = 0
    window_tokens: int = 0
    latent_kv_width: int = 0
    latent_attention_parameters: float = 0.0
    attention_layers: int = 0
    feed_forward_layers: int = 0
    state_space: StateSpace | None = None
    vision_parameters: float = 0.0
    native_precision: str = "bf16"
    fp8_scheme: str = "channel"

    def __hash__(self) -> int:
        """By name alone: it is looked up with in every plan, a hundred thousand times."""
        return hash(self.name)

    def __post_init__(self) -> None:
        check_precision(self.native_precision)
        if self.fp8_scheme not in FP8_SCHEMES:
            accepted = ", ".join(FP8_SCHEMES)
            raise InvalidInputError(f"model {self.name}: fp8_scheme", self.fp8_scheme, accepted)
        for field in ("attention_layers", "feed_forward_layers"):
            object.__setattr__(self, field, getattr(self, field) or self.layers)
        sizes = ("parameters", "layers", "hidden_size", "intermediate_size", "attention_heads", "kv_heads")
        for field in (*sizes, "head_dim", "vocabulary_size"):
            if not getattr(self, field) > 0:
                raise InvalidInputError(f"model {self.name}: {field}", getattr(self, field), "above zero")
        if not 0 <= self.experts_per_token <= self.experts or (self.experts and not self.experts_per_token):
            detail = f"1 to {self.experts} for {self.experts} experts"
            raise InvalidInputError(f"model {self.name}: experts_per_token", self.experts_per_token, detail)

    @property
    def expert_layers(self) -> int:
        """Layers with experts."""
        return self.feed_forward_layers - self.dense_layers if self.experts else 0

    @property
    def embedding_parameters(self) -> float:
        """Parameters of one embedding table (the output head has as many again unless tied)."""
        return float(self.vocabulary_size * self.hidden_size)

    @property
    def expert_parameters(self) -> float:
        """Parameters of one expert over all layers that have experts; 0 for a dense model."""
        per_layer = self.feed_forward_matrices * self.hidden_size * self.intermediate_size
        return float(self.expert_layers * per_layer)

    @property
    def feed_forward_parameters(self) -> float:
        """Parameters of the feed-forward networks that every token passes, over all layers."""
        widths = (
            self.expert_layers * self.shared_intermediate_size
            + self.dense_layers * self.dense_intermediate_size
            if self.experts
            else self.feed_forward_layers * self.intermediate_size
        )
        return float(self.feed_forward_matrices * self.hidden_size * widths)

    @property
    def attention_parameters(self) -> float:
        """Parameters of the query, key, value and output projections over all layers."""
        if self.latent_kv_width:
            return self.attention_layers * self.latent_attention_parameters
        heads = 2 * self.attention_heads + 2 * self.kv_heads
        return float(self.attention_layers * self.hidden_size * heads * self.head_dim)

    @property
    def parameters_from_shape(self) -> float:
        """The total rebuilt from the shape; norms, routers and biases are left out (under 0.1 %)."""
        tables = 1 if self.tied_embeddings else 2
        always = self.attention_parameters + self.feed_forward_parameters
        if self.state_space is not None:
            always += self.state_space.parameters(self.hidden_size)
        return tables * self.embedding_parameters + always + self.experts * self.expert_parameters

    @property
    def active_parameters(self) -> float:
        """Parameters one token passes through, the embedding table included."""
        return self.parameters - self.expert_parameters * (self.experts - self.experts_per_token)

    @property
    def matmul_parameters(self) -> float:
        """Parameters multiplied for one token: all active ones but the embedding look-up."""
        return self.active_parameters - (0.0 if self.tied_embeddings else self.embedding_parameters)

    @property
    def always_read_parameters(self) -> float:
        """Parameters that every step reads whatever its tokens: all but the routed experts and the look-up."""
        return self.matmul_parameters - self.expert_parameters * self.experts_per_token

    def experts_touched(self, tokens: float) -> float:
        """Experts of a layer that a step over `tokens` tokens reads: uniform choice, E·(1 − (1 − k/E)^tokens)."""
        if self.experts == 0:
            return 0.0
        touched: float = 1.0 - (1.0 - self.experts_per_token / self.experts) ** tokens
        return self.experts * touched

    def weight_bytes(self, precision: str) -> float:
        """Bytes of all weights in memory, a vision tower included."""
        held = self.parameters + self.vision_parameters
        return self._bytes(held, self.experts * self.expert_parameters, precision)

    def weight_bytes_read(self, tokens: float, precision: str) -> float:
        """Bytes of weights that one step over `tokens` tokens reads."""
        of_experts = self.expert_parameters * self.experts_touched(tokens)
        return self._bytes(self.always_read_parameters + of_experts, of_experts, precision)

    def narrow_always_parameters(self, precision: str) -> float:
        """Parameters that every step reads in `precision`; the others it reads, the output head among them, are in 16 bit."""
        if self._keeps_wide(precision):
            return 0.0 if self.experts else self.feed_forward_parameters
        return self.always_read_parameters - self.embedding_parameters

    def always_read_bytes(self, precision: str) -> float:
        """Bytes of weights that every step reads whatever its tokens."""
        narrow = self.narrow_always_parameters(precision)
        wide = self.always_read_parameters - narrow
        return narrow * BYTES_PER_WEIGHT[precision] + wide * BYTES_PER_WEIGHT["bf16"]

    def kv_bytes_per_token(self, precision: str = "bf16") -> float:
        """Bytes a further token adds in every attention layer; kept in 16 bit whatever the weights' precision."""
        check_precision(precision)
        return self.attention_layers * self._kv_bytes_per_layer

    def kv_bytes(self, context_tokens: float) -> float:
        """Bytes one sequence keeps and every step reads: KV, in windowed layers of their window, and state."""
        windowed = self.windowed_layers * min(context_tokens, self.window_tokens)
        tokens = (self.attention_layers - self.windowed_layers) * context_tokens + windowed
        state_bytes = self.state_space.state_bytes if self.state_space is not None else 0.0
        return tokens * self._kv_bytes_per_layer + state_bytes

    def prompt_attention_flops(self, tokens: float) -> float:
        """Operations of causal attention over a prompt; windowed layers attend to their window at most."""
        windowed = self.windowed_layers * min(tokens / 2.0, self.window_tokens)
        context = (self.attention_layers - self.windowed_layers) * tokens / 2.0 + windowed
        return 4.0 * self.attention_heads * self.head_dim * tokens * context

    def _bytes(self, parameters: float, of_experts: float, precision: str) -> float:
        per_weight = BYTES_PER_WEIGHT[check_precision(precision)]
        if not self._keeps_wide(precision):
            return parameters * per_weight
        small = of_experts if self.experts else self.feed_forward_parameters
        return small * per_weight + (parameters - small) * BYTES_PER_WEIGHT["bf16"]

    def _keeps_wide(self, precision: str) -> bool:
        """Whether all but experts (of a dense model: feed-forward weights) stay in 16 bit."""
        return precision == "mxfp4" or (precision == "fp8" and self.fp8_scheme == "feed-forward")

    @property
    def _kv_bytes_per_layer(self) -> float:
        values = self.latent_kv_width or 2.0 * self.kv_heads * self.head_dim
        return values * _KV_BYTES_PER_VALUE
