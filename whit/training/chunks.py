"""Rows that go through the head together: as many as suit the device, and never a part of a group of tokens."""

from collections.abc import Sequence

from whit.kernels.log_prob import is_compiled
from whit.models.causal import CausalLM

# Float32 logits of one chunk, where several copies of it live at once; and where none does, because a compiled form reads
# bfloat16 logits: on a CPU, and on a GPU, which needs more rows.
CHUNK_BYTES, COMPILED_CHUNK_BYTES, GPU_CHUNK_BYTES = 64 << 20, 256 << 20, 1 << 30


def whole_groups(chunks: list[slice], groups: Sequence[Sequence[int]]) -> list[slice]:
    """The chunks with their ends moved back to where a group begins; a group longer than a chunk makes it longer.

    groups: (first row, number of rows, ...) of each, in order.
    """
    if not groups or not chunks:
        return chunks
    inside = {row: first for first, size, *_ in groups for row in range(first + 1, first + size)}
    longest = chunks[0].stop - chunks[0].start
    cut: list[slice] = []
    start, end = 0, chunks[-1].stop
    while start < end:
        stop = min(start + longest, end)
        first = inside.get(stop, stop)  # `stop` would be the first row of the next chunk
        if first <= start:
            first = next(row for row in range(stop, end + 1) if row not in inside)
        cut.append(slice(start, first))
        start = first
    return cut


def row_chunks(
    num_rows: int, decoder: CausalLM, chunk_bytes: int = 0, *, reads_logits: bool = False, vocab_size: int = 0
) -> list[slice]:
    """Rows that go through the head together.

    reads_logits: whether an objective makes copies of the logits. vocab_size: a teacher's, where it is larger.
    """
    weight_VD = decoder.head().weight
    if not chunk_bytes:
        chunk_bytes = CHUNK_BYTES
        if is_compiled(weight_VD) and not reads_logits:
            chunk_bytes = GPU_CHUNK_BYTES if weight_VD.is_cuda else COMPILED_CHUNK_BYTES
    size = max(1, chunk_bytes // (4 * max(vocab_size, weight_VD.shape[0])))
    return [slice(start, min(start + size, num_rows)) for start in range(0, num_rows, size)]
