// What a decoder does between its matrix products, in bfloat16 on a CPU: each in one pass over memory.
//
// PyTorch takes a pass, an allocation and a dispatch for every multiplication and for every conversion to float and back.
// The definitions are in whit/kernels/ops.py; numbers are rounded to bfloat16 in the same places as there.

#include "heads.h"

#define EACH_ROW _Pragma("omp parallel for num_threads(threads) if (threads > 1)") for (int64_t i = 0; i < rows; i++)

extern "C" {

// x, y [rows, width]; scale [rows]: 1 / root mean square, for the backward pass.
void rms_norm(const bf16 *x, const bf16 *weight, bf16 *y, float *scale, int64_t rows, int64_t width, float eps,
              int threads) {
    EACH_ROW scale[i] = norm_row(x + i * width, weight, y + i * width, width, eps);
}

// weight_grad [threads, width]: a sum for each thread.
void rms_norm_backward(const bf16 *grad, const bf16 *x, const bf16 *weight, const float *scale, bf16 *x_grad,
                       float *weight_grad, int64_t rows, int64_t width, int threads) {
    const int64_t share = (rows + threads - 1) / threads;
    #pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int thread = 0; thread < threads; thread++) {
        float *__restrict sums = weight_grad + thread * width;
        for (int64_t i = thread * share; i < std::min(rows, (thread + 1) * share); i++) {
            Row in = x + i * width, g = grad + i * width, w = weight;
            Out out = x_grad + i * width;
            const float s = scale[i];
            float along = 0;
            for (int64_t j = 0; j < width; j++) along += wide(g[j]) * wide(w[j]) * wide(in[j]);
            along *= s * s / width;
            EACH(j, width) {
                sums[j] += wide(g[j]) * rounded(wide(in[j]) * s);
                out[j] = narrow(s * (wide(g[j]) * wide(w[j]) - wide(in[j]) * along));
            }
        }
    }
}

// gate, up: [rows, width] with `stride` numbers from row to row; out [rows, width].
void silu_mul(const bf16 *gate, const bf16 *up, bf16 *out, int64_t rows, int64_t width, int64_t stride, int threads) {
    EACH_ROW {
        Row a = gate + i * stride, b = up + i * stride;
        Out y = out + i * width;
        EACH(j, width) y[j] = narrow(gated(wide(a[j]), wide(b[j])));
    }
}

void silu_mul_backward(const bf16 *grad, const bf16 *gate, const bf16 *up, bf16 *gate_grad, bf16 *up_grad, int64_t rows,
                       int64_t width, int64_t stride, int threads) {
    EACH_ROW {
        Row a = gate + i * stride, b = up + i * stride, g = grad + i * width;
        Out a_grad = gate_grad + i * width, b_grad = up_grad + i * width;
        EACH(j, width) {
            const float v = wide(a[j]), s = sigmoid(v);
            a_grad[j] = narrow(wide(g[j]) * wide(b[j]) * s * (1.0f + v * (1.0f - s)));
            b_grad[j] = narrow(wide(g[j]) * rounded(v * s));
        }
    }
}

// x [rows, heads, size] with `stride` numbers from row to row; sign -1 turns back.
void rotate(const bf16 *x, const bf16 *cosine, const bf16 *sine, bf16 *y, int64_t rows, int64_t heads, int64_t size,
            int64_t stride, float sign, int threads) {
    EACH_ROW for (int64_t head = 0; head < heads; head++)
        rotate_head(x + i * stride + head * size, cosine + i * size, sine + i * size, y + (i * heads + head) * size,
                    size / 2, sign);
}
}

// Log-probability of each label and entropy of softmax(logits / temperature), logits [rows, size]; normaliser [rows] is
// for the backward pass.
extern "C" void log_prob(const bf16 *logits, const int64_t *labels, float *logprob, float *entropy, float *normaliser,
                         int64_t rows, int64_t size, float inverse_temperature, int threads) {
    EACH_ROW {
        Row x = logits + i * size;
        int16_t largest = ordered(int16_t(0xff80));  // minus infinity
        for (int64_t j = 0; j < size; j++) largest = std::max(largest, ordered(int16_t(x[j])));
        const float most = wide(bf16(ordered(largest))) * inverse_temperature;
        float total = 0, along = 0;
        for (int64_t j = 0; j < size; j++) {
            const float d = std::max(wide(x[j]) * inverse_temperature - most, LEAST), e = exponential(d);
            total += e;
            along += e * d;
        }
        normaliser[i] = most + std::log(total);
        logprob[i] = wide(x[labels[i]]) * inverse_temperature - normaliser[i];
        entropy[i] = std::log(total) - along / total;
    }
}

extern "C" void log_prob_backward(const bf16 *logits, const int64_t *labels, const float *normaliser, const float *entropy,
                                  const float *logprob_grad, const float *entropy_grad, bf16 *grad, int64_t rows,
                                  int64_t size, float inverse_temperature, int threads) {
    EACH_ROW {
        Row x = logits + i * size;
        Out out = grad + i * size;
        const float n = normaliser[i], h = entropy[i], a = logprob_grad[i], b = entropy_grad[i];
        EACH(j, size) {
            const float logp = std::max(wide(x[j]) * inverse_temperature - n, LEAST);
            out[j] = narrow(-inverse_temperature * exponential(logp) * (a + b * (logp + h)));
        }
        const float logp = std::max(wide(x[labels[i]]) * inverse_temperature - n, LEAST);
        out[labels[i]] = narrow(inverse_temperature * (a - exponential(logp) * (a + b * (logp + h))));
    }
}

// One new token of each row. Its key and value go to `positions` in the caches [., kv_heads, length, size], and its
// queries [rows, heads, size] attend over all up to it, or over the last `window` if that is not 0.
extern "C" void attend(const bf16 *q, const bf16 *k, const bf16 *v, bf16 *keys, bf16 *values, const int64_t *positions,
                       bf16 *out, int64_t rows, int64_t heads, int64_t kv_heads, int64_t length, int64_t size,
                       int64_t v_stride, int64_t window, float scale, int threads) {
    const int64_t group = heads / kv_heads;
    auto *one = size == 64 ? one_head<64> : size == 128 ? one_head<128> : size == 32 ? one_head<32> : one_head<0>;
    #pragma omp parallel num_threads(threads) if (threads > 1)
    {
        std::vector<float> score(group * length);
        #pragma omp for schedule(dynamic, 4)
        for (int64_t task = 0; task < rows * kv_heads; task++) {
            const int64_t row = task / kv_heads, head = task % kv_heads, last = positions[row];
            bf16 *row_keys = keys + task * length * size, *row_values = values + task * length * size;
            memcpy(row_keys + last * size, k + task * size, size * sizeof(bf16));
            memcpy(row_values + last * size, v + row * v_stride + head * size, size * sizeof(bf16));
            const int64_t first = window ? std::max<int64_t>(0, last - window + 1) : 0;
            const int64_t at = task * group * size;
            one(q + at, row_keys, row_values, out + at, score.data(), group, first, last, length, size, scale);
        }
    }
}
