"""Several tokens of every sequence before the host looks: a GPU's kernels outrun the Python that starts them.

The state of sampling lies in tensors that keep their addresses. One step - the model, the choice of a token, the stop
test - is captured as a CUDA graph for every bucket of rows and length that comes up, and replayed. The weights are the
trainer's own: an update changes them where they are, and the graphs stay true. Capturing has not yet been run on a GPU;
where it fails, the same steps run without it.
"""

import warnings
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from whit.generation.sampler import Sampling, choose
from whit.models.attention import Cache, Cached
from whit.models.causal import CausalLM
from whit.models.decoder import Decoder

LOOK = 16  # tokens between two looks of the host: a sequence that ends is carried along until then
ROWS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
LENGTHS = 128  # tokens of the cache, of which attention reads a multiple


class DeviceSteps:
    """Steps of the sequences in the slots of one cache, chosen by `sampling`."""

    can_capture: ClassVar[bool] = True  # until it has failed in this process

    def __init__(self, decoder: CausalLM, cache: Cache, is_stop_V: Tensor, sampling: Sampling):
        self.decoder, self.cache, self.is_stop_V, self.sampling = decoder, cache, is_stop_V, sampling
        rows, device = len(cache.keys[0]), is_stop_V.device
        self.tokens_B, self.positions_B = torch.zeros(2, rows, dtype=torch.long, device=device).unbind()
        self.is_done_B = torch.ones(rows, dtype=torch.bool, device=device)
        self.uniform_KB = torch.zeros(LOOK, rows, dtype=torch.float64, device=device)
        self.ids_KB = torch.zeros(LOOK, rows, dtype=torch.long, device=device)
        dtype = torch.promote_types(cache.keys[0].dtype, torch.float32)
        self.logprobs_KB = torch.zeros(LOOK, rows, dtype=dtype, device=device)
        self.at = torch.zeros(1, dtype=torch.long, device=device)
        self.captures = device.type == "cuda" and isinstance(decoder, Decoder)  # what others do inside is not known
        self.graphs: dict[tuple[int, int], Any] = {}
        self.pool: Any = None

    def run(
        self, tokens: Sequence[int], positions: Sequence[int], uniform_KB: Tensor
    ) -> tuple[list[list[int]], list[list[float]]]:
        """Ids and log-probabilities [K][B] of the next K tokens of the sequences in the first B slots.

        tokens, positions: the last token of each, and where it stands. uniform_KB: a number in [0, 1) for each new token,
        K at most LOOK. What comes after a stop token of a sequence means nothing.
        """
        (count, num), capacity = uniform_KB.shape, len(self.tokens_B)
        self.tokens_B[:num].copy_(torch.tensor(tokens))
        self.positions_B.zero_()
        self.positions_B[:num].copy_(torch.tensor(positions))
        self.is_done_B.fill_(True)
        self.is_done_B[:num] = False
        self.uniform_KB[:count, :num].copy_(uniform_KB)
        self.at.zero_()
        rows = min(ROWS[bisect_left(ROWS, num)] if num <= ROWS[-1] else capacity, capacity)
        length = min(-(-(max(positions) + count) // LENGTHS) * LENGTHS, self.cache.length)
        graph = self._graph(rows, length)
        for _ in range(count):
            if graph:
                graph.replay()
            else:
                self._step(rows, length)
        return self.ids_KB[:count, :num].tolist(), self.logprobs_KB[:count, :num].tolist()

    def _step(self, rows: int, length: int) -> None:
        """One token more for the first `rows` slots, which attend over the first `length` places of the cache."""
        tokens_B, positions_B, is_done_B = self.tokens_B[:rows], self.positions_B[:rows], self.is_done_B[:rows]
        hidden_BD = self.decoder(tokens_B, positions_B, Cached(self.cache, positions_B, length, is_full=False))
        uniform_B = self.uniform_KB.index_select(0, self.at)[0, :rows]
        ids_B, logprobs_B = choose(self.decoder.forbid(self.decoder.logits(hidden_BD)), uniform_B, self.sampling)
        self.ids_KB[:, :rows].index_copy_(0, self.at, ids_B[None])
        self.logprobs_KB[:, :rows].index_copy_(0, self.at, logprobs_B[None])
        is_done_B.logical_or_(self.is_stop_V[ids_B])
        tokens_B.copy_(ids_B)
        # Who has ended stays where it is: its slot is its own until it is given up.
        positions_B.add_(~is_done_B).clamp_(max=length - 1)
        self.at.add_(1)

    def _graph(self, rows: int, length: int) -> Any:
        """The captured step of a bucket; None where there are no graphs."""
        if not self.captures or not self.can_capture:
            return None
        if (rows, length) not in self.graphs:
            try:
                self.graphs[rows, length] = self._captured(rows, length)
            except Exception as e:  # whatever cannot be captured runs as it is
                DeviceSteps.can_capture = False
                warnings.warn(f"sampling runs without CUDA graphs: {e}", stacklevel=2)
        return self.graphs.get((rows, length))

    def _captured(self, rows: int, length: int) -> Any:
        """The step as a graph. Its first runs, which choose kernels and find memory, leave the state as it was."""
        state = (self.tokens_B, self.positions_B, self.is_done_B, self.at)
        before = [tensor.clone() for tensor in state]
        current, beside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        try:
            with torch.cuda.stream(current):  # a capture that fails leaves its own stream in place
                beside.wait_stream(current)
                with torch.cuda.stream(beside):
                    for _ in range(2):
                        self._step(rows, length)
                current.wait_stream(beside)
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, pool=self.pool):
                    self._step(rows, length)
            self.pool = self.pool or graph.pool()
            return graph
        finally:
            for tensor, value in zip(state, before, strict=True):
                tensor.copy_(value)
