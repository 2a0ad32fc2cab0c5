// The next token of each row of logits: whit/generation/sampler.py defines it, and says what the numbers mean.

#include "cpu.h"

constexpr int64_t BLOCK = 256;  // words whose probabilities are summed first
constexpr float DEPTH = 4.0f;   // below the largest: how far the first look for the most likely words goes

struct Logits {
    Row words;
    int64_t size;
    float most, inverse_temperature;

    float shifted(float logit) const { return std::max((logit - most) * inverse_temperature, LEAST); }
    float shifted(int64_t j) const { return shifted(wide(words[j])); }
    float mass(int64_t j) const {
        const float s = shifted(j), e = exponential(s);
        return s <= LEAST ? 0.0f : e;  // what is not a number stays none
    }
};

// The first place where the running sum of `count` masses passes the target; the last that has mass if none does.
template <class Mass>
static inline int64_t passing(int64_t count, double target, Mass mass) {
    double sum = 0;
    int64_t last = 0;
    for (int64_t i = 0; i < count; i++) {
        const double own = mass(i);
        if (own > 0) last = i;
        if ((sum += own) > target) return i;
    }
    return last;
}

// The most likely words in falling order, words of equal logits in rising: as many as top_p and top_k may need.
static std::vector<int64_t> most_likely(const Logits &row, const std::vector<int16_t> &tops, double total, int64_t top_k,
                                        double top_p) {
    std::vector<int64_t> found;
    for (float depth = DEPTH;; depth *= 2) {
        double mass = 0;
        found.clear();
        for (size_t block = 0; block < tops.size(); block++) {
            if (row.shifted(wide(bf16(ordered(tops[block])))) < -depth) continue;
            for (int64_t j = block * BLOCK; j < std::min<int64_t>(row.size, (block + 1) * BLOCK); j++)
                if (row.shifted(j) >= -depth) found.push_back(j), mass += row.mass(j);
        }
        const bool is_enough = top_k ? int64_t(found.size()) >= top_k : mass >= top_p * total;
        if (is_enough || int64_t(found.size()) == row.size) break;
    }
    const auto before = [&](int64_t a, int64_t b) {
        const float x = wide(row.words[a]), y = wide(row.words[b]);
        return x > y || (x == y && a < b);
    };
    std::sort(found.begin(), found.end(), before);
    if (top_k && int64_t(found.size()) > top_k) found.resize(top_k);
    return found;
}

// uniform [rows] in [0, 1); inverse_temperature 0 takes the most likely word; top_k 0 and top_p 1 keep all words.
// A row that holds what is not a number gets the last word, and a log-probability that is none.
extern "C" void sample(const bf16 *logits, const double *uniform, int64_t *ids, float *logprobs, int64_t rows, int64_t size,
                       float inverse_temperature, int64_t top_k, double top_p, int threads) {
    #pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < rows; i++) {
        const Row x = logits + i * size;
        const int64_t blocks = (size + BLOCK - 1) / BLOCK;
        std::vector<int16_t> tops(blocks);
        for (int64_t block = 0; block < blocks; block++) {
            int16_t top = ordered(int16_t(0xff80));  // minus infinity
            const int64_t end = std::min(size, (block + 1) * BLOCK);
            for (int64_t j = block * BLOCK; j < end; j++)
                top = std::max(top, ordered(int16_t(x[j])));
            tops[block] = top;
        }
        const int16_t largest = *std::max_element(tops.begin(), tops.end());
        const bool is_greedy = inverse_temperature == 0;
        const Logits row{x, size, wide(bf16(ordered(largest))), is_greedy ? 1.0f : inverse_temperature};
        std::vector<float> sums(blocks);
        double total = 0;
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t end = std::min(size, (block + 1) * BLOCK);
            float sum = 0;
            for (int64_t j = block * BLOCK; j < end; j++) sum += row.mass(j);
            sums[block] = sum, total += sum;
        }
        int64_t id = size - 1;
        if (!std::isfinite(total)) {
            ids[i] = id, logprobs[i] = NAN;
            continue;
        }
        if (is_greedy) {
            id = std::find(x, x + size, bf16(ordered(largest))) - x;
        } else if (top_k || top_p < 1) {
            const std::vector<int64_t> words = most_likely(row, tops, total, top_k, top_p);
            std::vector<double> mass;
            for (int64_t word : words) mass.push_back(row.mass(word));
            double kept = 0, reached = 0;
            for (double m : mass) kept += m;
            const double wanted = top_p < 1 ? top_p * (top_k ? kept : total) : INFINITY;
            size_t count = 0;  // words up to the one whose mass reaches what is wanted
            while (count < mass.size() && reached < wanted) reached += mass[count++];
            id = words[passing(count, uniform[i] * reached, [&](int64_t n) { return mass[n]; })];
        } else {
            const double target = uniform[i] * total;
            const int64_t block = passing(blocks, target, [&](int64_t n) { return sums[n]; });
            double before = 0;
            for (int64_t n = 0; n < block; n++) before += sums[n];
            const int64_t start = block * BLOCK, count = std::min(BLOCK, size - start);
            id = start + passing(count, target - before, [&](int64_t n) { return row.mass(start + n); });
        }
        ids[i] = id, logprobs[i] = float(row.shifted(id) - std::log(total));
    }
}
