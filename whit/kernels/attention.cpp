// Causal attention inside documents that stand side by side in a row, with its gradients: products of bfloat16 numbers with
// float32 sums, a few queries at a time, so that their scores stay in the cache. Source: arXiv:2205.14135, without its tiling
// over keys, which the lengths of small models' documents do not need.

#include "product.h"

constexpr int64_t QUERIES = 64;  // of the backward pass that are taken together

// `length` tokens from `start` on, which go on from `prefix` tokens at `prefix_start`.
struct Document {
    int64_t start, length, prefix_start, prefix;

    int64_t keys() const { return prefix + length; }
    int64_t place(int64_t key) const { return key < prefix ? prefix_start + key : start + key - prefix; }
};

static inline int64_t rounded_up(int64_t count, int64_t to) { return (count + to - 1) / to * to; }

// Rows of `size` numbers, row(i) for i < count, as the packed factor of a product.
struct Factor {
    std::vector<bf16> data;
    int64_t inputs;

    const bf16 *block(int64_t index) const { return data.data() + index * COLUMNS * inputs; }

    template <class At>
    void take_as_columns(int64_t count, int64_t size, At row) {  // x times its transpose
        inputs = size;
        data.assign(rounded_up(count, COLUMNS) * size, 0);
        for (int64_t n = 0; n < count; n++) {
            const bf16 *in = row(n);
            bf16 *out = data.data() + n / COLUMNS * COLUMNS * size + n % COLUMNS * 2;
            for (int64_t k = 0; k < size; k += 2) memcpy(out + k * COLUMNS, in + k, 2 * sizeof(bf16));
        }
    }

    template <class At>
    void take_as_rows(int64_t count, int64_t size, At row) {  // x times it; size is a multiple of COLUMNS
        inputs = rounded_up(count, 2);
        data.assign(inputs * size, 0);
        for (int64_t n = 0; n < count; n++) {
            const bf16 *in = row(n);
            for (int64_t b = 0; b < size / COLUMNS; b++) {
                bf16 *out = data.data() + b * COLUMNS * inputs + n / 2 * 2 * COLUMNS + n % 2;
                for (int64_t j = 0; j < COLUMNS; j++) out[2 * j] = in[b * COLUMNS + j];
            }
        }
    }
};

// q, out [., heads, size]; k, v [., kv_heads, size]; normaliser [., heads] is for the backward pass. size is a multiple of
// COLUMNS.
extern "C" void attention(const bf16 *q, const bf16 *k, const bf16 *v, bf16 *out, float *normaliser, const Document *documents,
                          int64_t count, int64_t heads, int64_t kv_heads, int64_t size, float scale, int threads) {
    const int64_t group = heads / kv_heads;
    #pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Factor keys, values;
        std::vector<float> scores;
        std::vector<bf16> weights;
        #pragma omp for schedule(dynamic, 1)
        for (int64_t task = 0; task < count * kv_heads; task++) {
            const Document &at = documents[task / kv_heads];
            const int64_t kv = task % kv_heads, width = rounded_up(at.keys(), COLUMNS);
            keys.take_as_columns(at.keys(), size, [&](int64_t i) { return k + (at.place(i) * kv_heads + kv) * size; });
            values.take_as_rows(at.keys(), size, [&](int64_t i) { return v + (at.place(i) * kv_heads + kv) * size; });
            scores.resize(ROWS * width), weights.resize(ROWS * width);
            for (int64_t head = kv * group; head < (kv + 1) * group; head++)
                for (int64_t first = 0; first < at.length; first += ROWS) {
                    const int rows = int(std::min<int64_t>(ROWS, at.length - first));
                    const int64_t seen = at.prefix + first + rows, top = (at.start + first) * heads + head;
                    float sums[ROWS][COLUMNS], inverse[ROWS];
                    for (int64_t b = 0; b * COLUMNS < seen; b++) {
                        tile_of(rows, q + top * size, heads * size, keys.block(b), size, sums);
                        for (int i = 0; i < rows; i++)
                            memcpy(&scores[i * width + b * COLUMNS], sums[i], sizeof(sums[i]));
                    }
                    for (int i = 0; i < rows; i++) {
                        float *s = &scores[i * width], most = -INFINITY, total = 0;
                        bf16 *w = &weights[i * width];
                        const int64_t own = at.prefix + first + i + 1;
                        for (int64_t j = 0; j < own; j++) most = std::max(most, s[j]);
                        for (int64_t j = 0; j < own; j++) {
                            const float e = exponential((s[j] - most) * scale);
                            total += e;
                            w[j] = narrow(e);
                        }
                        std::fill(w + own, w + rounded_up(seen, 2), 0);
                        inverse[i] = 1.0f / total;
                        normaliser[top + i * heads] = most * scale + std::log(total);
                    }
                    for (int64_t b = 0; b < size / COLUMNS; b++) {
                        tile_of(rows, weights.data(), width, values.block(b), rounded_up(seen, 2), sums);
                        for (int i = 0; i < rows; i++) {
                            bf16 *o = out + (top + i * heads) * size + b * COLUMNS;
                            EACH(j, COLUMNS) o[j] = narrow(sums[i][j] * inverse[i]);
                        }
                    }
                }
        }
    }
}

// The gradients of q, k and v. of_prefix [2, tokens of all prefixes, kv_heads, size] is scratch: what documents owe to the
// prefix that they share, added up in their order, so that the number of threads changes nothing.
extern "C" void attention_backward(const bf16 *grad, const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *out,
                                   const float *normaliser, bf16 *q_grad, bf16 *k_grad, bf16 *v_grad, float *of_prefix,
                                   const Document *documents, int64_t count, int64_t heads, int64_t kv_heads, int64_t size,
                                   float scale, int64_t tokens, int threads) {
    const int64_t group = heads / kv_heads;
    std::vector<int64_t> place(count + 1, 0);  // of a document's prefix in of_prefix
    for (int64_t n = 0; n < count; n++) place[n + 1] = place[n] + documents[n].prefix;
    std::vector<float> own(2 * tokens * kv_heads * size);
    float *const own_grads[2] = {own.data(), own.data() + tokens * kv_heads * size};
    float *const shared_grads[2] = {of_prefix, of_prefix + place[count] * kv_heads * size};
    #pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Factor keys, keys_as_rows, values, queries, grads;
        std::vector<float> sums_k, sums_v;
        std::vector<bf16> weights, changes, weights_t, changes_t;
        #pragma omp for schedule(dynamic, 1)
        for (int64_t task = 0; task < count * kv_heads; task++) {
            const int64_t n = task / kv_heads, kv = task % kv_heads;
            const Document &at = documents[n];
            const int64_t width = rounded_up(at.keys(), COLUMNS);
            const auto key = [&](int64_t i) { return k + (at.place(i) * kv_heads + kv) * size; };
            keys.take_as_columns(at.keys(), size, key);
            keys_as_rows.take_as_rows(at.keys(), size, key);
            values.take_as_columns(at.keys(), size, [&](int64_t i) { return v + (at.place(i) * kv_heads + kv) * size; });
            sums_k.assign(width * size, 0), sums_v.assign(width * size, 0);
            weights.resize(ROWS * width), changes.resize(ROWS * width);
            weights_t.assign(width * QUERIES, 0), changes_t.assign(width * QUERIES, 0);
            for (int64_t head = kv * group; head < (kv + 1) * group; head++)
                for (int64_t start = 0; start < at.length; start += QUERIES) {
                    const int64_t taken = std::min(QUERIES, at.length - start), all_seen = at.prefix + start + taken;
                    const auto row = [&](const bf16 *x, int64_t i) { return x + ((at.start + start + i) * heads + head) * size; };
                    queries.take_as_rows(taken, size, [&](int64_t i) { return row(q, i); });
                    grads.take_as_rows(taken, size, [&](int64_t i) { return row(grad, i); });
                    for (int64_t first = 0; first < taken; first += ROWS) {
                        const int rows = int(std::min<int64_t>(ROWS, taken - first));
                        const int64_t seen = at.prefix + start + first + rows;
                        float scores[ROWS][COLUMNS], slopes[ROWS][COLUMNS], along[ROWS], normal[ROWS];
                        for (int i = 0; i < rows; i++) {
                            const bf16 *g = row(grad, first + i), *o = row(out, first + i);
                            along[i] = 0;
                            for (int64_t j = 0; j < size; j++) along[i] += wide(g[j]) * wide(o[j]);
                            normal[i] = normaliser[(at.start + start + first + i) * heads + head];
                        }
                        for (int64_t b = 0; b * COLUMNS < all_seen; b++) {
                            if (b * COLUMNS < seen) {
                                tile_of(rows, row(q, first), heads * size, keys.block(b), size, scores);
                                tile_of(rows, row(grad, first), heads * size, values.block(b), size, slopes);
                            }
                            for (int i = 0; i < rows; i++) {
                                const int64_t last = at.prefix + start + first + i - b * COLUMNS;  // that this query sees
                                bf16 *w = &weights[i * width + b * COLUMNS], *c = &changes[i * width + b * COLUMNS];
                                EACH(j, COLUMNS) {
                                    const float p = j <= last ? exponential(scores[i][j] * scale - normal[i]) : 0.0f;
                                    w[j] = narrow(p);
                                    c[j] = j <= last ? narrow(p * (slopes[i][j] - along[i]) * scale) : 0;
                                }
                            }
                        }
                        for (int64_t j = 0; j < all_seen; j++)
                            for (int i = 0; i < rows; i++) {
                                weights_t[j * QUERIES + first + i] = weights[i * width + j];
                                changes_t[j * QUERIES + first + i] = changes[i * width + j];
                            }
                        for (int64_t b = 0; b < size / COLUMNS; b++) {
                            tile_of(rows, changes.data(), width, keys_as_rows.block(b), rounded_up(seen, 2), scores);
                            for (int i = 0; i < rows; i++) {
                                bf16 *o = q_grad + (row(q, first + i) - q) + b * COLUMNS;
                                EACH(j, COLUMNS) o[j] = narrow(scores[i][j]);
                            }
                        }
                    }
                    if (taken % 2)  // a product takes two inputs at a time
                        for (int64_t j = 0; j < all_seen; j++)
                            weights_t[j * QUERIES + taken] = changes_t[j * QUERIES + taken] = 0;
                    for (int64_t first = 0; first < all_seen; first += ROWS) {
                        const int rows = int(std::min<int64_t>(ROWS, all_seen - first));
                        for (int64_t b = 0; b < size / COLUMNS; b++) {
                            float sums[ROWS][COLUMNS];
                            const auto add = [&](const std::vector<bf16> &x, const Factor &by, std::vector<float> &to) {
                                tile_of(rows, &x[first * QUERIES], QUERIES, by.block(b), by.inputs, sums);
                                for (int i = 0; i < rows; i++) {
                                    float *t = &to[(first + i) * size + b * COLUMNS];
                                    EACH(j, COLUMNS) t[j] += sums[i][j];
                                }
                            };
                            add(weights_t, grads, sums_v);
                            add(changes_t, queries, sums_k);
                        }
                    }
                }
            for (int64_t i = 0; i < at.keys(); i++) {
                const bool is_shared = i < at.prefix;
                const int64_t to = ((is_shared ? place[n] + i : at.place(i)) * kv_heads + kv) * size;
                memcpy((is_shared ? shared_grads : own_grads)[0] + to, &sums_k[i * size], size * sizeof(float));
                memcpy((is_shared ? shared_grads : own_grads)[1] + to, &sums_v[i * size], size * sizeof(float));
            }
        }
        #pragma omp for
        for (int64_t kv = 0; kv < kv_heads; kv++)
            for (int which = 0; which < 2; which++)
                for (int64_t n = 0; n < count; n++)
                    for (int64_t i = 0; i < documents[n].prefix; i++) {
                        const float *from = shared_grads[which] + ((place[n] + i) * kv_heads + kv) * size;
                        float *to = own_grads[which] + (documents[n].place(i) * kv_heads + kv) * size;
                        EACH(j, size) to[j] += from[j];
                    }
        #pragma omp for
        for (int64_t i = 0; i < tokens; i++)
            EACH(j, kv_heads * size) {
                k_grad[i * kv_heads * size + j] = narrow(own_grads[0][i * kv_heads * size + j]);
                v_grad[i * kv_heads * size + j] = narrow(own_grads[1][i * kv_heads * size + j]);
            }
    }
}
